"""The ending of every drill: the target has the source's rows, and the topic has the identity of
each delta row of the log once.

It is a witness because it looks for itself: rows by the servers' own queries, records by fastavro
and the registered schema. Of the pipeline's code it uses the clients' doors alone.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from cdcd.config.settings import KafkaSettings
from cdcd.drill.outcome import Identity, Rows
from cdcd.sink.pool import Pool
from cdcd.source.session import Session
from cdcd.transport.avro import Codec, schema_id_of
from cdcd.transport.registry import Registry
from cdcd.transport.topic_reader import TopicReader
from cdcd.transport.topics import Topics

KEY = ("pk", "ck")

# Log rows that are no changes: images, and the second row of a range delete.
_NO_CHANGE = frozenset({0, 7, 8, 9})


async def log_identities(session: Session, keyspace: str, table: str) -> Counter[Identity]:
    """What the topic must hold."""
    columns = '"cdc$stream_id" AS stream, "cdc$time" AS time, "cdc$batch_seq_no" AS seq'
    log = f'{keyspace}."{table}_scylla_cdc_log"'
    query = f'SELECT {columns}, "cdc$operation" AS op FROM {log}'  # noqa: S608  our own names
    rows = await session.query(query, quorum=True)
    return Counter(
        (bytes(row["stream"]).hex(), str(row["time"]), row["seq"])
        for row in rows
        if row["op"] not in _NO_CHANGE
    )


async def topic_identities(
    settings: KafkaSettings, registry: Registry, topic: str
) -> Counter[Identity]:
    """What the topic holds for readers of committed records. What a refresh published has none."""
    partitions = (await Topics(settings).partitions()).get(topic, 0)
    found: Counter[Identity] = Counter()
    codecs: dict[int, Codec] = {}
    reading = set(range(partitions))
    with TopicReader.from_beginning(settings, topic, "drill", range(partitions)) as reader:
        while reading:
            for got in await asyncio.to_thread(reader.wait):
                if got.record is None:
                    reading.discard(got.partition)
                elif (value := got.value) is not None:
                    number = schema_id_of(value)
                    if number not in codecs:
                        codecs[number] = Codec(await registry.schema(number), number)
                    source = codecs[number].decode(value)["source"]
                    if source["stream"] is not None:
                        found[source["stream"], source["time"], source["seq"]] += 1
    return found


async def source_rows(session: Session, keyspace: str, table: str) -> Rows:
    """The source's rows, each with the statics of its partition."""
    query = f"SELECT * FROM {keyspace}.{table}"  # noqa: S608  our own names
    rows = await session.query(query, quorum=True)
    return {_key(row): row for row in rows}


async def target_rows(pool: Pool, schema: str, table: str) -> Rows:
    """The target's rows, without the columns that are cdcd's own."""
    async with pool.connection() as connection:
        # A column may have come since the connection's last look.
        await connection.reload_schema_state()
        rows = await connection.fetch(f'SELECT * FROM "{schema}"."{table}__full"')  # noqa: S608
    return {
        _key(row): {name: value for name, value in row.items() if not name.startswith("cdc_")}
        for row in rows
    }


def _key(row: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(row[name] for name in KEY)
