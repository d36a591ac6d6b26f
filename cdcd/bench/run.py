"""A benchmark, straight down: a backlog that a worker catches up with, then steady rates."""

import asyncio
import os
from pathlib import Path

from cdcd.bench.ground import LOOK_SECONDS, Ground, Tell, prepared
from cdcd.bench.profiles import Profile, Step
from cdcd.bench.report import LATE_SECONDS, Caught, Held, Report
from cdcd.bench.times import Times
from cdcd.bench.work import MARK, MARKS, PROBES, changes, mark_rows, probe_row
from cdcd.config.settings import Settings
from cdcd.drill.belongings import end_by_sigterm
from cdcd.drill.place import Place

BACKLOG_CHUNK = 1_000
STEP_SECONDS = 0.05
PROBE_SECONDS = 0.02
# How long the last probes of a step are waited for.
PROBES_SECONDS_MAX = 6 * LATE_SECONDS

_MARKED = "SELECT count(*) FROM {t} WHERE id < $1 AND quantity = $2"
_PROBED = "SELECT id, quantity FROM {t} WHERE id < 0 AND id >= $1"


async def bench(
    settings: Settings, profile: Profile, place: Place, file: Path | None, tell: Tell, *, keep: bool
) -> Report:
    """Run it; `settings` name its pipeline and target schema. Raises CdcdError where it could not
    go on.
    """
    end_by_sigterm()
    report = Report(profile.name, os.cpu_count() or 1, round(os.getloadavg()[0], 1))
    async with prepared(settings, place, file, tell, keep=keep) as ground:
        number = profile.backlog_changes
        report.caught = await _catch_up(ground, number, tell)
        probe = 0
        for step in profile.steps:
            held, probe = await _hold(ground, step, (number, probe), tell)
            report.held.append(held)
            number += held.written
            if not held.kept_up:
                break
        report.peak_memory = ground.peak_memory()
        tell("stopping the worker", None)
        await asyncio.to_thread(ground.worker.stop)
    return report


async def _catch_up(ground: Ground, total: int, tell: Tell) -> Caught:
    for start in range(0, total, BACKLOG_CHUNK):
        tell(f"writing a backlog of {total:,} changes", start / total)
        for cql, rows in changes(range(start, min(start + BACKLOG_CHUNK, total))):
            await ground.writer.write(cql, rows)
    await ground.writer.write(MARK, mark_rows(1))
    tell("catching up", None)
    began = asyncio.get_running_loop().time()
    ground.worker.start()
    ready = await ground.ready()
    before = ground.cpu_seconds()
    last = await ground.until(_MARKED, MARKS, -PROBES, 1)
    return Caught(total, ready - began, last - ready, spent(before, ground.cpu_seconds()))


async def _hold(ground: Ground, step: Step, first: tuple[int, int], tell: Tell) -> tuple[Held, int]:
    """Hold a step, from this number of a change and of a probe on; gives the next probe's too."""
    before = ground.cpu_seconds()
    probes = Probes(ground, first[1])
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(probes.watch())
        probing = tasks.create_task(probes.write())
        written, seconds = await _write(ground, step, first[0], tell)
        probes.end()
        await probing
        await watching
    cpu = spent(before, ground.cpu_seconds())
    held = Held(step, written, seconds, probes.times.samples(), probes.times.unseen, cpu)
    return held, probes.next


def spent(before: float | None, after: float | None) -> float | None:
    """The seconds between; None where one of them is not known."""
    return None if before is None or after is None else after - before


async def _write(ground: Ground, step: Step, number: int, tell: Tell) -> tuple[int, float]:
    """Write at the step's rate; gives how many changes it became in how many seconds."""
    loop = asyncio.get_running_loop()
    each = max(int(step.rate_per_second * STEP_SECONDS), 1)
    began, written = loop.time(), 0
    while (passed := loop.time() - began) < step.seconds:
        tell(f"{step.rate_per_second:,} changes/s for {step.seconds} s", passed / step.seconds)
        for cql, rows in changes(range(number + written, number + written + each)):
            await ground.writer.write(cql, rows)
        written += each
        # What the servers hold up is not made up for: a slower rate is reported as one.
        await asyncio.sleep(began + written / step.rate_per_second - loop.time())
    return written, loop.time() - began


class Probes:
    """Writes changes whose way is timed, and watches for them."""

    def __init__(self, ground: Ground, first: int) -> None:
        self._ground = ground
        self._ended: float | None = None
        self.next = first
        self.times = Times(first, asyncio.get_running_loop().time())

    def end(self) -> None:
        """Write no more, and watch only for those that are on the way."""
        self._ended = asyncio.get_running_loop().time()

    async def write(self) -> None:
        """Write one after the other."""
        loop = asyncio.get_running_loop()
        while self._ended is None:
            number = self.next
            self.next += 1
            await self._ground.writer.write(MARK, [probe_row(number)])
            self.times.acknowledged(number, loop.time())
            await asyncio.sleep(PROBE_SECONDS)

    async def watch(self) -> None:
        """Note when each is there."""
        loop = asyncio.get_running_loop()
        while not self._is_over(loop.time()):
            rows = await self._ground.read(_PROBED, -PROBES)
            now = loop.time()
            for at, value in rows:
                self.times.seen(at, value, now)
            await asyncio.sleep(LOOK_SECONDS)

    def _is_over(self, now: float) -> bool:
        if self._ended is None:
            return False
        return not self.times.unseen or now > self._ended + PROBES_SECONDS_MAX
