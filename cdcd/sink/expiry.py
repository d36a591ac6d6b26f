"""Expiry: when something of a row expires, the row is read again. The log does not say it.

A row's `cdc_expires_at` is the earliest time at which something of it expires. Then a refresh is
asked for, and once the brokers have the request, the time is moved on in one transaction: to
`cdc_expires_last`, when the last of it has expired, or to null. What a refresh reads of cells that
expire later it asks for itself; it cannot see that of collections and of row markers, so the last
time is kept.
"""

# ruff: noqa: S608  making SQL text is what this module is for; every name goes through `quoted`

import asyncio
from contextlib import suppress
from uuid import uuid4

from cdcd.model.refresh import Request
from cdcd.ops.board import wall_clock_ms
from cdcd.sink.pool import Connection, Pool
from cdcd.sink.rows import EPOCH_US
from cdcd.sink.target import EXPIRES_AT, EXPIRES_KEY, EXPIRES_LAST, Target, Targets, quoted
from cdcd.transport.lane_records import decode_request
from cdcd.transport.requests import Requests

# Rows that one transaction asks for.
ROWS_MAX = 500
# How soon to look again while there is more to ask for.
BUSY_SECONDS = 0.05

_AT, _LAST, _KEY = quoted(EXPIRES_AT), quoted(EXPIRES_LAST), quoted(EXPIRES_KEY)
# So that of several workers one sweeps a table at a time.
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext($1), 1)"


class Sweeper:
    """Looks for rows of one table that are due."""

    def __init__(self, pool: Pool, requests: Requests) -> None:
        self._pool = pool
        self._requests = requests
        self._next_ms: int | None = None
        self._woken = asyncio.Event()

    def expect(self, expires_ms: int) -> None:
        """Something that was written expires then."""
        if self._next_ms is None or expires_ms < self._next_ms:
            self._next_ms = expires_ms
            self._woken.set()

    async def wait(self, limit_seconds: float) -> None:
        """Return when something is due, or at the limit."""
        ends_ms = wall_clock_ms() + int(limit_seconds * 1000)
        while True:
            self._woken.clear()
            due_ms = ends_ms if self._next_ms is None else min(ends_ms, self._next_ms)
            left_ms = due_ms - wall_clock_ms()
            if left_ms <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left_ms / 1000):
                    await self._woken.wait()

    async def sweep(self, targets: Targets, now_ms: int, writing: asyncio.Lock) -> float:
        """Ask for the rows that are due, at most so many; gives the seconds until the next are.

        Raises Transient, Rejected and TargetBroken. `writing` is held while rows are changed.
        """
        self._next_ms = None
        found: list[int] = []
        for target in targets.all:
            due_ms = await self._sweep(target, now_ms, writing)
            found += [] if due_ms is None else [due_ms]
        if not found:
            return float("inf")
        return max((min(found) - now_ms) / 1000, BUSY_SECONDS)

    async def _sweep(self, target: Target, now_ms: int, writing: asyncio.Lock) -> int | None:
        """When the next row is due."""
        async with self._pool.connection() as connection:
            next_ms = await self._first(connection, target)
        if next_ms is None or next_ms > now_ms:
            return next_ms
        # The lock before the connection, as the writer does: else the two could wait in a circle.
        async with writing, self._pool.transaction() as connection:
            if await connection.fetchval(_LOCK, target.quoted):
                await self._ask(connection, target, now_ms)
            return await self._first(connection, target)

    async def _first(self, connection: Connection, target: Target) -> int | None:
        text = f"SELECT {_AT} FROM {target.quoted} WHERE {_AT} IS NOT NULL ORDER BY {_AT} LIMIT 1"
        found = await connection.fetchval(text)
        return None if found is None else (found[0] + EPOCH_US) // 1000 + 1

    async def _ask(self, connection: Connection, target: Target, now_ms: int) -> None:
        now = (now_ms * 1000 - EPOCH_US,)
        text = (
            f"SELECT {_KEY}, {_AT} FROM {target.quoted} WHERE {_AT} <= $1"
            f" ORDER BY {_AT} LIMIT {ROWS_MAX}"
        )
        rows = await connection.fetch(text, now)
        await self._requests.ask([_request(row[0]) for row in rows])
        keys, times = [row[0] for row in rows], [row[1] for row in rows]
        await connection.execute(_move_on(target), keys, times, now)


def _request(key: bytes) -> Request:
    return decode_request(uuid4().hex, key)


def _move_on(target: Target) -> str:
    """Rows that were asked for are due again when the last of them expires. One that was given
    another time meanwhile keeps it.
    """
    return (
        f"UPDATE {target.quoted} AS t"
        f" SET {_AT} = CASE WHEN t.{_LAST} > $3 THEN t.{_LAST} END"
        f" FROM unnest($1::bytea[], $2::timestamptz[]) AS s ({_KEY}, {_AT})"
        f" WHERE t.{_AT} = s.{_AT} AND t.{_KEY} = s.{_KEY}"
    )
