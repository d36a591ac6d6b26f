"""The lanes topic followed from outside: how far tables are published, what still waits.

Only reads. A commit of `cdcd reconcile` and the like rests on nothing else than what workers write
there for themselves.
"""

import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import Transient
from cdcd.model.position import Position
from cdcd.transport.kafka import PARTITION_EOF, client_properties, failure
from cdcd.transport.lane_records import decode_position, request_of_key, table_of_key
from cdcd.transport.thread import OneThread
from cdcd.transport.topics import lanes_topic

_FETCH_SECONDS = 0.1
_FETCH_RECORDS = 1000
_DOING = "following the lanes"


class LaneWatch:
    """Committed positions by table and lane, and the ids of requests that are not served yet."""

    def __init__(self, settings: KafkaSettings, pipeline: str, lanes: int) -> None:
        self._settings = settings
        self._topic = lanes_topic(pipeline)
        self._lanes = lanes
        self._reading = set(range(lanes))
        self._thread = OneThread("cdcd-lane-watch")
        self._consumer: Consumer
        self.positions: dict[str, dict[int, Position]] = defaultdict(dict)
        self.requests: set[str] = set()

    async def __aenter__(self) -> Self:
        await self._thread.call(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._thread.call(self._consumer.close)
        self._thread.close()

    def _open(self) -> None:
        self._consumer = Consumer(
            client_properties(self._settings, "lane-watch")
            | {
                "group.id": f"{self._topic}.look",  # required, and never committed to
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        lanes = [TopicPartition(self._topic, n, OFFSET_BEGINNING) for n in range(self._lanes)]
        self._consumer.assign(lanes)

    async def look(self) -> None:
        """Take in what has come, and at first all that is there. Raises Transient."""
        try:
            await self._thread.call(self._look)
        except KafkaException as error:
            raise failure(error, _DOING) from error

    def _look(self) -> None:
        ends = time.monotonic() + self._settings.request_timeout_seconds
        while True:
            messages = self._consumer.consume(_FETCH_RECORDS, _FETCH_SECONDS)
            for message in messages:
                error = message.error()
                if error is None:
                    self._take(message.partition() or 0, message.key() or b"", message.value())
                elif error.code() == PARTITION_EOF:
                    self._reading.discard(message.partition() or 0)
                else:
                    raise failure(error, _DOING)
            if messages:
                ends = time.monotonic() + self._settings.request_timeout_seconds
            if not self._reading:
                return
            if time.monotonic() > ends:
                raise Transient(f"Kafka: {_DOING}: no answer")

    def _take(self, lane: int, key: bytes, value: bytes | None) -> None:
        table, request_id = table_of_key(key), request_of_key(key)
        if table is not None and value is None:
            self.positions[table].pop(lane, None)
        elif table is not None and value is not None:
            self.positions[table][lane] = decode_position(value)
        elif request_id is not None and value is None:
            self.requests.discard(request_id)
        elif request_id is not None:
            self.requests.add(request_id)

    def frontier_ms(self, table: str, lanes: Iterable[int]) -> int:
        """The oldest saved frontier of a table over some lanes; 0 where one has none."""
        positions = self.positions[table]
        return min((positions[n].frontier_ms if n in positions else 0 for n in lanes), default=0)
