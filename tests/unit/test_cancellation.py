"""Work ends when it is cancelled, also where a task group of it fails at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cdcd.model.errors import Transient
from cdcd.model.lane import Assignment, LaneSet, LanesLost
from cdcd.ops.board import Board
from cdcd.ops.retry import Backoff, retrying
from cdcd.source import stage
from cdcd.source.together import together


async def fails_when_cancelled(error: Exception) -> None:
    """A group whose task answers to its cancellation with a failure, as a client's call may."""

    async def call() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise error from None

    async with asyncio.TaskGroup() as group:
        group.create_task(call())


async def _as_coroutine(work: Callable[[], Awaitable[Any]]) -> None:
    await work()


async def expect_end(work: Callable[[], Awaitable[Any]]) -> None:
    """Cancelled in the middle it is over soon, and was cancelled."""
    task = asyncio.get_running_loop().create_task(_as_coroutine(work))
    await asyncio.sleep(0.01)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    assert done, "it goes on"
    assert task.cancelled()


async def test_trying_again_ends() -> None:
    """A failure that comes with the cancellation is not tried again."""

    async def once() -> None:
        try:
            await fails_when_cancelled(Transient("away"))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    await expect_end(lambda: retrying(once, Backoff(first_seconds=60)))


async def test_reads_at_once_end() -> None:
    """The failure of one of them does not stand for the cancellation of all."""

    async def read() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Transient("away") from None

    await expect_end(lambda: together([read(), read()]))


class Lanes:
    """Lanes that are assigned once."""

    def __init__(self) -> None:
        self._left = [Assignment(LaneSet(frozenset({0}), 1), {})]

    async def assigned(self) -> Assignment:
        """The one assignment, and then none for ever."""
        if not self._left:
            await asyncio.Event().wait()
        return self._left.pop()


async def test_a_source_that_loses_its_lanes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for other lanes, which nobody would assign to it any more."""

    async def follow(*_: object) -> None:
        await fails_when_cancelled(LanesLost())

    monkeypatch.setattr(stage, "_follow", follow)
    source: Any = type("Source", (), {"board": Board("p", "i")})()
    lanes: Any = Lanes()
    await expect_end(lambda: stage.run(source, lanes))
