"""Blocking calls in a thread of their own: one at a time, waited for, and given up when stuck."""

import asyncio
import math
import threading
import time

import pytest

from cdcd.model.errors import Transient
from cdcd.transport.thread import OneThread


async def test_calls_run_one_after_the_other() -> None:
    """Calls made at the same time run in the order in which they were made, in one thread."""
    thread = OneThread("test")
    order: list[tuple[int, int]] = []

    def note(number: int) -> None:
        time.sleep(0.01)
        order.append((number, threading.get_ident()))

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(thread.call(note, number))
    assert [number for number, _ in order] == [0, 1, 2, 3, 4]
    assert len({ident for _, ident in order}) == 1
    thread.close()


async def test_what_a_call_raises_is_the_callers() -> None:
    """An exception comes out of the call, and the next call runs."""
    thread = OneThread("test")
    with pytest.raises(ZeroDivisionError):
        await thread.call(lambda: 1 / 0)
    assert await thread.call(lambda: 1) == 1
    thread.close()


async def test_who_is_cancelled_waits_for_the_call() -> None:
    """A cancelled caller goes when its call has ended, not before."""
    thread = OneThread("test")
    go, ended = threading.Event(), threading.Event()

    def work() -> None:
        go.wait(10)
        ended.set()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(thread.call(work))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0.02)
        assert not task.done()
        go.set()
    assert task.cancelled()
    assert ended.is_set()
    thread.close()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_call_that_does_not_end_is_given_up(*, cancelled: bool) -> None:
    """Past the limit nobody waits, whether cancelled or not, and later calls fail at once."""
    thread = OneThread("publisher", limit_seconds=0.05)
    go = threading.Event()

    async def stand() -> str:
        try:
            await thread.call(go.wait, 10)
        except Transient as error:
            return str(error)
        return ""

    async with asyncio.TaskGroup() as group:
        task = group.create_task(stand())
        await asyncio.sleep(0)
        if cancelled:
            task.cancel()
    if not cancelled:
        assert "publisher: the client does not answer" in task.result()
    assert thread.is_stuck
    with pytest.raises(Transient):
        await thread.call(lambda: 1)
    with pytest.raises(Transient):
        thread.require()
    go.set()
    thread.close()


async def test_a_step_has_a_deadline_of_its_own() -> None:
    """A call whose step is not over in time is given up before the limit of the whole; one without
    such a step is waited for.
    """
    deadline = math.inf
    thread = OneThread("publisher", limit_seconds=60, deadline=lambda: deadline)
    go = threading.Event()
    await thread.call(time.sleep, 0.01)

    def step() -> None:
        nonlocal deadline
        deadline = time.monotonic() + 0.01
        go.wait(60)

    async with asyncio.timeout(30):
        with pytest.raises(Transient, match="does not answer"):
            await thread.call(step)
    assert thread.is_stuck
    go.set()
    thread.close()
