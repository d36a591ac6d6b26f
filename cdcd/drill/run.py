"""A drill, straight down: a table and workers of its own, writes that go on, rounds of trouble, and
the witness.
"""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from cdcd.config.settings import Settings
from cdcd.drill.belongings import end_by_sigterm
from cdcd.drill.ground import Ground, NotRecovered, Request, hire, log_folder, prepared
from cdcd.drill.outcome import Outcome
from cdcd.drill.rounds import ROUNDS, SETUPS
from cdcd.model.errors import CdcdError

# A round begins at a random moment up to so long after the one before.
BETWEEN_SECONDS_MAX = 1.0


async def drill(settings: Settings, request: Request, tell: Callable[[str], None]) -> Outcome:
    """Run a drill; `settings` name its pipeline and target schema. Raises CdcdError when it could
    not be held; what it finds is in the outcome.
    """
    end_by_sigterm()
    async with (
        prepared(request, settings, tell) as ground,
        SETUPS.get(request.kind.name, _nothing_more)(ground) as more,
    ):
        folder = log_folder()
        hire(ground, request.file, more, folder)
        # Where something was found it stays, to be looked at.
        kept = f"nothing is taken away; what the workers left is in {folder}"
        try:
            outcome = await _with_writes(ground, request, tell)
        except (BaseExceptionGroup, CdcdError):
            ground.keep = True
            tell(kept)
            raise
        ground.keep = bool(outcome.exit_code)
    if outcome.exit_code:
        tell(kept)
    else:
        shutil.rmtree(folder)
    return outcome


@asynccontextmanager
async def _nothing_more(_: Ground) -> AsyncIterator[Mapping[str, str]]:
    yield {}


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
                ground.recovery_seconds = await ROUNDS[request.kind.name](ground, number)
                recoveries.append(ground.recovery_seconds)
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
