"""Only the rows that the log says were touched since some time."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from cdcd.config.settings import SourceSettings
from cdcd.model.errors import ConfigurationError
from cdcd.model.lane import LaneSet
from cdcd.model.position import Window
from cdcd.model.refresh import Partition, Row, Scope, StaticRow
from cdcd.model.touched import touched
from cdcd.reconcile.compare import Seen, Suspect
from cdcd.reconcile.digest import Key
from cdcd.reconcile.verify import Verifier, cql_key
from cdcd.source.catalog import SourceTable
from cdcd.source.generations import Generations
from cdcd.source.lanes import streams_of
from cdcd.source.log_reader import LogReader
from cdcd.source.scan import WindowTooWide
from cdcd.source.session import Session
from cdcd.source.windows import Pace, generations_to_settle, next_width, retained_from

# Touched rows that are compared at once.
SCOPES_AT_ONCE = 20_000
# The first window; wider ones follow while they hold few rows, and narrower ones where they are too
# many.
WINDOW_MS = 60_000
WINDOW_MS_MIN = 1000


async def touched_since(
    session: Session, table: SourceTable, settings: SourceSettings, times: tuple[int, int]
) -> AsyncIterator[set[Scope]]:
    """What the log says was touched between two times, milliseconds since 1970, in portions.

    Raises ConfigurationError where the log does not go back so far.
    """
    start_ms, end_ms = times
    retained_ms = retained_from(end_ms, table.options.ttl_seconds)
    if retained_ms is not None and start_ms < retained_ms:
        raise ConfigurationError(
            f"{table.spec.full_name}: the log keeps {table.options.ttl_seconds} s, and --since is"
            " before that",
            "use `cdcd reconcile full`",
        )
    generations = await Generations(session).of(table)
    reader = LogReader(
        session, table.spec, settings, asyncio.Semaphore(settings.reads_in_flight_max)
    )
    horizon_ms = int(settings.settle_delays_seconds[-1] * 1000)
    # One lane is the whole ring.
    lanes = LaneSet(frozenset([0]), 1)
    pace = Pace(WINDOW_MS_MIN, int(settings.window_seconds_max * 1000), settings.window_rows)
    width_ms, at_ms = WINDOW_MS, start_ms
    found: set[Scope] = set()
    while at_ms < end_ms:
        window = Window(at_ms, min(at_ms + width_ms, end_ms))
        needed = generations_to_settle(generations, window, horizon_ms)
        streams = list(dict.fromkeys(s for g in needed for s in streams_of(g, lanes)))
        try:
            read = await reader.read(streams, lanes, window)
        except WindowTooWide:
            width_ms = max((window.end_ms - window.start_ms) // 2, 1)
            continue
        at_ms, width_ms = window.end_ms, next_width(width_ms, read.weight, pace)
        found |= {touched(event) for event in read.events}
        if len(found) >= SCOPES_AT_ONCE:
            yield found
            found = set()
    yield found


@dataclass
class Compared:
    """Rows of one part that were compared so far; one that is touched again may count twice."""

    rows_source: int = 0
    rows_target: int = 0
    suspects: dict[Key, Suspect] = field(default_factory=dict)


async def compare(verifier: Verifier, scopes: Iterable[Scope], into: Compared) -> None:
    """Compare what the scopes hold of the verifier's part."""
    form = verifier.part.form
    rows: dict[Key, Suspect] = {}
    for scope in scopes:
        for key in await _keys(verifier, scope):
            rows[form.key_of(key)] = Suspect(key, Seen(None, None))
    for key, seen in (await verifier.look(rows)).items():
        into.rows_source += seen.source is not None
        into.rows_target += seen.target is not None
        if not seen.is_equal:
            into.suspects[key] = Suspect(rows[key].cql_key, seen)


async def _keys(verifier: Verifier, scope: Scope) -> list[Key]:
    """The keys, as the source has them, of the part's rows in a scope."""
    part = verifier.part
    match scope:
        case StaticRow(partition) | Partition(partition) if part.target.is_static:
            return [partition]
        case Row(partition, clustering) if not part.target.is_static:
            return [partition + clustering]
        case Partition(partition) if not part.target.is_static:
            there = {part.form.cql_key(key) for key in await verifier.target.partition(partition)}
            rows = await verifier.source.partition(partition)
            return [*there.union(cql_key(part, row) for row in rows)]
        case _:
            return []
