"""One batch, one transaction: staging, the offsets' compare-and-set, the rows, commit.

A batch holds the changes of one table from all Kafka partitions that this worker has: their keys
are disjoint, so they merge into fewer and bigger statements and commits than a writer for each
partition would make, and a table's connection count does not grow with its partitions. The
compare-and-set is still by partition. It comes before all else that others see: a worker that has
lost a partition finds out before it touches a row, and two owners wait for each other there and
nowhere else.

A small batch goes as arrays in the statements' parameters. A big one is copied in binary into a
staging table of the connection's own; those cost time at every commit of their connection, so a
connection keeps few of them. Behind a pooler the table is made and dropped in the transaction. A
batch is copied before its turn: that holds no lock, so the batch before may still be at work, and a
worker that is frozen in it, for which PostgreSQL has no limit, is in nobody's way.

Changes of elements are merged with what the rows have within the transaction: this worker alone
writes them. What only the source can tell is asked for before the commit that makes it necessary.

A batch that PostgreSQL refuses is written once more with a search: parts of it under savepoints,
until the guilty changes are alone. Their dead letters are rows of the same transaction.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from operator import add
from typing import Any, TypeVar
from uuid import uuid4

from cdcd.model.change import ChangeEvent
from cdcd.model.dead_letter import Refusal
from cdcd.model.errors import CdcdError, Transient
from cdcd.model.refresh import Partition, Request, Scope
from cdcd.ops.board import wall_clock_ms
from cdcd.ops.logs import get_logger
from cdcd.sink import letters, offsets
from cdcd.sink.batch import Batch, Laid, Refused, lay, refusal_of
from cdcd.sink.bisection import Bisection
from cdcd.sink.inbox import Move
from cdcd.sink.merge import BadValue, Kind
from cdcd.sink.pool import (
    Connection,
    Pool,
    Rejected,
    begin_parts,
    copy,
    keep_part,
    rejections,
    undo_part,
)
from cdcd.sink.ranges import RangeShape
from cdcd.sink.rows import Part, patched_rows, request_of
from cdcd.sink.sqlstates import UNSTORABLE
from cdcd.sink.statements import (
    SHAPE,
    Shape,
    apply,
    arrays,
    create_staging,
    delete_empty,
    find_empty,
    read_columns,
    staged,
)
from cdcd.sink.target import Target, quoted

log = get_logger()

# Up to here arrays are faster than COPY.
ARRAYS_ROWS_MAX = 200
# Each one costs about a quarter of a millisecond at every commit.
STAGING_TABLES_MAX = 3

Rows = Sequence[tuple[Any, ...]]
Result = TypeVar("Result")
Ask = Callable[[Sequence[Request]], Awaitable[None]]
# Told how many changes the batch has and which were refused so far; raises when that is too much.
Limit = Callable[[int, Sequence[Refused]], None]
# Returns when the batch before is done.
Turn = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Write:
    """What one transaction writes: a batch, laid out, and the offsets behind it. Where `laid` is
    None it can only be laid out in parts. `dead` are changes between those of the batch that were
    found to have no PostgreSQL form.
    """

    topic: str
    moves: Sequence[Move]
    batch: Batch
    laid: Laid | None
    dead: Sequence[Refused] = ()


@dataclass(slots=True)
class _Done:
    """What a transaction has done so far: rows to be read again, and what was refused."""

    unclear: list[ChangeEvent]
    dead: list[Refused]


@dataclass(slots=True)
class _Staging:
    """By target the staging tables of one transaction; none where the batch is small. Each use of
    one has a number, by which its rows are told from those before; `copied` has those of parts
    whose rows are there already, by the part's place.
    """

    tables: dict[Target, str] = field(default_factory=dict)
    uses: int = 0
    copied: dict[int, int] = field(default_factory=dict)


async def _at_once() -> None:
    """No batch is before this one."""


@asynccontextmanager
async def _frozen_ended(pool: Pool) -> AsyncIterator[None]:
    """Behind a failure that passes, end sessions of workers that are frozen: it may have waited for
    one of them, whose partitions are this worker's now.
    """
    try:
        yield
    except Transient:
        with suppress(CdcdError):
            if ended := await pool.end_frozen():
                log.warning("sessions of a worker that is frozen were ended", sessions=ended)
        raise


async def write(
    pool: Pool,
    pipeline: str,
    work: Write,
    ask: Ask,
    limit: Limit | None = None,
    *,
    turn: Turn = _at_once,
) -> list[Refused]:
    """Commit the rows and the offsets, or nothing; gives what was refused. Requests that were asked
    for may be repeated. All that others see happens after `turn`, whose exceptions end it.

    Without a limit it raises Rejected or BadValue for the batch as a whole, which has to be laid
    out; with one, what is refused is searched for and left out. Raises OffsetsMoved when a
    partition is another worker's now; whatever else it raises, the transaction may have been
    committed when the connection was lost in the end of it.
    """
    async with _frozen_ended(pool), pool.connection() as connection:
        staging = await _staging_tables(connection, work.laid, is_kept=pool.keeps_sessions)
        async with connection.transaction():
            if limit is None and work.laid is not None:
                await _copy_ahead(connection, work.laid, staging)
            await turn()
            await offsets.advance(connection, pipeline, work.topic, work.moves)
            done = _Done([], list(work.dead))
            if limit is None and work.laid is not None:
                done.unclear += await _apply_all(connection, work.laid, work.batch, staging)
            elif limit is not None:
                await _search(connection, work.batch, staging, done, limit)
            await letters.keep(connection, pipeline, [refused.letter for refused in done.dead])
            await letters.close(connection, (pipeline, work.topic), work.batch, done.dead)
            await ask(requests_of(done.unclear))
    return done.dead


async def _search(
    connection: Connection, batch: Batch, staging: _Staging, done: _Done, limit: Limit
) -> None:
    """Apply the batch part by part, and leave out what is refused alone."""
    found, count = Bisection(len(batch.events)), len(batch.events) + len(done.dead)
    await begin_parts(connection)
    while (at := found.next) is not None:
        part = batch.part(at)
        try:
            with rejections():
                laid = await in_thread_if_long(len(at), partial(lay, part))
                unclear = await _apply_all(connection, laid, part, staging)
        except Rejected as error:
            refusal = error.refusal
        except BadValue as error:
            refusal = refusal_of(error)
        else:
            await keep_part(connection)
            found.good()
            done.unclear += unclear
            continue
        await undo_part(connection)
        if found.bad():
            done.dead.append(batch.refused(at.start, refusal, wall_clock_ms()))
            limit(count, done.dead)


async def in_thread_if_long(rows: int, work: Callable[[], Result]) -> Result:
    """Do something with so many rows; in a thread where that takes long, so that the loop answers
    meanwhile.
    """
    return await asyncio.to_thread(work) if rows > ARRAYS_ROWS_MAX else work()


async def _copy_ahead(connection: Connection, laid: Laid, staging: _Staging) -> None:
    """Copy the rows that depend on nothing that is in the target."""
    for place, part in enumerate(laid.parts):
        name = staging.tables.get(part.target)
        if name is not None and not part.patched and not isinstance(part.shape, RangeShape):
            await _copy(connection, part, part.rows, name, staging)
            staging.copied[place] = staging.uses


async def _copy(
    connection: Connection, part: Part, rows: Rows, name: str, staging: _Staging
) -> None:
    staging.uses += 1
    columns = [SHAPE, *(column for column, _ in part.columns)]
    await copy(connection, name, columns, map(add, repeat((staging.uses,)), rows))


async def _apply_all(
    connection: Connection, laid: Laid, batch: Batch, staging: _Staging
) -> list[ChangeEvent]:
    """Run the statements; gives the changes whose rows are to be read again."""
    unclear = list(laid.unclear)
    tables = {} if _is_small(laid) else staging.tables
    for place, part in enumerate(laid.parts):
        number = staging.copied.pop(place, None)
        if number is not None:
            await _apply_copied(connection, part, staging.tables[part.target], number)
        else:
            await _apply(connection, part, tables.get(part.target), staging)
        if part.checked:
            unclear += [batch.events[at] for at in await _emptied(connection, part)]
    return unclear


def requests_of(events: Iterable[ChangeEvent]) -> list[Request]:
    """One request for each scope; none for a row whose whole partition is asked for."""
    found: dict[Scope, Request] = {}
    for event in events:
        request = request_of(event, uuid4().hex)
        found.setdefault(request.scope, request)
    partitions = {scope.partition for scope in found if isinstance(scope, Partition)}
    return [
        request
        for scope, request in found.items()
        if isinstance(scope, Partition) or getattr(scope, "partition", None) not in partitions
    ]


async def _apply(connection: Connection, part: Part, table: str | None, staging: _Staging) -> None:
    rows: Rows = part.rows
    if part.patched:
        names = [column.name for _, column in part.patched]
        found = await connection.fetch(read_columns(part.target, names), *_keys(part, part.ats))
        rows = patched_rows(part, {row[0]: tuple(row)[1:] for row in found})
    if table is None or isinstance(part.shape, RangeShape):
        statement = apply(part.target, part.shape, arrays(part.columns))
        _expect_all(part, await connection.execute(statement, *_columns(rows)))
        return
    await _copy(connection, part, rows, table, staging)
    await _apply_copied(connection, part, table, staging.uses)


async def _apply_copied(connection: Connection, part: Part, table: str, number: int) -> None:
    done = await connection.execute(apply(part.target, part.shape, staged(table)), number)
    _expect_all(part, done)


def _expect_all(part: Part, done: str) -> None:
    """Raise Rejected where a row that was to be there is another key's: 1.0 for 1.00."""
    scaled, shape = part.target.scaled, part.shape
    writes = isinstance(shape, Shape) and shape.kind in (Kind.UPSERT, Kind.REPLACE)
    if scaled and writes and done != f"INSERT 0 {len(part.rows)}":
        condition = "a number that another row has with another scale"
        mend = f'; `type = "text"` in the settings of {scaled[0].source.name} tells them apart'
        raise Rejected(Refusal(UNSTORABLE, condition + mend, column=scaled[0].source.name))


async def _emptied(connection: Connection, part: Part) -> list[int]:
    """The events of rows that have nothing but nulls now. A static row without values is none."""
    target = part.target
    if target.is_static and not target.is_partial:
        await connection.execute(delete_empty(target), *_keys(part))
        return []
    found = await connection.fetch(find_empty(target), *_keys(part, part.ats))
    return [row[0] for row in found]


def _keys(part: Part, *more: Sequence[int]) -> list[Sequence[Any]]:
    width = len(part.target.key)
    return [*_columns([row[:width] for row in part.rows]), *more]


def _columns(rows: Rows) -> list[Sequence[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


async def _staging_tables(connection: Connection, laid: Laid | None, *, is_kept: bool) -> _Staging:
    """The staging tables of a big batch."""
    if laid is None or _is_small(laid):
        return _Staging()
    targets = dict.fromkeys(part.target for part in laid.parts)
    return _Staging({t: await _staging(connection, t, is_kept=is_kept) for t in targets})


def _is_small(laid: Laid) -> bool:
    return sum(len(part.rows) for part in laid.parts) <= ARRAYS_ROWS_MAX


def is_copied(work: Write) -> bool:
    """Whether a batch's rows are copied, which can be done before its turn. Whether there are too
    many refused ones among them can only be told in order.
    """
    return work.laid is not None and not work.dead and not _is_small(work.laid)


async def _staging(connection: Connection, target: Target, *, is_kept: bool) -> str:
    """The connection's staging table for the target, made if need be.

    A name is never used twice: statements prepared for the one before would read it wrongly.
    """
    known = connection.staging
    if target in known:
        known.move_to_end(target)
        return known[target]
    if len(known) >= STAGING_TABLES_MAX:
        oldest = next(iter(known))
        await connection.execute(f"DROP TABLE {quoted(known[oldest])}")
        del known[oldest]
    name = f"cdcd_staging_{next(connection.staging_numbers)}"
    await connection.execute(create_staging(target, name, is_kept=is_kept))
    known[target] = name
    return name
