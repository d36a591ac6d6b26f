"""The lanes topic: who owns which lane, where the lane stands, and publishing in its name.

A worker joins a consumer group on the topic. For a lane that it is given it reads the partition to
its end, which restores the positions, and only then publishes. Each transaction carries the group's
generation, so that a worker that lost its lanes is refused by the broker (KIP-447).

Take-over follows rule 8 of `docs/ARCHITECTURE.md`: first the group's committed offsets with stable
offsets required, which waits for transactions that are still open; then the high watermark, not
the last stable offset; then reading, committed records only, until it is reached.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)

from cdcd.config.settings import KafkaSettings
from cdcd.model.lane import Assignment, LanesLost
from cdcd.model.refresh import Request
from cdcd.transport.kafka import (
    PARTITION_EOF,
    StallWatch,
    called_back,
    client_properties,
    consumer_failure,
    failure,
    leave,
)
from cdcd.transport.lane_records import decode_request, request_of_key
from cdcd.transport.lane_restore import Restoring, read_to_ends
from cdcd.transport.thread import OneThread
from cdcd.transport.topics import Topics, lanes_topic, source_group

_FETCH_SECONDS = 0.1
_FETCH_RECORDS = 1000


@dataclass(frozen=True)
class Worker:
    """Who this worker is, in which pipeline."""

    pipeline: str
    instance: str
    lanes: int

    @property
    def id(self) -> str:
        """Transactional id and group instance id."""
        return f"{self.pipeline}-{self.instance}"


class LaneLog:
    """Lanes for the source stage, and its publisher."""

    def __init__(self, settings: KafkaSettings, worker: Worker, topics: Topics) -> None:
        self._settings = settings
        self._worker = worker
        self._topics = topics
        self._topic = lanes_topic(worker.pipeline)
        self._consuming = OneThread("lanes")
        self._watch = StallWatch(settings.session_timeout_seconds)
        self._restoring: Restoring | None = None
        self._assignment: Assignment | None = None
        self._group: Any = None
        self._offsets: dict[int, int] = {}
        # Known beforehand: librdkafka takes half a second to find a beginning.
        self._starts: dict[int, int] = {}
        self._changed = asyncio.Event()
        self._requests: list[Request] = []
        self._asked = asyncio.Event()
        self._consumer: Consumer

    def _join(self) -> None:
        timeout_ms = int(self._settings.session_timeout_seconds * 1000)
        self._consumer = Consumer(
            client_properties(self._settings, "lanes")
            | {
                "group.id": source_group(self._worker.pipeline),
                "group.instance.id": self._worker.id,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                # A take-over waits for the lanes' ends, and a fetch that brings nothing tells them.
                "fetch.wait.max.ms": 100,
                "partition.assignment.strategy": "range",
                "session.timeout.ms": timeout_ms,
                "heartbeat.interval.ms": timeout_ms // 3,
            }
        )
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )

    # The two callbacks run in the consuming thread, inside of `consume`, while the event loop
    # waits for it: nothing else touches the state meanwhile.

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            partition.offset = self._starts.get(partition.partition, OFFSET_BEGINNING)
        with called_back("taking the lanes", self._watch):
            consumer.assign(partitions)
            # Taken here and kept: later the client might already speak for a newer generation, in
            # which the lanes are another worker's.
            self._group = consumer.consumer_group_metadata()
        self._restoring = Restoring(frozenset(p.partition for p in partitions))

    def _on_revoke(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._restoring = self._assignment = None
        with called_back("giving the lanes back", self._watch):
            consumer.unassign()

    async def follow(self) -> None:
        """Consume the lanes until cancelled."""
        had = self._assignment
        while True:
            try:
                messages = await self._consuming.call(
                    self._consumer.consume, _FETCH_RECORDS, _FETCH_SECONDS
                )
            except KafkaException as error:
                raise consumer_failure(error, "reading the lanes", self._watch) from error
            for message in messages:
                self._take(message)
            await self._finish_restoring()
            if self._assignment is not had:
                had = self._assignment
                self._changed.set()
                self._changed = asyncio.Event()

    def _take(self, message: Message) -> None:
        error = message.error()
        lane, offset = message.partition(), message.offset()
        if error is not None and error.code() != PARTITION_EOF:
            raise consumer_failure(error, "reading the lanes", self._watch)
        if lane is None or offset is None:
            return
        self._offsets[lane] = offset if error is not None else offset + 1
        if self._restoring is None:
            self._take_live(message)
            return
        self._restoring.reached[lane] = self._offsets[lane]
        if error is None:
            self._restoring.take(lane, message.key() or b"", message.value())

    def _take_live(self, message: Message) -> None:
        """A record behind the restored ones: requests are for the lane's owner to serve."""
        request_id, value = request_of_key(message.key() or b""), message.value()
        if self._assignment is not None and request_id is not None and value is not None:
            self._requests.append(decode_request(request_id, value))
            self._asked.set()

    async def _finish_restoring(self) -> None:
        restoring = self._restoring
        if restoring is None:
            return
        if not restoring.ends and restoring.lanes:
            await self._wait_for_open_transactions(restoring)
            ends = await self._topics.ends((self._topic, lane) for lane in restoring.lanes)
            restoring.ends = {lane: end for (_, lane), end in ends.items()}
        if restoring.is_complete:
            # In a thread, for lanes of many tables keep it busy for seconds. Nothing is consumed
            # meanwhile, so nothing is revoked either.
            assignment = await asyncio.to_thread(restoring.assignment, self._worker.lanes)
            self._restoring = None
            self._requests.clear()
            self._assignment = assignment

    async def _wait_for_open_transactions(self, restoring: Restoring) -> None:
        """Return when the group has no offsets of open transactions for the lanes.

        With read_committed librdkafka asks for stable offsets only, and tries again while there
        are none.
        """
        lanes = [TopicPartition(self._topic, lane) for lane in restoring.lanes]
        limit_seconds = self._settings.transaction_timeout_seconds * 2
        try:
            await self._consuming.call(self._consumer.committed, lanes, limit_seconds)
        except KafkaException as error:
            raise failure(error, "waiting for the former owner's transactions") from error

    async def restored(self, assignment: Assignment) -> Assignment:
        """What is saved now for the lanes of the assignment. Raises LanesLost and Transient.

        Read anew and apart, so that the lanes go on meanwhile; what this worker has committed
        before the call is in it.
        """
        lanes = assignment.lanes.owned
        ends = await self._topics.ends((self._topic, lane) for lane in lanes)
        restoring = Restoring(lanes, {lane: end for (_, lane), end in ends.items()})
        await asyncio.to_thread(read_to_ends, self._settings, self._topic, restoring)
        found = await asyncio.to_thread(restoring.assignment, self._worker.lanes)
        if self._assignment is not assignment:
            raise LanesLost
        return found

    async def assigned(self) -> Assignment:
        """Wait for the assignment that is in force."""
        while self._assignment is None:
            await self._changed.wait()
        return self._assignment

    async def lost(self, assignment: Assignment) -> None:
        """Wait until the assignment is no longer in force."""
        while self._assignment is assignment:
            await self._changed.wait()

    async def requests(self, assignment: Assignment) -> Sequence[Request]:
        """Wait for requests that came behind the restored ones. Raises LanesLost."""
        while not self._requests:
            self._asked.clear()
            await self._asked.wait()
        if self._assignment is not assignment:
            raise LanesLost
        found = list(self._requests)
        self._requests.clear()
        return found

    def fence(
        self, assignment: Assignment, lanes: Iterable[int]
    ) -> tuple[list[TopicPartition], Any]:
        """What binds a transaction to the assignment: the lanes' offsets and the group's metadata.

        Raises LanesLost when the assignment is no longer in force.
        """
        if self._assignment is not assignment:
            raise LanesLost
        offsets = [TopicPartition(self._topic, lane, self._offsets.get(lane, 0)) for lane in lanes]
        return offsets, self._group

    def stood_still(self) -> bool:
        """Whether this process was stopped lately, for so long that it may be its own successor."""
        return self._watch.stalled_lately

    async def close(self) -> None:
        """Leave without a word: a static member's lanes wait for it for the session's timeout."""
        await self._consuming.call(leave, self._consumer)
        self._consuming.close()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: KafkaSettings, worker: Worker, topics: Topics
    ) -> AsyncIterator[Self]:
        """Join the group; the lanes topic is there."""
        lane_log = cls(settings, worker, topics)
        places = [(lane_log._topic, lane) for lane in range(worker.lanes)]
        lane_log._starts = {lane: at for (_, lane), at in (await topics.starts(places)).items()}
        lane_log._join()
        lane_log._watch.start()
        try:
            async with asyncio.TaskGroup() as group:
                following = group.create_task(lane_log.follow())
                yield lane_log
                following.cancel()
        finally:
            lane_log._watch.stop()
            await lane_log.close()
