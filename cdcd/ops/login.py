"""A database login that changes while the daemon runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from cdcd.config.settings import Settings
from cdcd.model.login import Login
from cdcd.ops.supervise import Starting

# Gives the login to use now. Raises Transient while there is none.
TakeLogin = Callable[[], Login]


@asynccontextmanager
async def leased_login(
    settings: Settings, starting: Starting, report: Callable[[float], None]
) -> AsyncIterator[TakeLogin | None]:
    """The login for PostgreSQL that is leased from Vault, kept while the context is open; None
    where the settings lease none. `report` is told how many seconds it is good for.
    """
    path = settings.postgres.vault_login
    if path is None:
        yield None
        return
    from cdcd.ops.vault import LeasedLogin  # noqa: PLC0415  few need it, and it takes memory

    leased = LeasedLogin(settings.vault, path)
    try:
        await starting.reach(leased.begin)
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(leased.keep(report))
            yield lambda: leased.login
            keeping.cancel()
    finally:
        leased.close()
