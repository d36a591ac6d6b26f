"""One batch, one transaction: the offsets' compare-and-set, then the rows, then commit.

A batch holds the changes of one table from all Kafka partitions that this worker has: their keys
are disjoint, so they merge into fewer and bigger statements and commits than a writer for each
partition would make, and a table's connection count does not grow with its partitions. The
compare-and-set is still by partition. It comes first: a worker that has lost a partition finds out
before it touches a row, and two owners wait for each other there and nowhere else.

A small batch goes as arrays in the statements' parameters. A big one is copied in binary into a
staging table of the connection's own; those cost time at every commit of their connection, so a
connection keeps few of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cdcd.sink import offsets
from cdcd.sink.inbox import Move
from cdcd.sink.pool import Connection, Pool, copy
from cdcd.sink.rows import Part
from cdcd.sink.statements import SHAPE, Target, apply, arrays, create_staging, quoted, staged

# Up to here arrays are faster than COPY.
ARRAYS_ROWS_MAX = 200
# Each one costs about a quarter of a millisecond at every commit.
STAGING_TABLES_MAX = 3


@dataclass(frozen=True, slots=True)
class Write:
    """What one transaction writes: rows for a target, and the offsets behind them."""

    topic: str
    target: Target
    parts: Sequence[Part]
    moves: Sequence[Move]


async def write(pool: Pool, pipeline: str, work: Write) -> None:
    """Commit the rows and the offsets, or nothing.

    Raises OffsetsMoved when a partition is another worker's now; whatever else it raises, the
    transaction may have been committed when the connection was lost in the end of it.
    """
    rows = sum(len(p.rows) for p in work.parts)
    async with pool.connection() as connection:
        staging = await _staging(connection, work.target) if rows > ARRAYS_ROWS_MAX else None
        async with connection.transaction():
            await offsets.advance(connection, pipeline, work.topic, work.moves)
            if staging is None:
                await _apply_arrays(connection, work)
            else:
                await _apply_staged(connection, work, staging)


async def _apply_arrays(connection: Connection, work: Write) -> None:
    for part in work.parts:
        statement = apply(work.target, part.shape, arrays(part.columns))
        await connection.execute(statement, *map(list, zip(*part.rows, strict=True)))


async def _apply_staged(connection: Connection, work: Write, staging: str) -> None:
    for at, part in enumerate(work.parts):
        names = [SHAPE, *(name for name, _ in part.columns)]
        await copy(connection, staging, names, [(at, *row) for row in part.rows])
        await connection.execute(apply(work.target, part.shape, staged(staging)), at)


async def _staging(connection: Connection, target: Target) -> str:
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
    await connection.execute(create_staging(target, name))
    known[target] = name
    return name
