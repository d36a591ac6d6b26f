"""Control records: what operators tell a pipeline, written to every lane, read from the first.

A change is one transaction over all lanes, under one transactional id: of two commands at once the
later fences the earlier, so none overwrites what it has not read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from cdcd.config.settings import KafkaSettings
from cdcd.model.control import Control
from cdcd.model.errors import ConfigurationError, Transient
from cdcd.ops.directions import Directions
from cdcd.ops.logs import get_logger
from cdcd.transport.kafka import client_properties
from cdcd.transport.lane_records import (
    PAUSES_KEY,
    TABLES_KEY,
    decode_pauses,
    decode_tables,
    encode_pauses,
    encode_tables,
)
from cdcd.transport.thread import OneThread
from cdcd.transport.topic_reader import TopicReader
from cdcd.transport.topics import Topics, lanes_topic

Change = Callable[[Control], Control]

log = get_logger()

_FIRST_LANE = 0
_AWAY_SECONDS = 1.0


class _FirstLane:
    """Reads the control records of the first lane. Every method blocks."""

    def __init__(self, settings: KafkaSettings, pipeline: str) -> None:
        # None until the set of tables was read: it may never have been written.
        self.tables: tuple[str, ...] | None = None
        self.control = Control()
        topic = lanes_topic(pipeline)
        only = range(_FIRST_LANE, _FIRST_LANE + 1)
        self._reader = TopicReader.from_beginning(settings, topic, "control", only, end_wait_ms=100)

    def fetch(self) -> None:
        """Take in what is there. Raises Transient or Fatal."""
        for found in self._reader.fetch():
            self._take(found.key, found.value)

    def read(self) -> Control:
        """Read to the end."""
        for found in self._reader.to_ends():
            self._take(found.key, found.value)
        return self.control

    def _take(self, key: bytes, value: bytes | None) -> None:
        if key == TABLES_KEY and value is not None:
            self.tables = decode_tables(value)
        elif key == PAUSES_KEY:
            pauses = () if value is None else decode_pauses(value)
            self.control = Control(self.control.tables, pauses)
        self.control = Control(self.tables or (), self.control.pauses)

    def close(self) -> None:
        """Give the connections back."""
        self._reader.close()


@asynccontextmanager
async def following(settings: KafkaSettings, pipeline: str) -> AsyncIterator[Directions]:
    """The pipeline's directions, read once and then followed. Raises Transient or Fatal."""
    thread = OneThread("control")
    lane = await thread.call(_FirstLane, settings, pipeline)
    try:
        directions = Directions(await thread.call(lane.read))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_follow(thread, lane, directions))
            yield directions
            task.cancel()
    finally:
        await thread.call(lane.close)
        thread.close()


async def _follow(thread: OneThread, lane: _FirstLane, directions: Directions) -> None:
    """Read for ever. While Kafka is away the last directions hold."""
    while True:
        try:
            await thread.call(lane.fetch)
        except Transient as error:
            log.debug("reading the control records failed", exc_info=error)
            await asyncio.sleep(_AWAY_SECONDS)
        directions.give(lane.control)


async def read_control(settings: KafkaSettings, pipeline: str) -> Control | None:
    """The pipeline's control as it stands; None where there is no such pipeline."""
    return await asyncio.to_thread(_read, settings, pipeline)


def _read(settings: KafkaSettings, pipeline: str) -> Control | None:
    lane = _FirstLane(settings, pipeline)
    try:
        lane.read()
    finally:
        lane.close()
    return None if lane.tables is None else lane.control


async def change_control(
    settings: KafkaSettings, pipeline: str, change: Change
) -> tuple[Control, Control]:
    """Change the control of a pipeline that there is; gives it before and after.

    `change` raises what the command is to end with. Raises Transient when another command writes.
    """
    topic = lanes_topic(pipeline)
    lanes = (await Topics(settings).partitions()).get(topic)
    if lanes is None:
        raise _no_pipeline(pipeline)

    def existing(before: Control | None) -> Control:
        if before is None:
            raise _no_pipeline(pipeline)
        return change(before)

    before, after = await asyncio.to_thread(_write, settings, pipeline, lanes, existing)
    return before or Control(), after


def _no_pipeline(pipeline: str) -> ConfigurationError:
    return ConfigurationError(f"there is no pipeline {pipeline}", "see `name` in `cdcd config`")


async def begin_control(
    settings: KafkaSettings, pipeline: str, lanes: int, tables: tuple[str, ...]
) -> None:
    """Write the first set of tables, unless another worker has done so meanwhile."""

    def first(before: Control | None) -> Control:
        return Control(tables) if before is None else before

    await asyncio.to_thread(_write, settings, pipeline, lanes, first)


def _write(
    settings: KafkaSettings,
    pipeline: str,
    lanes: int,
    change: Callable[[Control | None], Control],
) -> tuple[Control | None, Control]:
    """Whoever begins last fences the others, and has read what they committed before."""
    topic = lanes_topic(pipeline)
    timeout_seconds = settings.request_timeout_seconds
    producer = Producer(
        client_properties(settings, "control")
        | {"transactional.id": f"{topic}-control", "transaction.timeout.ms": 60_000}
    )
    try:
        producer.init_transactions(timeout_seconds)
        before = _read(settings, pipeline)
        after = change(before)
        records = _records(before, after)
        if records:
            written: list[int] = []
            producer.begin_transaction()
            for lane in range(lanes):
                for key, value in records:
                    tell = partial(_offset_of, written) if lane == _FIRST_LANE else None
                    producer.produce(topic, value, key, lane, on_delivery=tell)
            producer.commit_transaction(timeout_seconds)
            _wait_for(settings, topic, max(written))
    except KafkaException as error:
        raise Transient("Kafka: writing the pipeline's control: another command does") from error
    return before, after


def _offset_of(written: list[int], _: KafkaError | None, message: Message) -> None:
    written.append(message.offset() or 0)


def _wait_for(settings: KafkaSettings, topic: str, offset: int) -> None:
    """Return when a committed record of the first lane can be read: brokers commit a moment before
    they show it, and who asks after a command must see what it did.
    """
    with TopicReader(settings, topic, "control", {_FIRST_LANE: offset}) as reader:
        while all(found.record is None for found in reader.wait()):
            pass


def _records(before: Control | None, after: Control) -> list[tuple[bytes, bytes | None]]:
    found: list[tuple[bytes, bytes | None]] = []
    if before is None or before.tables != after.tables:
        found.append((TABLES_KEY, encode_tables(after.tables)))
    if before is not None and before.pauses != after.pauses:
        value = encode_pauses(after.pauses) if after.pauses else None
        found.append((PAUSES_KEY, value))
    return found
