"""The versions of what cdcd keeps in the target database, and how one becomes the next.

Each script makes the next version of the one before. Workers of the release before go on beside it
until they are replaced, so a script only adds. One that was released is never changed.
"""

from functools import cache
from importlib.resources import files

from cdcd.model.errors import ConfigurationError
from cdcd.ops.logs import get_logger
from cdcd.sink.pool import Connection

log = get_logger()

SCRIPTS = ("bookkeeping.sql", "dead_letters.sql", "cut_runs.sql", "left_out.sql")
STATE_VERSION = len(SCRIPTS)


@cache
def script(name: str) -> str:
    """The text of a script of this package."""
    return (files("cdcd.sink") / name).read_text(encoding="utf-8")


async def bring_up(connection: Connection) -> None:
    """Make the state, or make it this release's where an older one left it. The caller's lock keeps
    others from doing the same. Raises ConfigurationError for a newer one's.
    """
    version = await check_version(connection)
    if version == STATE_VERSION:
        return
    # An operator may have made it, for a user who may not.
    if await connection.fetchval("SELECT to_regnamespace('cdcd')") is None:
        await connection.execute("CREATE SCHEMA cdcd")
    for name in SCRIPTS[version:]:
        await connection.execute(script(name))
    await connection.execute("UPDATE cdcd.meta SET state_version = $1", STATE_VERSION)
    log.info("state in PostgreSQL brought up", from_version=version, version=STATE_VERSION)


async def require_current(connection: Connection) -> None:
    """Raise ConfigurationError unless the state is this release's."""
    version = await check_version(connection)
    if version < STATE_VERSION:
        raise ConfigurationError(
            f"PostgreSQL: schema cdcd has version {version}, and this cdcd needs {STATE_VERSION}",
            "the first worker of this release brings it up: start `cdcd run`",
        )


async def check_version(connection: Connection) -> int:
    """The state's version, 0 for none. Raises ConfigurationError for a newer release's."""
    if await connection.fetchval("SELECT to_regclass('cdcd.meta')") is None:
        return 0
    version: int = await connection.fetchval("SELECT max(state_version) FROM cdcd.meta")
    if version > STATE_VERSION:
        raise ConfigurationError(
            f"PostgreSQL: schema cdcd has version {version}, and this cdcd knows {STATE_VERSION}",
            "run the release that made it, or a later one",
        )
    return version
