"""How a process ends: as one of its own, sent real signals."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cdcd.model.errors import ExitCode

# `work` is what the process does; `limits` are those of its life.
PROGRAM = """
import asyncio, sys, time
from cdcd.config.settings import LogSettings
from cdcd.model.errors import ConfigurationError, Fatal
from cdcd.ops import logs
from cdcd.ops.board import Board
from cdcd.ops.life import Limits, live
from cdcd.ops.status import StageState, TableState
logs.configure(LogSettings(format="json"))
board = Board("cdcd", "one")

async def for_ever():
    print("ready", flush=True)
    await asyncio.sleep(3600)

async def ends():
    print("ready", flush=True)

async def lingers():
    print("ready", flush=True)
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(3600)

async def blocks():
    print("ready", flush=True)
    await asyncio.sleep(0)
    time.sleep(3600)

async def stands_still():
    board.stage("source", StageState.RUNNING)
    board.table("ks.t", TableState.RUNNING)
    board.frontier("ks.t", 5)
    await for_ever()

def reload():
    if {bad_file}:
        raise ConfigurationError("wrong settings", "mend them")

try:
    asyncio.run(live({work}, board, Limits({stop}, {stall}), reload))
except Fatal as error:
    print(error, flush=True)
    sys.exit(error.exit_code)
"""


class Process:
    """A process that lives as the daemon does."""

    def __init__(self, folder: Path, *, bad_file: bool = False, **how: object) -> None:
        text = PROGRAM
        for name, value in {"stop": 30, "stall": 60, "bad_file": bad_file, **how}.items():
            text = text.replace(f"{{{name}}}", str(value))
        self._log = folder / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", text], stdout=log, stderr=log, start_new_session=True
            )
        self.wait_for("ready")

    def wait_for(self, text: str) -> None:
        """Wait until it has said this."""
        ends = time.monotonic() + 60
        while text not in self.output:
            assert time.monotonic() < ends, f"no {text!r} in {self.output}"
            time.sleep(0.02)

    @property
    def output(self) -> str:
        """All that it said."""
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    @property
    def exit_code(self) -> int:
        """The exit code, waited for."""
        return self._process.wait(90)

    def end(self) -> None:
        """It is gone afterwards."""
        self._process.kill()
        self._process.wait()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts processes, which are gone in the end."""
    started: list[Process] = []

    def start(**how: object) -> Process:
        started.append(Process(tmp_path, **how))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for process in started:
        process.end()


def test_first_signal_ends_well(begin: Callable[..., Process]) -> None:
    """SIGTERM ends the work, with exit code 0."""
    process = begin(work="for_ever")
    process.send(signal.SIGTERM)
    assert process.exit_code == ExitCode.DONE


def test_second_signal_ends_at_once(begin: Callable[..., Process]) -> None:
    """A second SIGTERM does not wait for what is in flight."""
    process = begin(work="lingers")
    process.send(signal.SIGTERM)
    process.wait_for("stopping")
    process.send(signal.SIGTERM)
    assert process.exit_code == ExitCode.OUTSIDE
    assert "did not end in time" not in process.output


def test_what_lingers_has_a_limit(begin: Callable[..., Process]) -> None:
    """What does not end within the limit is left, after it was said where it stood."""
    process = begin(work="lingers", stop=0.2)
    process.send(signal.SIGTERM)
    assert process.exit_code == ExitCode.OUTSIDE
    assert "did not end in time" in process.output
    assert "lingers (" in process.output


def test_stage_that_stands_still_ends_the_process(begin: Callable[..., Process]) -> None:
    """A stall ends with exit code 3, after it was said where every task stood."""
    process = begin(work="stands_still", stall=1)
    assert process.exit_code == ExitCode.OUTSIDE
    assert "the source stage makes no progress with ks.t" in process.output
    assert "stands_still (" in process.output


def test_loop_that_does_not_turn_ends_the_process(begin: Callable[..., Process]) -> None:
    """A blocked event loop ends with exit code 3 and the place of every thread."""
    process = begin(work="blocks", stall=2)
    assert process.exit_code == ExitCode.OUTSIDE
    assert "the event loop does not turn" in process.output
    assert "in blocks" in process.output


def test_stopped_process_goes_on(begin: Callable[..., Process]) -> None:
    """A process that was stopped for longer than the limit is not taken for a blocked one."""
    process = begin(work="for_ever", stall=1)
    process.send(signal.SIGSTOP)
    time.sleep(2)  # longer than the limit: that is what is tried
    process.send(signal.SIGCONT)
    process.send(signal.SIGTERM)
    assert process.exit_code == ExitCode.DONE


def test_work_that_ends_ends_the_process(begin: Callable[..., Process]) -> None:
    """When there is nothing more to do nobody has to send a signal."""
    assert begin(work="ends").exit_code == ExitCode.DONE


@pytest.mark.parametrize(("bad_file", "said"), [(False, "reloaded"), (True, "not reloaded")])
def test_reload_does_not_end_it(begin: Callable[..., Process], bad_file: bool, said: str) -> None:
    """SIGHUP reloads; a wrong file is said and changes nothing."""
    process = begin(work="for_ever", bad_file=bad_file)
    process.send(signal.SIGHUP)
    process.wait_for(f'"{said}"')
    process.send(signal.SIGTERM)
    assert process.exit_code == ExitCode.DONE
