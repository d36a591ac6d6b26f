"""What `cdcd dlq` does: opens what it needs, and goes through the letters that are meant."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from cdcd.config.settings import Settings
from cdcd.dlq import store
from cdcd.dlq.store import Choice, Count, Entry
from cdcd.model.errors import ConfigurationError
from cdcd.sink.pool import Connection, Pool
from cdcd.sink.state import check_version
from cdcd.transport.avro import Codec, MalformedRecord, schema_id_of
from cdcd.transport.lane_records import decode_request
from cdcd.transport.registry import Registry
from cdcd.transport.requests import Requests
from cdcd.transport.topics import Topics, lanes_topic

# Letters that are asked for, or dropped, at a time.
CHUNK_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Listing:
    """Dead letters, and how many there are of each kind, those left out by the limit too."""

    letters: list[Entry]
    summary: list[Count]

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(each.letters for each in self.summary)

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON document."""
        return {
            "count": self.count,
            "summary": [each.as_json() for each in self.summary],
            "letters": [letter.as_json() for letter in self.letters],
        }


async def look(settings: Settings, choice: Choice, count_max: int) -> Listing:
    """The first so many of what is meant."""
    async with _opened(settings) as connection:
        if connection is None:
            return Listing([], [])
        letters = await store.entries(connection, choice, count_max)
        return Listing(letters, await store.summary(connection, choice))


async def show(settings: Settings, choice: Choice, *, values: bool) -> dict[str, Any]:
    """One dead letter as plain values, with its record decoded if asked for.

    Raises ConfigurationError when there is none of this number.
    """
    async with _opened(settings) as connection:
        found = [] if connection is None else await store.entries(connection, choice, 1)
        if connection is None or not found:
            raise ConfigurationError(
                f"pipeline {choice.pipeline} has no dead letter {choice.numbers[0]}",
                "see `cdcd dlq list --all`",
            )
        shown = found[0].as_json()
        if values:
            key, value = await store.record(connection, found[0].number)
            async with Registry(settings.registry) as registry:
                shown["key"] = await _decoded(registry, key)
                shown["value"] = await _decoded(registry, value)
    return shown


async def _decoded(registry: Registry, framed: bytes | None) -> Any:
    if framed is None:
        return None
    try:
        schema_id = schema_id_of(framed)
        return Codec(await registry.schema(schema_id), schema_id).decode(framed)
    except MalformedRecord:
        return {"hex": framed.hex()}


async def replay(settings: Settings, choice: Choice) -> int:
    """Ask for the rows of what is meant; gives how many letters that is. The owners of the lanes
    read the rows anew, and the sink closes a letter when its row is applied.
    """
    done = 0
    async with _opened(settings) as connection:
        if connection is None:
            return 0
        lanes = (await Topics(settings.kafka).partitions()).get(lanes_topic(settings.name))
        if lanes is None:
            raise ConfigurationError(
                f"pipeline {settings.name} has no lanes topic", "is its name right? see --name"
            )
        async with Requests(settings.kafka, settings.name, lanes) as requests:
            async for numbers in _chunks(connection, choice):
                scopes = await store.scopes(connection, numbers)
                # Acknowledged first: a letter that is marked has been asked for.
                await requests.ask([decode_request(uuid4().hex, scope) for scope in scopes])
                await store.mark_requested(connection, numbers)
                done += len(numbers)
    return done


async def drop(settings: Settings, choice: Choice) -> int:
    """Close what is meant for good; gives how many letters that is."""
    done = 0
    async with _opened(settings) as connection:
        if connection is None:
            return 0
        async for numbers in _chunks(connection, choice):
            done += await store.drop(connection, numbers)
    return done


async def _chunks(connection: Connection, choice: Choice) -> AsyncIterator[list[int]]:
    after = 0
    while found := await store.entries(connection, choice, CHUNK_ROWS, after):
        after = found[-1].number
        yield [entry.number for entry in found]


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Connection | None]:
    """A connection; None where no sink has ever run."""
    async with (
        Pool(settings.postgres, f"cdcd {settings.name} dlq") as pool,
        pool.connection() as connection,
    ):
        await check_version(connection)
        yield connection if await store.is_there(connection) else None
