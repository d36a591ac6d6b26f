"""Copies from outside of the workers: asking for them, and watching how far they are.

Both go through the lanes topic: a copy is a request in each lane, and what is left of it is written
there with what was copied. So whoever asks may go away, and nobody has to be connected to a worker.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import Transient
from cdcd.model.lane import lane_of
from cdcd.model.refresh import Copied, Request
from cdcd.transport.kafka import PARTITION_EOF, client_properties, failure
from cdcd.transport.lane_records import (
    copied_of_key,
    decode_copied,
    decode_request,
    encode_request,
    request_key,
    request_of_key,
)
from cdcd.transport.thread import OneThread
from cdcd.transport.topics import lanes_topic

_FETCH_RECORDS = 1000
_FETCH_SECONDS = 0.2
# A fetch that brings nothing tells a lane's end; a longer one is ended by what other lanes get.
_END_WAIT_MS = 10
# A command that dies in between must not hold up the lanes' readers for long.
_TRANSACTION_MS = 10_000


class Watch:
    """The copies of a pipeline, as its lanes tell of them. `running` are requests by lane and id,
    `ended` the last copies by lane and table. Every method blocks.
    """

    def __init__(self, settings: KafkaSettings, pipeline: str, lanes: int) -> None:
        self.running: dict[tuple[int, str], Request] = {}
        self.ended: dict[tuple[int, str], Copied] = {}
        self._topic = lanes_topic(pipeline)
        self._timeout_seconds = settings.request_timeout_seconds
        self._unread = set(range(lanes))
        self._consumer = Consumer(
            client_properties(settings, "copies")
            | {
                "group.id": f"{self._topic}.copies",  # required, and never committed to
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": _END_WAIT_MS,
            }
        )
        places = [TopicPartition(self._topic, lane, OFFSET_BEGINNING) for lane in range(lanes)]
        self._consumer.assign(places)

    def read(self) -> None:
        """Read all lanes to their ends, the first time. Raises Transient or Fatal."""
        idle_left = int(self._timeout_seconds / _FETCH_SECONDS)
        while self._unread:
            idle_left -= not self.poll(_FETCH_SECONDS)
            if idle_left < 0:
                raise Transient(f"Kafka: reading {self._topic}: no answer")

    def poll(self, seconds: float) -> bool:
        """Take in what comes within a time; whether anything did."""
        try:
            messages = self._consumer.consume(_FETCH_RECORDS, seconds)
        except KafkaException as error:
            raise failure(error, f"reading {self._topic}") from error
        for message in messages:
            self._take(message)
        return bool(messages)

    def _take(self, message: Message) -> None:
        error, lane = message.error(), message.partition() or 0
        if error is not None:
            if error.code() != PARTITION_EOF:
                raise failure(error, f"reading {self._topic}")
            self._unread.discard(lane)
            return
        key, value = message.key() or b"", message.value()
        request_id, table = request_of_key(key), copied_of_key(key)
        if request_id is not None:
            self.running.pop((lane, request_id), None)
            request = None if value is None else decode_request(request_id, value)
            if request is not None and request.copy is not None:
                self.running[lane, request_id] = request
        elif table is not None and value is not None:
            self.ended[lane, table] = decode_copied(value)

    def close(self) -> None:
        """Give the connections back."""
        self._consumer.close()


@asynccontextmanager
async def watching(
    settings: KafkaSettings, pipeline: str, lanes: int
) -> AsyncIterator[tuple[Watch, OneThread]]:
    """A watch that was read to the end, and the thread that it belongs to."""
    thread = OneThread("copies")
    watch = await thread.call(Watch, settings, pipeline, lanes)
    try:
        await thread.call(watch.read)
        yield watch, thread
    finally:
        await thread.call(watch.close)
        thread.close()


async def write_requests(
    settings: KafkaSettings, pipeline: str, lanes: int, requests: Sequence[Request]
) -> None:
    """Write requests to their lanes, all of them or none. Raises Transient or Fatal."""
    await asyncio.to_thread(_write, settings, lanes_topic(pipeline), lanes, requests)


def _write(settings: KafkaSettings, topic: str, lanes: int, requests: Sequence[Request]) -> None:
    timeout_seconds = settings.request_timeout_seconds
    producer = Producer(
        client_properties(settings, "copies")
        | {"transactional.id": f"{topic}-copies", "transaction.timeout.ms": _TRANSACTION_MS}
    )
    try:
        producer.init_transactions(timeout_seconds)
        producer.begin_transaction()
        for request in requests:
            key, value = request_key(request.id), encode_request(request)
            producer.produce(topic, value, key, lane_of(request.token, lanes))
        producer.commit_transaction(timeout_seconds)
    except KafkaException as error:
        raise failure(error, "asking for a copy") from error


async def readers(settings: KafkaSettings, pipeline: str) -> int:
    """How many workers read ScyllaDB for a pipeline now. Raises Transient or Fatal."""
    return await asyncio.to_thread(_readers, settings, f"{pipeline}.source")


def _readers(settings: KafkaSettings, group: str) -> int:
    timeout_seconds = settings.request_timeout_seconds
    admin = AdminClient(client_properties(settings, "copies"))
    futures = admin.describe_consumer_groups([group], request_timeout=timeout_seconds)
    try:
        return len(futures[group].result(timeout_seconds + 1).members)
    except KafkaException as error:
        raise failure(error, f"describing the group {group}") from error
    except TimeoutError as error:
        raise Transient(f"Kafka: describing the group {group}: no answer in time") from error
