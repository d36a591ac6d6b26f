"""Rounds in which PostgreSQL runs out of something: of connections, or of room on a disk."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from pydantic import SecretStr

from cdcd.drill.ground import Ground
from cdcd.model.errors import ConfigurationError, Fatal, Transient
from cdcd.sink.pool import Pool

WITHOUT_SECONDS = 3.0
# More than any server that this is held on takes; each costs it some megabytes.
CONNECTIONS_MAX = 500
_TAKER = "cdcd drill, taking connections"
_LOOKS, _LOOKS_MAX = 2, 50
_BREAK = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1
"""
# Only logins of Vault's are valid for a time.
_VALID_LOGINS = """
SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolvaliduntil > now()
    AND rolvaliduntil < 'infinity'
"""


@asynccontextmanager
async def admin(ground: Ground) -> AsyncIterator[Pool]:
    """Connections of PostgreSQL's superuser, to whom the reserved ones are given too."""
    own = {
        "dsn": SecretStr(ground.stack_in_reach.admin_dsn),
        "username": None,
        "password": None,
        "vault_login": None,
        "pool_connections_max": CONNECTIONS_MAX,
    }
    async with Pool(ground.settings.postgres.model_copy(update=own), _TAKER) as pool:
        yield pool


async def connections(ground: Ground, _number: int) -> float:
    """All connections are taken, and those of the worker broken: it finds none."""
    async with admin(ground) as pool, AsyncExitStack() as taken:
        first = await taken.enter_async_context(pool.connection())
        looks = 0
        # A worker that is quicker than this to take one is sent away again. Twice without one,
        # because what a connection held is free a moment after it is gone.
        for _ in range(_LOOKS_MAX):
            await _take_all(pool, taken)
            broken = await first.fetchval(_BREAK, _named(ground))
            looks = 0 if broken else looks + 1
            if looks == _LOOKS:
                break
        else:
            raise Fatal("the worker is always quicker to take a connection", "try again")
        beat = await ground.beat()
        await asyncio.sleep(WITHOUT_SECONDS)
    began = time.monotonic()
    return await ground.seen(beat) - began


async def break_connections(ground: Ground, pool: Pool) -> None:
    """Break those of the workers, once no login is valid with which they would have others."""

    async def has_ended() -> bool:
        async with pool.connection() as connection:
            return not await connection.fetchval(_VALID_LOGINS)

    await ground.until(has_ended, "the end of the leased login")
    async with pool.connection() as connection:
        await connection.fetchval(_BREAK, _named(ground))


def _named(ground: Ground) -> str:
    """What the workers' connections are called."""
    return f"cdcd {ground.place.pipeline}"


async def _take_all(pool: Pool, taken: AsyncExitStack) -> None:
    for _ in range(CONNECTIONS_MAX):
        try:
            await taken.enter_async_context(pool.connection())
        except Transient:
            return
    raise ConfigurationError(f"PostgreSQL gives more than {CONNECTIONS_MAX} connections")


# ---- a full disk ---------------------------------------------------------------------------------

DISK_FULL = "SQLSTATE 53100"
# Rows that no free place in the table's pages holds.
_BIG_ROWS, _BIG_BYTES = 100, 4000
_BIG_FROM = 2_000_000
_BIG = "INSERT INTO {t} (pk, ck, a, b) VALUES (?, 0, ?, ?)"
_SPACE = "cdcd_drill"
_IS_SPACE = "SELECT 1 FROM pg_tablespace WHERE spcname = $1"
_MOVE_ALL = f"ALTER TABLE ALL IN TABLESPACE {_SPACE} SET TABLESPACE pg_default"
_MOVE = 'ALTER TABLE "{s}"."{t}" SET TABLESPACE {space}'


@asynccontextmanager
async def small_disk(ground: Ground) -> AsyncIterator[Mapping[str, str]]:
    """A small file system with a tablespace on it, for as long as the block."""
    stack = ground.stack_in_reach
    await stack.control("mount", "postgres")
    try:
        async with admin(ground) as pool:
            # An interrupted drill may have left it.
            await _leave_space(ground, pool)
            await _execute(pool, f"CREATE TABLESPACE {_SPACE} LOCATION '{stack.small_disk()}'")
            try:
                yield {}
            finally:
                for worker in ground.workers:
                    worker.kill()
                await _leave_space(ground, pool)
    finally:
        await stack.control("unmount", "postgres")


async def _leave_space(ground: Ground, pool: Pool) -> None:
    """Move what is in the tablespace elsewhere, and drop it, if it is there."""
    await ground.stack_in_reach.control("free", "postgres")
    async with pool.connection() as connection:
        if await connection.fetchval(_IS_SPACE, _SPACE):
            await connection.execute(_MOVE_ALL)
            await connection.execute(f"DROP TABLESPACE {_SPACE}")


async def disk(ground: Ground, number: int) -> float:
    """The disk of the target's table is full when rows come that need room."""
    stack, place = ground.stack_in_reach, ground.place
    async with admin(ground) as pool:
        await _execute(pool, _MOVE.format(s=place.schema, t=place.table, space=_SPACE))
    met = sum(worker.count(DISK_FULL) for worker in ground.workers)
    await stack.control("fill", "postgres")
    try:
        first = _BIG_FROM + number * _BIG_ROWS
        rows = range(first, first + _BIG_ROWS)
        big = secrets.token_hex(_BIG_BYTES // 2)
        await ground.writer.write(_BIG, [(pk, big, pk) for pk in rows])
        beat = await ground.beat()

        async def is_met() -> bool:
            return sum(worker.count(DISK_FULL) for worker in ground.workers) > met

        await ground.until(is_met, "a worker's word that the disk is full")
        await asyncio.sleep(WITHOUT_SECONDS)
    finally:
        await stack.control("free", "postgres")
    began = time.monotonic()
    return await ground.seen(beat) - began


async def _execute(pool: Pool, statement: str) -> None:
    async with pool.connection() as connection:
        await connection.execute(statement)
