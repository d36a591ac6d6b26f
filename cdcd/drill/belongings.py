"""What a try on the user's servers makes for itself, and takes away in the end: keyspace, table,
topics, subjects, and rows in PostgreSQL. Nothing of others is touched.
"""

import asyncio
import signal
from functools import partial

from cdcd.config.settings import KafkaSettings
from cdcd.drill.place import Place
from cdcd.model.errors import ConfigurationError
from cdcd.sink.pool import Pool
from cdcd.source.session import Session, StatementRefused
from cdcd.transport.registry import Registry
from cdcd.transport.sweep import sweep

REPLICAS_MAX = 3


def end_by_sigterm() -> None:
    """Have a SIGTERM end this command as a Ctrl-C does: with what it has made taken away."""
    interrupt = partial(signal.raise_signal, signal.SIGINT)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, interrupt)


async def make(session: Session, place: Place, columns: str, *, tablets: bool) -> bool:
    """Make keyspace and table; gives whether the keyspace was made now."""
    known = await session.query(
        "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s",
        (place.keyspace,),
    )
    if not known:
        nodes = 1 + len(await session.query("SELECT peer FROM system.peers"))
        create = (
            f"CREATE KEYSPACE IF NOT EXISTS {place.keyspace} WITH replication ="
            " {'class': 'NetworkTopologyStrategy',"
            f" 'replication_factor': {min(nodes, REPLICAS_MAX)}}}"
        )
        try:
            kind = str(tablets).lower()
            await session.query(f"{create} AND tablets = {{'enabled': {kind}}}")
        except StatementRefused:  # a version without tablets, or one with nothing else
            await session.query(create)
    try:
        await session.query(
            f"CREATE TABLE {place.full_name} ({columns}) WITH cdc = {{'enabled': true}}"
        )
    except StatementRefused as error:
        raise ConfigurationError(error.message, "this user has to make tables") from None
    return not known


async def take_away(
    place: Place,
    session: Session,
    pool: Pool,
    kafka: tuple[KafkaSettings, Registry],
    *,
    keyspace_too: bool,
) -> None:
    """Take away what was made here; what another try uses stays."""
    await session.query(f"DROP TABLE IF EXISTS {place.full_name}")
    if keyspace_too and not await session.query(
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s LIMIT 1",
        (place.keyspace,),
    ):
        await session.query(f"DROP KEYSPACE IF EXISTS {place.keyspace}")
    async with pool.transaction() as connection:
        for table in (place.table, f"{place.table}__static"):
            await connection.execute(f'DROP TABLE IF EXISTS "{place.schema}"."{table}" CASCADE')
        tables = await connection.fetch(
            "SELECT table_name FROM information_schema.columns c JOIN information_schema.tables t"
            " USING (table_schema, table_name) WHERE table_schema = 'cdcd'"
            " AND column_name = 'pipeline' AND table_type = 'BASE TABLE'"
        )
        for (table,) in tables:
            statement = f'DELETE FROM cdcd."{table}" WHERE pipeline = $1'  # noqa: S608  the catalog's
            await connection.execute(statement, place.pipeline)
        others = "SELECT count(*) FROM cdcd.targets WHERE target_schema = $1"
        if not await connection.fetchval(others, place.schema):
            await connection.execute(f'DROP SCHEMA IF EXISTS "{place.schema}" CASCADE')
    await sweep(*kafka, place.pipeline)
