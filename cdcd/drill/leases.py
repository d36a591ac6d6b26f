"""Rounds in which Vault is away while it leases the worker's login for PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from cdcd.drill.ground import Ground
from cdcd.drill.shortage import admin, break_connections

# Longer than a login of the stack's Vault is good for: a lease, and the five seconds that are added
# to it in PostgreSQL.
AWAY_SECONDS = 10.0


@asynccontextmanager
async def leased(ground: Ground) -> AsyncIterator[Mapping[str, str]]:
    """The stack's Vault; gives the settings that make a worker take its login from there."""
    stack = ground.stack_in_reach
    try:
        await stack.control("start", "vault")
        vault = stack.vault()
        dsn = urlsplit(ground.settings.postgres.dsn.get_secret_value())
        yield {
            "CDCD_VAULT__URL": vault["url"],
            "CDCD_VAULT__TOKEN": vault["token"],
            "CDCD_POSTGRES__DSN": dsn._replace(netloc=dsn.netloc.rpartition("@")[2]).geturl(),
            "CDCD_POSTGRES__VAULT_LOGIN": vault["login"],
        }
    finally:
        try:
            # The workers' logins are taken back before Vault, which does it, is no more.
            for worker in ground.workers:
                worker.kill()
            await stack.control("start", "vault")
            await asyncio.sleep(AWAY_SECONDS)
        finally:
            await stack.control("stop", "vault")


async def vault(ground: Ground, number: int) -> float:
    """Vault is killed or sealed until the login has ended, and then the worker's connections break:
    only Vault has another.
    """
    stack = ground.stack_in_reach
    try:
        await stack.control("seal" if number % 2 else "kill", "vault")
        await asyncio.sleep(AWAY_SECONDS)
        async with admin(ground) as pool:
            await break_connections(ground, pool)
        beat = await ground.beat()
    finally:
        await stack.control("start", "vault")
    began = time.monotonic()
    return await ground.seen(beat) - began
