"""Where comparisons are written down in the target, and what the target says of itself then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg

from demod.compare import Compared
from demod.errors import DemoError
from demod.places import KEYSPACE, PIPELINE, TARGET_SCHEMA

_RECORD = """
INSERT INTO cdcd.reconcile_runs
    (run_id, pipeline, source_table, target_schema, target_table, state,
     rows_source, rows_target, missing, extra, different, started_at, checked_at)
VALUES ($1, $2, $3, $4, $5, 'finished', $6, $7, $8, $9, $10, $11, clock_timestamp())
"""
_OTHERS = """
SELECT target_table, pipeline, source_table FROM cdcd.targets
WHERE target_schema = $1 AND pipeline <> $2 ORDER BY target_table
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the target's view and functions say; `others` are tables of other pipelines there."""

    summary: list[asyncpg.Record]
    completeness: Decimal | None
    is_complete: bool
    others: list[str]


async def refuse_foreign_targets(postgres: asyncpg.Connection[Any], tables: Sequence[str]) -> None:
    """Raise DemoError when another pipeline writes one of the demo's targets."""
    for row in await _others(postgres):
        if row["target_table"] in tables:
            raise DemoError(
                f"pipeline {row['pipeline']} writes {row['source_table']} to "
                f"{TARGET_SCHEMA}.{row['target_table']} already; `make down` makes room"
            )


async def record(
    postgres: asyncpg.Connection[Any], compared: Sequence[Compared], started: datetime
) -> None:
    """Write the comparisons down as one run."""
    run_id = uuid4()
    rows = [
        (
            *(run_id, PIPELINE, f"{KEYSPACE}.{c.table}", TARGET_SCHEMA, c.table),
            *(c.rows_source, c.rows_target, len(c.missing), len(c.extra), len(c.different)),
            started,
        )
        for c in compared
    ]
    await postgres.executemany(_RECORD, rows)


async def verdict(postgres: asyncpg.Connection[Any]) -> Verdict:
    """Ask the target."""
    others = await _others(postgres)
    return Verdict(
        await postgres.fetch(f"SELECT * FROM {TARGET_SCHEMA}.validation_summary"),
        await postgres.fetchval(f"SELECT {TARGET_SCHEMA}.get_replication_completeness()"),
        await postgres.fetchval(f"SELECT {TARGET_SCHEMA}.is_replication_complete()"),
        [row["source_table"] for row in others],
    )


async def _others(postgres: asyncpg.Connection[Any]) -> list[asyncpg.Record]:
    if await postgres.fetchval("SELECT to_regclass('cdcd.targets')") is None:
        return []
    return await postgres.fetch(_OTHERS, TARGET_SCHEMA, PIPELINE)
