"""The lanes topic followed from outside: how far tables are published, what still waits.

Only reads. A commit of `cdcd reconcile` and the like rests on nothing else than what workers write
there for themselves.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Self

from cdcd.config.settings import KafkaSettings
from cdcd.model.position import Position
from cdcd.transport.lane_records import decode_position, request_of_key, table_of_key
from cdcd.transport.thread import OneThread
from cdcd.transport.topic_reader import TopicReader
from cdcd.transport.topics import lanes_topic


class LaneWatch:
    """Committed positions by table and lane, and the ids of requests that are not served yet."""

    def __init__(self, settings: KafkaSettings, pipeline: str, lanes: int) -> None:
        self._settings = settings
        self._topic = lanes_topic(pipeline)
        self._lanes = lanes
        self._reading = set(range(lanes))
        self._thread = OneThread("cdcd-lane-watch")
        self._reader: TopicReader
        self.positions: dict[str, dict[int, Position]] = defaultdict(dict)
        self.requests: set[str] = set()

    async def __aenter__(self) -> Self:
        await self._thread.call(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._thread.call(self._reader.close)
        self._thread.close()

    def _open(self) -> None:
        self._reader = TopicReader.from_beginning(
            self._settings, self._topic, "lane-watch", range(self._lanes), end_wait_ms=100
        )

    async def look(self) -> None:
        """Take in what has come, and at first all that is there. Raises Transient."""
        await self._thread.call(self._look)

    def _look(self) -> None:
        while True:
            for found in self._reader.wait() if self._reading else self._reader.fetch():
                if found.record is None:
                    self._reading.discard(found.partition)
                else:
                    self._take(found.partition, found.key, found.value)
            if not self._reading:
                return

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
