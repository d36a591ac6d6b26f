"""Several awaitables at once, with one failure that speaks for all."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from cdcd.ops.attempt import attempted

Result = TypeVar("Result")


async def together(coroutines: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """All results in order. When one fails the others are cancelled and its failure is raised."""
    waiting = list(coroutines)
    if len(waiting) == 1:
        return [await waiting[0]]

    async def all_of() -> list[Result]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(c) for c in waiting]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return [task.result() for task in tasks]

    # Callers try again after a failure, and may be cancelled in its moment.
    return await attempted(all_of)
