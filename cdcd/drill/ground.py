"""Where a drill takes place: a table, a pipeline and workers of its own, and nothing of others.

Everything is named `cdcd_drill…`, and is taken away at the end.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cdcd.config.settings import Settings
from cdcd.drill import witness
from cdcd.drill.belongings import make, take_away
from cdcd.drill.cable import Cable
from cdcd.drill.kinds import Kind
from cdcd.drill.outcome import Verdict, judged
from cdcd.drill.place import Place
from cdcd.drill.stack import LocalStack
from cdcd.drill.worker import Worker
from cdcd.drill.writer import Writer
from cdcd.model.errors import CdcdError, ConfigurationError, Fatal, Transient
from cdcd.model.fingerprint import CELL_MS, cell_of
from cdcd.sink.pool import Pool
from cdcd.source.session import Session
from cdcd.transport.registry import Registry

# A beat is a row in each of so many partitions: together they are in nearly every lane, and in
# every partition of the topic.
BEAT_ROWS = 64
# Longer than a stage may stand still before its process ends, and its supervisor starts it again.
RECOVERY_SECONDS_MAX = 180.0
# Beyond the last settling pass, which may still bring late rows.
ENDING_SECONDS_MAX = 120.0
# How long a settling pass that is due may take until what it found is in the topic.
PASS_SECONDS = 3.0
LOOK_SECONDS = 0.02
COLUMNS = "pk int, ck int, s text static, a text, b bigint, PRIMARY KEY (pk, ck)"

_BEAT = "INSERT INTO {t} (pk, ck, b) VALUES (?, 0, ?)"
_BEAT_WITH = "INSERT INTO {t} (pk, ck, b, {column}) VALUES (?, 0, ?, ?)"
_SEEN = 'SELECT count(*) FROM "{s}"."{t}" WHERE pk < 0 AND b >= $1'


@dataclass(frozen=True, slots=True)
class Request:
    """What drill, how often, and with how many writes a second. `file` has the settings."""

    kind: Kind
    place: Place
    rounds: int
    rate_per_second: int
    file: Path | None = None
    keep: bool = False
    stack: LocalStack | None = None


class NotRecovered(CdcdError):
    """What was written after a disturbance did not arrive within the limit."""


@dataclass
class Ground:
    """What a drill works with. `settings` are those of its pipeline, and `recovery_seconds` is how
    long the last round's recovery took.
    """

    kind: Kind
    place: Place
    settings: Settings
    session: Session
    pool: Pool
    registry: Registry
    writer: Writer
    tell: Callable[[str], None]
    stack: LocalStack | None = None
    workers: list[Worker] = field(default_factory=list)
    cables: dict[str, Cable] = field(default_factory=dict)
    beats: int = 0
    columns: int = 0
    recovery_seconds: float = 0.0
    keep: bool = False

    @property
    def stack_in_reach(self) -> LocalStack:
        """The local stack, for a kind that disturbs servers."""
        if self.stack is None:
            raise ConfigurationError("this drill disturbs servers, and has no local stack")
        return self.stack

    async def beat(self, column: str | None = None) -> int:
        """Write a row to each of many partitions, with text in a column if one is named; gives the
        beat's number.
        """
        self.beats += 1
        rows = [(-1 - number, self.beats) for number in range(BEAT_ROWS)]
        if column is None:
            await self.writer.write(_BEAT, rows)
        else:
            cql = _BEAT_WITH.replace("{column}", column)
            await self.writer.write(cql, [(*row, f"beat {self.beats}") for row in rows])
        return self.beats

    async def add_column(self) -> str:
        """Add a column to the source's table; gives its name."""
        self.columns += 1
        name = f"x{self.columns}"
        await self.session.query(f"ALTER TABLE {self.place.full_name} ADD {name} text")
        return name

    async def seen(self, beat: int) -> float:
        """When all of a beat is in PostgreSQL. Raises NotRecovered when that does not happen."""
        query = _SEEN.format(s=self.place.schema, t=self.place.table)

        async def arrived() -> bool:
            async with self.pool.connection() as connection:
                return bool(await connection.fetchval(query, beat) == BEAT_ROWS)

        await self.until(arrived, "what was written behind the disturbance")
        return time.monotonic()

    async def until(self, condition: Any, what: str) -> None:
        """Look until it is so, with workers that their supervisor starts again meanwhile."""
        ends = time.monotonic() + RECOVERY_SECONDS_MAX
        while time.monotonic() < ends:
            self._supervise()
            with suppress(CdcdError):  # not there yet, or away for a while
                if await condition():
                    return
            await asyncio.sleep(LOOK_SECONDS)
        raise NotRecovered(f"{what} did not arrive within {RECOVERY_SECONDS_MAX:.0f} s")

    async def verdict(self) -> Verdict:
        """Compare until all is equal, or the limit is over; and where it is, once more behind a
        settling pass, which publishes again what it does not know to be published.
        """
        delays = self.settings.source.settle_delays_seconds
        ends = time.monotonic() + max(delays) + ENDING_SECONDS_MAX
        found = await self._compared(ends)
        if found.is_clean:
            now_ms = time.time_ns() // 1_000_000
            # Passes read whole cells, this one too once it has ended.
            rest_ms = cell_of(now_ms) + CELL_MS - now_ms
            seconds = rest_ms / 1000 + min(delays) + PASS_SECONDS
            self.tell(f"equal; the settling pass over it is waited for, {seconds:.0f} s")
            passed = time.monotonic() + seconds
            while time.monotonic() < passed:
                self._supervise()
                await asyncio.sleep(LOOK_SECONDS)
            found = await self._compared(max(ends, passed))
        return found

    def _supervise(self) -> None:
        for worker in self.workers:
            worker.supervise()

    async def _compared(self, ends: float) -> Verdict:
        """Compare until all is equal, or it is so late."""
        while True:
            self._supervise()
            with suppress(Transient):
                found = await self._compare()
                if found.is_clean or time.monotonic() > ends:
                    return found
            if time.monotonic() > ends + RECOVERY_SECONDS_MAX:
                raise Fatal("source and target could not be compared", "is a server away?")
            await asyncio.sleep(0.5)

    async def _compare(self) -> Verdict:
        place = self.place
        in_log = await witness.log_identities(self.session, place.keyspace, place.table)
        return judged(
            in_log,
            await witness.topic_identities(self.settings.kafka, self.registry, place.topic),
            await witness.source_rows(self.session, place.keyspace, place.table),
            await witness.target_rows(self.pool, place.schema, place.table),
        )


@asynccontextmanager
async def prepared(
    request: Request, settings: Settings, tell: Callable[[str], None]
) -> AsyncIterator[Ground]:
    """Make the table, and take everything away at the end unless it is to be kept."""
    kind, place = request.kind, request.place
    async with (
        Session.open(settings.scylla) as session,
        Pool(settings.postgres, "cdcd drill") as pool,
        Registry(settings.registry) as registry,
    ):
        writer = Writer(session, place.full_name, request.rate_per_second)
        ground = Ground(kind, place, settings, session, pool, registry, writer, tell, request.stack)
        made = await make(session, place, COLUMNS, tablets=kind.tablets)
        try:
            yield ground
        finally:
            for worker in ground.workers:
                worker.kill()
            if not (request.keep or ground.keep):
                try:
                    kafka = (settings.kafka, registry)
                    await take_away(place, session, pool, kafka, keyspace_too=made)
                except CdcdError as error:
                    tell(f"what is named {place.pipeline} could not be taken away: {error}")


def hire(ground: Ground, file: Path | None, more: Mapping[str, str], folder: Path) -> None:
    """Add the workers that the kind asks for; they are not started yet."""
    config = ("-c", str(file.resolve())) if file else ()
    place = ground.place
    for number in range(ground.kind.workers):
        run = ("run", "--name", place.pipeline, "--instance", f"drill-{number}")
        # From the log's first row on: each is to be in the topic.
        table = ("--table", place.full_name, "--start", "log")
        arguments = (*config, *run, *table, "--http-port", "0")
        # A report of a crash is a temporary file: it is to lie beside the log.
        own = {"CDCD_POSTGRES__TARGET_SCHEMA": place.schema, "TMPDIR": str(folder)}
        log = folder / f"worker-{number}.log"
        ground.workers.append(Worker(arguments, {**own, **more}, log))


def log_folder() -> Path:
    """Where the workers leave logs and crash reports; only this user reads them."""
    return Path(tempfile.mkdtemp(prefix="cdcd-drill-"))
