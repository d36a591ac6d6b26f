"""What a try has left on the servers."""

import asyncio
import json
import urllib.request

import asyncpg
from confluent_kafka.admin import AdminClient

from tests.scenario.conftest import Place


def left_behind(place: Place, prefix: str) -> list[str]:
    """What any server has whose name begins so."""

    async def tables() -> list[str]:
        connection = await asyncpg.connect(place.stack.postgres)
        rows = await connection.fetch("SELECT nspname AS name FROM pg_namespace")
        if await connection.fetchval("SELECT to_regclass('cdcd.targets')"):
            rows += await connection.fetch(
                "SELECT pipeline AS name FROM cdcd.targets UNION SELECT pipeline FROM cdcd.offsets"
                " UNION SELECT pipeline FROM cdcd.topics"
            )
        await connection.close()
        return [row["name"] for row in rows]

    admin = AdminClient({"bootstrap.servers": place.stack.kafka})
    names = [*admin.list_topics(timeout=10).topics, *asyncio.run(tables())]
    names += [group.group_id for group in admin.list_consumer_groups().result(10).valid]
    with urllib.request.urlopen(f"{place.stack.registry}/subjects") as answer:
        names += json.load(answer)
    rows = place.session.execute("SELECT keyspace_name FROM system_schema.keyspaces")
    names += [row.keyspace_name for row in rows]
    return [name for name in names if name.startswith(prefix)]
