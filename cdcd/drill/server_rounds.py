"""Rounds that disturb the local stack's servers, and the network between them and the worker."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from cdcd.drill.cable import Cable, Trouble, cable
from cdcd.drill.ground import Ground

AWAY_SECONDS = 2.0


async def database(ground: Ground, number: int) -> float:
    """PostgreSQL, killed and stopped in turn."""
    return await _restarted(ground, "postgres", number)


async def broker(ground: Ground, number: int) -> float:
    """Kafka, killed and stopped in turn."""
    return await _restarted(ground, "kafka", number)


async def _restarted(ground: Ground, service: str, number: int) -> float:
    async with _away(ground, service, "stop" if number % 2 else "kill"):
        beat = await ground.beat()
    began = time.monotonic()
    return await ground.seen(beat) - began


@asynccontextmanager
async def _away(ground: Ground, service: str, how: str) -> AsyncIterator[None]:
    """Take a server away for the block and a while; it answers again behind it."""
    stack = ground.stack_in_reach
    try:
        await stack.control(how, service)
        yield
        await asyncio.sleep(AWAY_SECONDS)
    finally:
        await stack.control("start", service)


async def cluster(ground: Ground, _number: int) -> float:
    """ScyllaDB, stopped in good order: what it has acknowledged is to be there again."""
    async with _away(ground, "scylla", "stop"):
        pass
    began = time.monotonic()
    return await ground.seen(await ground.beat()) - began


async def registry(ground: Ground, number: int) -> float:
    """The registry, while a new schema needs it."""
    async with _away(ground, "registry", "stop" if number % 2 else "kill"):
        beat = await ground.beat(await ground.add_column())
    began = time.monotonic()
    return await ground.seen(beat) - began


async def generation(ground: Ground, _number: int) -> float:
    """Other streams for the whole cluster."""
    return await _switched(ground, "generation")


async def tablets(ground: Ground, number: int) -> float:
    """More tablets for the table, then fewer."""
    count = 8 if number % 2 else 16
    return await _switched(ground, f"tablets {ground.place.full_name} {count}")


# Servers announce a switch, longer before it than the source looks away.
ANNOUNCED_SECONDS = 1.5
_COMMAND = "/* stand-in: {what} in {ms} ms */ SELECT key FROM system.local"


async def _switched(ground: Ground, what: str) -> float:
    # A command to the stand-in; ScyllaDB itself switches when it wants to.
    seconds = ground.settings.source.catalog_seconds + ANNOUNCED_SECONDS
    await ground.session.query(_COMMAND.format(what=what, ms=int(seconds * 1000)))
    await asyncio.sleep(seconds)
    began = time.monotonic()
    return await ground.seen(await ground.beat()) - began


# ---- the network ---------------------------------------------------------------------------------

TROUBLE_SECONDS = 3.0


@asynccontextmanager
async def cables(ground: Ground) -> AsyncIterator[Mapping[str, str]]:
    """Cables to all four servers; gives the settings that lead a worker through them."""
    stack, settings = ground.stack_in_reach, ground.settings
    dsn, url = urlsplit(settings.postgres.dsn.get_secret_value()), urlsplit(settings.registry.url)
    behind, advertised = (urlsplit(f"//{stack.told(n)}") for n in ("kafka_behind", "kafka_proxy"))
    async with AsyncExitStack() as opened:

        async def lay(host: str | None, port: int | None, listen: int = 0) -> Cable:
            return await opened.enter_async_context(cable(host or "", port or 0, listen))

        scylla = await lay(settings.scylla.hosts[0], settings.scylla.port)
        kafka = await lay(behind.hostname, behind.port, advertised.port or 0)
        schemas, rows = await lay(url.hostname, url.port), await lay(dsn.hostname, dsn.port)
        ground.cables = {
            "ScyllaDB": scylla,
            "Kafka": kafka,
            "registry": schemas,
            "PostgreSQL": rows,
        }
        yield {
            "CDCD_SCYLLA__HOSTS": "127.0.0.1",
            "CDCD_SCYLLA__PORT": str(scylla.port),
            "CDCD_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.port}",
            "CDCD_REGISTRY__URL": _through(url, schemas),
            "CDCD_POSTGRES__DSN": _through(dsn, rows),
        }


def _through(url: Any, way: Cable) -> str:
    return str(url._replace(netloc=f"{url.netloc.rpartition(':')[0]}:{way.port}").geturl())


async def partition(ground: Ground, number: int) -> float:
    """One trouble between the worker and one server; 16 rounds have each trouble with each."""
    names, troubles = list(ground.cables), list(Trouble)
    name = names[number % len(names)]
    trouble = troubles[number // len(names) % len(troubles)]
    way = ground.cables[name]
    ground.tell(f"{name}, {trouble.value}")
    way.disturb(trouble)
    began = time.monotonic()
    try:
        beat = await ground.beat()
        if trouble is Trouble.LATENCY:
            return await ground.seen(beat) - began
        await asyncio.sleep(TROUBLE_SECONDS)
    finally:
        way.heal()
    began = time.monotonic()
    return await ground.seen(beat) - began
