"""The door to the pipeline's dead-letter topic: each dead letter is in it once.

The letters of a source partition are carried in the order of their offsets. With them, in one
transaction, the group `<pipeline>.dlq` is told how far it is, so whoever goes on after a crash
knows. Whoever opens the topic fences everybody who had it before, and ends what they left open.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from cdcd.config.settings import KafkaSettings
from cdcd.model.dead_letter import DeadLetter
from cdcd.model.errors import CdcdError, Transient
from cdcd.transport.dead_letter_record import headers_of
from cdcd.transport.kafka import client_properties, failure, is_fenced
from cdcd.transport.thread import OneThread, calls_seconds_max
from cdcd.transport.topic_facts import HEADERS_BYTES_MAX, RECORD_BYTES_MAX
from cdcd.transport.topics import dead_letter_topic

_DOING = "writing dead letters"


def carriers_group(pipeline: str) -> str:
    """The group, and the transactional id, of whoever carries a pipeline's dead letters. Not of the
    form `<name>-<instance>`, which workers have.
    """
    return f"{pipeline}.dlq"


class DeadLetterTopic:
    """Use with `async with`; after an exception it is to be opened anew. Raises our failures."""

    def __init__(self, settings: KafkaSettings, pipeline: str, instance: str) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._instance = instance
        self._timeout_seconds = settings.request_timeout_seconds
        self._thread = OneThread("dead letters", calls_seconds_max(settings))
        self._identity = carriers_group(pipeline)
        self._producer: Producer
        self._group: Consumer

    async def __aenter__(self) -> Self:
        try:
            await self._thread.call(self._open)
        except BaseException:
            self._thread.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._thread.call(self._close)
        finally:
            self._thread.close()

    async def carried(self, places: Iterable[tuple[str, int]]) -> Mapping[tuple[str, int], int]:
        """By topic and partition of records: the offset below which all dead letters are there."""
        return await self._thread.call(self._carried, list(places))

    async def carry(self, letters: Sequence[DeadLetter]) -> None:
        """Write letters, all or none, in the order of their records within a partition."""
        if letters:
            await self._thread.call(self._carry, letters)

    def _open(self) -> None:
        timeout_ms = int(self._settings.transaction_timeout_seconds * 1000)
        properties = client_properties(self._settings, "dead-letters")
        self._group = Consumer(
            {
                **properties,
                "group.id": self._identity,
                "enable.auto.commit": False,
                # Offsets of an open transaction are waited for.
                "isolation.level": "read_committed",
            }
        )
        self._producer = Producer(
            {
                **properties,
                "transactional.id": self._identity,
                "transaction.timeout.ms": timeout_ms,
                "message.timeout.ms": timeout_ms,
                "compression.type": self._settings.compression,
                "partitioner": "murmur2_random",
                "message.max.bytes": RECORD_BYTES_MAX + HEADERS_BYTES_MAX,
                "linger.ms": 5,
            }
        )
        try:
            self._producer.init_transactions(self._timeout_seconds)
        except KafkaException as error:
            self._group.close()
            raise _failed(error) from error

    def _close(self) -> None:
        # An open transaction is aborted by its timeout, or by whoever opens the topic next.
        self._producer.purge()
        self._group.close()

    def _carried(self, places: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
        wanted = [TopicPartition(topic, number) for topic, number in places]
        try:
            found = self._group.committed(wanted, self._timeout_seconds)
        except KafkaException as error:
            raise _failed(error) from error
        return {(p.topic, p.partition): p.offset for p in found if p.offset >= 0}

    def _carry(self, letters: Sequence[DeadLetter]) -> None:
        producer = self._producer
        topic = dead_letter_topic(self._pipeline)
        ends = {(letter.topic, letter.partition): letter.offset + 1 for letter in letters}
        offsets = [TopicPartition(name, number, end) for (name, number), end in ends.items()]
        try:
            producer.begin_transaction()
            for letter in letters:
                headers = headers_of(letter, self._pipeline, self._instance)
                producer.produce(topic, letter.value, letter.key, headers=headers)
                producer.poll(0)
            producer.flush(self._timeout_seconds)
            producer.send_offsets_to_transaction(
                offsets, self._group.consumer_group_metadata(), self._timeout_seconds
            )
            producer.commit_transaction(self._timeout_seconds)
        except KafkaException as error:
            raise _failed(error) from error


def _failed(error: KafkaException) -> CdcdError:
    if is_fenced(error):
        # By a worker that goes on with this: it has looked which letters are there.
        return Transient(f"Kafka: {_DOING}: another worker does it")
    return failure(error, _DOING)
