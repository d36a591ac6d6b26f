"""Work whose caller may be cancelled in the moment in which the work fails."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

Result = TypeVar("Result")


async def attempted(work: Callable[[], Awaitable[Result]]) -> Result:
    """Run the work in a task of its own; gives its result, or raises what it raises.

    A cancellation of the caller always ends the caller, also when the work fails in that moment,
    and then the failure is dropped. Before Python 3.13 a task group that is cancelled while it
    fails tells of the failure alone (https://github.com/python/cpython/issues/116720); whoever
    tries again after a failure would never end.
    """
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_outcome(work))
        # Not the task itself: its failure and the caller's cancellation would look the same.
        await asyncio.wait((task,))
    result, failure = task.result()
    if failure is not None:
        raise failure
    return cast("Result", result)


async def _outcome(
    work: Callable[[], Awaitable[Result]],
) -> tuple[Result | None, Exception | None]:
    try:
        return await work(), None
    except Exception as failure:  # noqa: BLE001  returned, and raised by the caller
        return None, failure
