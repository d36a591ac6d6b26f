"""One batch, one transaction: the offsets' compare-and-set, then the rows, then commit.

A batch holds the changes of one table from all Kafka partitions that this worker has: their keys
are disjoint, so they merge into fewer and bigger statements and commits than a writer for each
partition would make, and a table's connection count does not grow with its partitions. The
compare-and-set is still by partition. It comes first: a worker that has lost a partition finds out
before it touches a row, and two owners wait for each other there and nowhere else.

A small batch goes as arrays in the statements' parameters. A big one is copied in binary into a
staging table of the connection's own; those cost time at every commit of their connection, so a
connection keeps few of them. Behind a pooler the table is made and dropped in the transaction.

Changes of elements are merged with what the rows have within the transaction: this worker alone
writes them. What only the source can tell is asked for before the commit that makes it necessary.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from cdcd.model.change import ChangeEvent
from cdcd.model.refresh import Partition, Request, Scope
from cdcd.sink import offsets
from cdcd.sink.inbox import Move
from cdcd.sink.pool import Connection, Pool, copy
from cdcd.sink.ranges import RangeShape
from cdcd.sink.rows import Part, patched_rows, request_of
from cdcd.sink.statements import (
    SHAPE,
    apply,
    arrays,
    create_staging,
    delete_empty,
    find_empty,
    read_columns,
    staged,
)
from cdcd.sink.target import Target, quoted

# Up to here arrays are faster than COPY.
ARRAYS_ROWS_MAX = 200
# Each one costs about a quarter of a millisecond at every commit.
STAGING_TABLES_MAX = 3

Rows = Sequence[tuple[Any, ...]]
Ask = Callable[[Sequence[Request]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Write:
    """What one transaction writes: parts made of events, and the offsets behind them. `refreshes`
    are indices of events whose rows are to be read again.
    """

    topic: str
    parts: Sequence[Part]
    moves: Sequence[Move]
    events: Sequence[ChangeEvent] = ()
    refreshes: Sequence[int] = ()


async def write(pool: Pool, pipeline: str, work: Write, ask: Ask) -> None:
    """Commit the rows and the offsets, or nothing. Requests that were asked for may be repeated.

    Raises OffsetsMoved when a partition is another worker's now, and BadValue; whatever else it
    raises, the transaction may have been committed when the connection was lost in the end of it.
    """
    async with pool.connection() as connection:
        staging = await _staging_tables(connection, work.parts, is_kept=pool.keeps_sessions)
        async with connection.transaction():
            await offsets.advance(connection, pipeline, work.topic, work.moves)
            unclear = list(work.refreshes)
            for number, part in enumerate(work.parts):
                await _apply(connection, part, staging.get(part.target), number)
                if part.checked:
                    unclear += await _emptied(connection, part)
            await ask(requests_of(work.events[at] for at in unclear))


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


async def _apply(connection: Connection, part: Part, staging: str | None, number: int) -> None:
    rows: Rows = part.rows
    if part.patched:
        names = [column.name for _, column in part.patched]
        found = await connection.fetch(read_columns(part.target, names), *_keys(part, part.ats))
        rows = patched_rows(part, {row[0]: tuple(row)[1:] for row in found})
    if staging is None or isinstance(part.shape, RangeShape):
        statement = apply(part.target, part.shape, arrays(part.columns))
        await connection.execute(statement, *_columns(rows))
        return
    columns = [SHAPE, *(column for column, _ in part.columns)]
    await copy(connection, staging, columns, [(number, *row) for row in rows])
    await connection.execute(apply(part.target, part.shape, staged(staging)), number)


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


async def _staging_tables(
    connection: Connection, parts: Sequence[Part], *, is_kept: bool
) -> dict[Target, str]:
    """By target, the staging tables of a big batch; none for a small one."""
    if sum(len(part.rows) for part in parts) <= ARRAYS_ROWS_MAX:
        return {}
    targets = dict.fromkeys(part.target for part in parts)
    return {target: await _staging(connection, target, is_kept=is_kept) for target in targets}


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
