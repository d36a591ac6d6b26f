"""Stages that fail begin again; what ends them, and what does not."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from cdcd.model.errors import ConfigurationError, Fenced, Transient
from cdcd.ops.attempt import attempted
from cdcd.ops.board import Board
from cdcd.ops.supervise import Fences, supervised
from cdcd.source.together import together

TAKEN = Fenced("the name is taken")


class Clock:
    """Time that is set."""

    now_seconds = 0.0

    def __call__(self) -> float:
        return self.now_seconds


class Attempts:
    """A stage that fails with one error after another, and then runs until it is cancelled."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.begun = 0
        self.runs = asyncio.Event()

    async def __call__(self) -> None:
        self.begun += 1
        if self.errors:
            raise self.errors.pop(0)
        self.runs.set()
        await asyncio.Event().wait()


async def _fails_at_last(works: asyncio.Event) -> None:
    """Fail because of the end, as with a client that is gone already."""
    works.set()
    try:
        await asyncio.Event().wait()
    finally:
        raise Transient("away")


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was fenced begins again at once."""
    monkeypatch.setattr(Fences, "PAUSE_SECONDS", (0.0, 0.0))


def supervising(once: Callable[[], Awaitable[None]]) -> Coroutine[Any, Any, None]:
    """The stage, kept running."""
    return supervised(once, "source", Board("p", "one"))


async def test_a_first_fence_is_forgiven(no_pause: None) -> None:
    """A late request of its own looks like a double: the stage begins again, and runs."""
    stage = Attempts(ExceptionGroup("", [TAKEN]))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(supervising(stage))
        await stage.runs.wait()
        running.cancel()
    assert stage.begun == 2


async def test_a_second_fence_is_a_double(no_pause: None) -> None:
    """Told again soon after, the worker ends, and says that its name is taken."""
    stage = Attempts(TAKEN, TAKEN)
    with pytest.raises(ConfigurationError, match="the name is taken"):
        await supervising(stage)
    assert stage.begun == 2


def test_fences_are_forgotten() -> None:
    """Two outages that are apart are two first times."""
    clock = Clock()
    fences = Fences(clock)
    firsts = []
    for clock.now_seconds in (0, 30, 30 + Fences.MEMORY_SECONDS + 1):
        firsts.append(fences.is_first())
    assert firsts == [True, False, True]


async def test_a_cancellation_is_not_lost_in_a_failure() -> None:
    """A stage that fails while it is ended is ended, and does not begin again."""
    works = asyncio.Event()

    async def fails_when_it_is_ended() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_fails_at_last(works))

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(supervising(fails_when_it_is_ended))
        await works.wait()
        running.cancel()
    assert running.cancelled()


async def test_a_cancellation_is_not_lost_among_reads() -> None:
    """Reads that fail while their table's follower is ended do not have it read again."""
    works = asyncio.Event()

    async def follow() -> None:
        while True:
            with suppress(Transient):
                await together([_fails_at_last(works), _fails_at_last(works)])

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(follow())
        await works.wait()
        running.cancel()
    assert running.cancelled()


async def test_what_work_gives_is_the_callers() -> None:
    """The result of work is that of the attempt."""

    async def work() -> int:
        return 1

    assert await attempted(work) == 1


async def test_a_failure_of_work_is_the_callers() -> None:
    """What the work raises is raised."""
    with pytest.raises(Transient, match="away"):
        await attempted(Attempts(Transient("away")))
