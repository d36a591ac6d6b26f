"""What a drill that was told to keep its things has left: judged by the independent checker, and
taken away.
"""

import asyncio
from pathlib import Path
from typing import Any

from cassandra.cluster import Session

from cdcd.config.settings import load
from cdcd.drill.belongings import take_away
from cdcd.drill.place import Place
from cdcd.sink.pool import Pool
from cdcd.source import session as door
from cdcd.transport.registry import Registry
from tests.scenario import checker
from tests.stack import Stack

KEY = ("pk", "ck")


def wrong(stack: Stack, session: Session, found: dict[str, Any]) -> list[str]:
    """What the checker finds wrong, in words; `found` is what the drill printed."""
    keyspace, table = found["table"].split(".")
    source = checker.source_rows(session, keyspace, table, KEY)
    target = checker.target_rows(stack, found["schema"], f"{table}__full", KEY)
    in_log = checker.log_identities(session, keyspace, table)
    topic = f"{found['pipeline']}.{found['table']}"
    in_topic = checker.topic_identities(checker.read_topic(stack, topic))
    said = checker.differences(source, target)
    counts = {"lost": (in_log - in_topic).total(), "twice": (in_topic - in_log).total()}
    said += [f"{number} changes {what}" for what, number in counts.items() if number]
    return said if in_log else ["the log is empty"]


def sweep(config: Path, found: dict[str, Any]) -> None:
    """Take away what it has kept; `config` is the file that it was held with."""
    asyncio.run(_sweep(config, found))


async def _sweep(config: Path, found: dict[str, Any]) -> None:
    keyspace, table = found["table"].split(".")
    place = Place(found["pipeline"], keyspace, table, found["schema"])
    settings = load(config, {"name": place.pipeline})
    async with (
        door.Session.open(settings.scylla) as session,
        Pool(settings.postgres, "cdcd drill") as pool,
        Registry(settings.registry) as registry,
    ):
        kafka = (settings.kafka, registry)
        await take_away(place, session, pool, kafka, keyspace_too=True)
