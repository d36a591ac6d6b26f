"""What a copy of a whole table mends in the sink: saved offsets that the topic has moved past.

The order is what makes it right. The topic's ends are taken first; then the copy is asked for, so
that all of it comes behind them; only then are the offsets moved there. A command that dies in
between leaves a table that has stopped, or one that says that changes were left out.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from cdcd.config.settings import Settings
from cdcd.config.tables import settings_of
from cdcd.model.errors import Fatal
from cdcd.ops.logs import get_logger
from cdcd.sink import left_out, offsets
from cdcd.sink.left_out import Gap, Mark
from cdcd.sink.pool import Pool
from cdcd.sink.state import STATE_VERSION, check_version
from cdcd.transport.topics import Topics

log = get_logger()


@dataclass(frozen=True)
class Gaps:
    """The gaps before which sinks have stopped, and the marks of those that were passed over; both
    by table.
    """

    settings: Settings
    found: Mapping[str, Gap] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)

    def has_moved_keys(self, table: str) -> bool:
        """Whether rows of the table are in other partitions now."""
        return table in self.found and self.found[table].has_moved_keys

    async def passed_over(self) -> Self:
        """Have the tables go on behind their gaps, now that copies are asked for; gives the marks
        that these copies take away. Raises Fatal where somebody else has moved offsets.
        """
        if not self.found:
            return self
        marks = dict(self.marks)
        async with _pool(self.settings) as pool:
            for table, gap in self.found.items():
                mark = await left_out.pass_over(pool, self.settings.name, gap)
                if mark is None:
                    message = f"{table}: its saved offsets have moved meanwhile"
                    raise Fatal(message, f"try again: cdcd backfill {table}")
                log.warning("changes are left out until the copy has ended", table=table)
                marks[table] = mark
        return replace(self, marks=marks)

    async def mended(self, tables: Iterable[str]) -> None:
        """Copies of these tables are applied, and rows that are gone are removed: take the marks
        away that were there when the copies were asked for.
        """
        name = self.settings.name
        marks = {f"{name}.{t}": self.marks[t] for t in tables if t in self.marks}
        if marks:
            async with _pool(self.settings) as pool:
                await left_out.mended(pool, name, marks)


@asynccontextmanager
async def _pool(settings: Settings) -> AsyncIterator[Pool]:
    async with Pool(settings.postgres, f"cdcd {settings.name} backfill") as pool:
        yield pool


async def find_gaps(settings: Settings, tables: Collection[str]) -> Gaps:
    """What there is before copies are asked for. Raises Transient, and TableStopped where no copy
    would help.
    """
    topics, name = Topics(settings.kafka), settings.name
    known = await topics.partitions()
    async with _pool(settings) as pool:
        async with pool.connection() as connection:
            if await check_version(connection) < STATE_VERSION:
                return Gaps(settings)  # no sink of this release has been there
        marks, found = await left_out.marks(pool, name), {}
        for table in tables:
            topic = f"{name}.{table}"
            if topic not in known:
                if await offsets.identity(pool, name, topic) is None:
                    continue
                # It was deleted, and no change has made it again yet.
                compacted = settings_of(settings.tables, table).tombstones
                await topics.make_change_topic(topic, compacted=compacted)
            gap = await left_out.find_gap(pool, topics, name, (table, topic))
            if gap is not None:
                found[table] = gap
    marked = {table: marks[topic] for table in tables if (topic := f"{name}.{table}") in marks}
    return Gaps(settings, found, marked)
