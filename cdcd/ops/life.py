"""How the process lives and ends: signals, limits, stalls, and what systemd is told of it.

The first SIGTERM or SIGINT lets what is in flight end, within a limit; the second ends the process
at once. Both are safe, because positions move with their data. SIGHUP reloads what can be reloaded.
A stage that stands still without a reason outside ends the process with exit code 3, after it has
written where every task stands: starting again is the recovery that is tested most.
"""

import asyncio
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import CoroutineType
from typing import Self

from cdcd.model.errors import CdcdError, ExitCode, Fatal, leading
from cdcd.ops.board import Board
from cdcd.ops.logs import get_logger
from cdcd.ops.stall import StallJudge
from cdcd.ops.status import Status
from cdcd.ops.systemd import Notifier

log = get_logger()

# How often the board is looked at, systemd is told, and the loop says that it turns.
LOOK_SECONDS = 1.0
# Into how many parts the loop's limit is cut; the thread that watches it counts these.
LOOP_PARTS = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the end may take, and how long a stage may stand still."""

    stop_seconds: float
    stall_seconds: float


async def live(
    work: Callable[[], Awaitable[None]],
    board: Board,
    limits: Limits,
    reload: Callable[[], None] = lambda: None,
) -> None:
    """Do the work until it ends or a signal comes. Raises what ended it."""
    loop = asyncio.get_running_loop()
    notifier = Notifier()
    stopping = asyncio.Event()
    _follow_signals(stopping, reload)
    try:
        async with asyncio.TaskGroup() as group:
            working = group.create_task(_as_coroutine(work))
            waiting = group.create_task(stopping.wait())
            keeping = group.create_task(_keep(board, limits, notifier))
            try:
                await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
            finally:
                notifier.say("STOPPING=1")
                loop.call_later(limits.stop_seconds, _end_now)
            for task in (working, waiting, keeping):
                task.cancel()
    except BaseExceptionGroup as failed:
        raise leading(failed) from failed


def _follow_signals(stopping: asyncio.Event, reload: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def on_stop() -> None:
        if stopping.is_set():
            os._exit(ExitCode.OUTSIDE)
        log.info("stopping")
        stopping.set()

    def on_reload() -> None:
        try:
            reload()
        except CdcdError as error:
            log.error("not reloaded", exc_info=error)
        else:
            log.info("reloaded")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_stop)
    loop.add_signal_handler(signal.SIGHUP, on_reload)


async def _keep(board: Board, limits: Limits, notifier: Notifier) -> None:
    """Tell systemd how it goes, for ever. Raises Fatal when a stage stands still."""
    judge = StallJudge(max(int(limits.stall_seconds / LOOK_SECONDS), 1))
    with LoopWatch(limits.stall_seconds) as watch:
        while True:
            status = board.snapshot()
            stalled = judge.look(status)
            if stalled is not None:
                log.error("stalled", reason=str(stalled), tasks=whereabouts())
                hint = "the log says where every task stood; start it again"
                raise Fatal(str(stalled), hint)
            _tell(notifier, status)
            watch.turned()
            await asyncio.sleep(LOOK_SECONDS)


def _tell(notifier: Notifier, status: Status) -> None:
    """A worker that waits for something remote has started too; STATUS= says for what."""
    if status.stages:
        tables = len(status.tables)
        how = "; ".join(status.reasons) or f"replicating {tables} tables"
        notifier.say(f"READY=1\nSTATUS={how}")
    notifier.alive()


def whereabouts() -> list[str]:
    """Where each task waits, innermost place last: file and line, no values."""
    return sorted(" > ".join(_places(task)) for task in asyncio.all_tasks())


def _places(task: "asyncio.Task[object]") -> list[str]:
    at: object = task.get_coro()
    places = []
    while isinstance(at, CoroutineType) and at.cr_frame is not None:
        code = at.cr_frame.f_code
        file = "/".join(code.co_filename.rsplit("/", 2)[1:])
        places.append(f"{code.co_qualname} ({file}:{at.cr_frame.f_lineno})")
        at = at.cr_await
    return places


def _end_now() -> None:
    log.error("what is in flight did not end in time", tasks=whereabouts())
    os._exit(ExitCode.OUTSIDE)


class LoopWatch:
    """A thread that ends the process when the event loop stops turning.

    It counts parts of the limit in which the loop did not turn. A process that was stopped and goes
    on misses one part, however long it was stopped.
    """

    def __init__(self, limit_seconds: float) -> None:
        self._part_seconds = limit_seconds / LOOP_PARTS
        self._turned = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def turned(self) -> None:
        """Say that the loop turns."""
        self._turned.set()

    def _watch(self) -> None:
        missed = 0
        while not self._ended.wait(self._part_seconds):
            missed = 0 if self._turned.is_set() else missed + 1
            self._turned.clear()
            if missed >= LOOP_PARTS:
                sys.stderr.write("cdcd: the event loop does not turn; every thread stands at\n")
                faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
                os._exit(ExitCode.OUTSIDE)


async def _as_coroutine(work: Callable[[], Awaitable[None]]) -> None:
    await work()
