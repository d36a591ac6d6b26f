"""The record of comparisons in `cdcd.reconcile_runs`."""

from typing import Any
from uuid import UUID

from cdcd.config.settings import PostgresSettings
from cdcd.reconcile.part import Part
from cdcd.reconcile.result import TableResult
from cdcd.sink.pool import Pool
from cdcd.sink.state import require_current

_BEGIN = """
INSERT INTO cdcd.reconcile_runs
    (run_id, mode, pipeline, source_table, target_schema, target_table, state, started_at)
VALUES ($1, $2, $3, $4, $5, $6, 'running', clock_timestamp()) RETURNING id
"""
_FINISH = """
UPDATE cdcd.reconcile_runs
SET state = 'finished', rows_source = $2, rows_target = $3, missing = $4, extra = $5,
    different = $6, repaired = $7, unjudged = $8, is_cut = $9, checked_at = clock_timestamp()
WHERE id = $1
"""
_FAIL = "UPDATE cdcd.reconcile_runs SET state = 'failed' WHERE id = ANY ($1::bigint[])"
_LATEST = """
SELECT t.source_table AS table, r.mode, r.state,
       r.rows_source AS rows, r.missing, r.extra, r.different, r.repaired,
       r.unjudged, r.is_cut AS cut,
       to_char(r.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS started_at,
       to_char(r.checked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS checked_at
FROM cdcd.targets t
LEFT JOIN LATERAL (
    SELECT *
    FROM cdcd.reconcile_runs r
    WHERE r.target_schema = t.target_schema AND r.target_table = t.target_table
      AND r.pipeline = t.pipeline AND r.source_table = t.source_table
    ORDER BY r.started_at DESC, r.id DESC
    LIMIT 1
) r ON true
WHERE t.pipeline = $1
ORDER BY t.source_table
"""


class Ledger:
    """Writes one run's comparisons down. They are the only thing that a comparison writes."""

    def __init__(self, pool: Pool, pipeline: str, run_id: UUID, mode: str) -> None:
        self._pool = pool
        self._run = (run_id, mode, pipeline)

    async def begin(self, part: Part) -> int:
        """A comparison begins; gives its number."""
        target = part.target
        names = (part.name, target.schema, target.name)
        async with self._pool.connection() as connection:
            number: int = await connection.fetchval(_BEGIN, *self._run, *names)
        return number

    async def finish(self, number: int, result: TableResult) -> None:
        """A comparison has ended. What was repaired is counted with the differences that are gone,
        so that `validation_summary` shows the target as it is now.
        """
        counts = (result.rows, result.rows_target, *result.left, result.repaired, result.unjudged)
        async with self._pool.connection() as connection:
            await connection.execute(_FINISH, number, *counts, result.is_cut)

    async def fail(self, numbers: list[int]) -> None:
        """Comparisons could not finish."""
        async with self._pool.connection() as connection:
            await connection.execute(_FAIL, numbers)


async def look(settings: PostgresSettings, pipeline: str) -> list[dict[str, Any]]:
    """The latest comparison of each of the pipeline's targets, by a connection of its own."""
    async with Pool(settings, "cdcd reconcile status") as pool:
        async with pool.connection() as connection:
            await require_current(connection)
        return await latest(pool, pipeline)


async def latest(pool: Pool, pipeline: str) -> list[dict[str, Any]]:
    """The latest comparison of each of the pipeline's targets; nulls where there is none."""
    async with pool.connection() as connection:
        return [dict(row) for row in await connection.fetch(_LATEST, pipeline)]
