"""A topic read from outside its groups: committed records, from given offsets on. Blocks.

It belongs to no group and commits nothing, so it disturbs nobody; its offsets are its caller's.
"""

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import Transient
from cdcd.transport.kafka import PARTITION_EOF, client_properties, failure, fetch

_FETCH_SECONDS = 0.2
_FETCH_RECORDS = 1000
# Asked for OFFSET_BEGINNING librdkafka takes half a second to find it; where a partition begins
# later, `auto.offset.reset` leads there.
_BEGINNING = 0


class Found(NamedTuple):
    """A record and its offset; without a record, the end of what is committed and its offset."""

    partition: int
    offset: int
    record: Message | None

    @property
    def key(self) -> bytes:
        """The record's key; empty where it has none."""
        return b"" if self.record is None else self.record.key() or b""

    @property
    def value(self) -> bytes | None:
        """The record's value; None for a tombstone."""
        return None if self.record is None else self.record.value()


def keep_newest(
    kept: dict[tuple[int, bytes], bytes], place: tuple[int, bytes], value: bytes | None
) -> None:
    """Take a record in as compaction does: it replaces the one before, a tombstone removes it."""
    if value is None:
        kept.pop(place, None)
    else:
        kept[place] = value


class TopicReader:
    """Reads partitions of one topic; for one thread. Every call raises Transient or Fatal."""

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        role: str,
        starts: Mapping[int, int],
        *,
        end_wait_ms: int = 10,
    ) -> None:
        """From these offsets by partition on. `role` names the client in the brokers' logs.

        A partition's end is told by a fetch that brings nothing, so whoever reads to the ends waits
        `end_wait_ms` for each; who follows a topic for long takes a longer one, and asks less.
        """
        self._partitions = frozenset(starts)
        self._silence_seconds = settings.request_timeout_seconds
        self._doing = f"reading {topic}"
        self._consumer = Consumer(
            client_properties(settings, role)
            | {
                "group.id": f"{topic}.{role}",  # required, and never joined
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": end_wait_ms,
            }
        )
        self._consumer.assign([TopicPartition(topic, n, at) for n, at in sorted(starts.items())])

    @classmethod
    def from_beginning(
        cls,
        settings: KafkaSettings,
        topic: str,
        role: str,
        partitions: range | frozenset[int],
        *,
        end_wait_ms: int = 10,
    ) -> Self:
        """A reader of all that these partitions hold."""
        starts = dict.fromkeys(partitions, _BEGINNING)
        return cls(settings, topic, role, starts, end_wait_ms=end_wait_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._consumer.close()

    def fetch(self) -> list[Found]:
        """What has come; nothing when nothing comes for a moment."""
        try:
            messages = fetch(self._consumer, _FETCH_RECORDS, _FETCH_SECONDS)
        except KafkaException as error:
            raise failure(error, self._doing) from error
        return [self._found(message) for message in messages]

    def _found(self, message: Message) -> Found:
        partition, offset, error = message.partition(), message.offset(), message.error()
        if error is not None and (error.code() != PARTITION_EOF or None in (partition, offset)):
            raise failure(error, self._doing)
        return Found(partition or 0, offset or 0, None if error is not None else message)

    def wait(self) -> list[Found]:
        """What comes next. Raises Transient when that takes longer than any answer may."""
        give_up = time.monotonic() + self._silence_seconds
        while not (found := self.fetch()):
            if time.monotonic() > give_up:
                raise Transient(f"Kafka: {self._doing}: no answer")
        return found

    def newest(self) -> Mapping[tuple[int, bytes], bytes]:
        """The last value of each partition's keys before its end, but for those deleted since."""
        kept: dict[tuple[int, bytes], bytes] = {}
        for found in self.to_ends():
            keep_newest(kept, (found.partition, found.key), found.value)
        return kept

    def to_ends(self) -> Iterator[Found]:
        """Records of every partition up to where it ended when that was reached first."""
        reading = set(self._partitions)
        while reading:
            for found in self.wait():
                if found.record is None:
                    reading.discard(found.partition)
                else:
                    yield found
