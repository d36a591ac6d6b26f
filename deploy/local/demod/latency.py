"""One user is inserted and updated, and looked for in PostgreSQL until it is seen there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import asyncpg

from demod.errors import DemoError
from demod.sides import Scylla

ARRIVAL_SECONDS_MAX = 30.0
_POLL_SECONDS = 0.005

_INSERT = """
INSERT INTO app_data.users
    (user_id, email, full_name, address, interests, loyalty_points, is_active, born, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE = "UPDATE app_data.users SET loyalty_points = ?, is_active = ? WHERE user_id = ?"
_UPDATED = "SELECT WRITETIME(loyalty_points) FROM app_data.users WHERE user_id = %s"
_SEEN = "SELECT email, full_name, loyalty_points FROM cdc_data.users WHERE user_id = $1"

Seen = asyncpg.Record | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from just before the write was sent until the row was seen in PostgreSQL, and when
    ScyllaDB has the update written, in microseconds since 1970.
    """

    insert_seconds: float
    update_seconds: float
    email: str
    updated_us: int
    points: tuple[int, int]


async def measure(scylla: Scylla, postgres: asyncpg.Connection[Any]) -> Latency:
    """Raise DemoError when one of the two writes does not arrive."""
    user_id = uuid4()
    email = f"live.{user_id.hex[:8]}@example.com"
    address = ("1 Change Log Lane", "Porto", "4000-001", "PT")
    now = datetime.now(UTC)
    values = (user_id, email, "Live User", address, {"latency"}, 10, False, date(1990, 5, 17), now)
    # Beforehand: preparing a statement is no part of a write.
    insert, update = await scylla.prepare(_INSERT), await scylla.prepare(_UPDATE)
    seen = await postgres.prepare(_SEEN)

    async def look() -> Seen:
        return await seen.fetchrow(user_id)

    inserted = await _timed(
        "the inserted user",
        lambda: scylla.execute(insert, values),
        look,
        lambda row: row is not None,
    )
    updated = await _timed(
        "the user's update",
        lambda: scylla.execute(update, (35, True, user_id)),
        look,
        lambda row: row is not None and row["loyalty_points"] == 35,
    )
    row = await look()
    if row is None or (row["email"], row["full_name"]) != (email, "Live User"):
        raise DemoError("the update changed columns that it did not write")
    ((updated_us,),) = await scylla.execute(_UPDATED, (user_id,))
    return Latency(inserted, updated, email, updated_us, (10, 35))


async def _timed(
    what: str,
    write: Callable[[], Awaitable[object]],
    look: Callable[[], Awaitable[Seen]],
    is_there: Callable[[Seen], bool],
) -> float:
    began = time.monotonic()
    await write()
    while not is_there(await look()):
        if time.monotonic() - began > ARRIVAL_SECONDS_MAX:
            raise DemoError(f"{what} did not arrive within {ARRIVAL_SECONDS_MAX:.0f} s")
        await asyncio.sleep(_POLL_SECONDS)
    return time.monotonic() - began
