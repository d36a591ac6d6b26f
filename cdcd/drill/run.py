"""A drill, straight down: a table and workers of its own, writes that go on, rounds of trouble, and
the witness.
"""

import asyncio
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cdcd.config.settings import Settings
from cdcd.drill.ground import Ground, NotRecovered, hire, log_folder, prepared
from cdcd.drill.kinds import Kind
from cdcd.drill.outcome import Outcome
from cdcd.drill.place import Place
from cdcd.drill.rounds import ROUNDS

# A round begins at a random moment up to so long after the one before.
BETWEEN_SECONDS_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Request:
    """What drill, how often, and with how many writes a second. `file` has the settings."""

    kind: Kind
    place: Place
    rounds: int
    rate_per_second: int
    file: Path | None = None
    keep: bool = False


async def drill(settings: Settings, request: Request, tell: Callable[[str], None]) -> Outcome:
    """Run a drill; `settings` name its pipeline and target schema. Raises CdcdError when it could
    not be held; what it finds is in the outcome.
    """
    folder = log_folder()
    async with prepared(
        request.kind, request.place, settings, request.rate_per_second, keep=request.keep
    ) as ground:
        hire(ground, request.file, {}, folder)
        outcome = await _with_writes(ground, request, tell)
    if outcome.exit_code:
        tell(f"the workers' logs are in {folder}")
    else:
        shutil.rmtree(folder)
    return outcome


async def _with_writes(ground: Ground, request: Request, tell: Callable[[str], None]) -> Outcome:
    recoveries: list[float] = []
    stuck = ""
    for worker in ground.workers:
        worker.start()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ground.writer.run())
        try:
            await ground.seen(await ground.beat())
            tell(f"{ground.place.full_name} is followed; the rounds begin")
            for number in range(request.rounds):
                await asyncio.sleep(random.uniform(0, BETWEEN_SECONDS_MAX))  # noqa: S311
                recoveries.append(await ROUNDS[request.kind.name](ground, number))
                tell(f"round {number + 1} of {request.rounds}: {recoveries[-1]:.2f} s")
        except NotRecovered as error:
            stuck = error.message
            tell(stuck)
        finally:
            ground.writer.stop()
    verdict = await ground.verdict()
    for worker in ground.workers:
        await asyncio.to_thread(worker.stop)
    return Outcome(request.kind.name, verdict, recoveries, stuck)
