"""The door for reading change topics: batches of records, in a thread of its own.

Positions are the caller's: the group only says who reads what. After a rebalance nothing is
fetched until `start` names the offsets. Every call of the client runs in one thread, where
rebalance callbacks run too, so nothing here needs a lock.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import groupby
from typing import Self, TypeVar

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import CdcdError, Transient
from cdcd.transport.kafka import (
    PARTITION_EOF,
    StallWatch,
    called_back,
    client_properties,
    consumer_failure,
    fetch,
    hear_refusal,
    is_away,
    is_final,
    leave,
)
from cdcd.transport.records import PARTITION, Partition, Record, read_headers

Result = TypeVar("Result")

# How often the group is told how far its partitions are.
COMMIT_SECONDS = 1.0

# What the client keeps fetched ahead; together with the callers' own limits this bounds memory. The
# records are of each partition, and each takes 400 bytes beside its own; a fetch's are compressed.
PREFETCH_RECORDS = 5_000
FETCH_BYTES_MAX = 256 * 1024
PREFETCH_KIB_MAX = 8 * 1024
QUEUE_LOOK_MS = 20


@dataclass(slots=True)
class Fetched:
    """What one fetch brought.

    `ends` has partitions whose end was reached, with the offset there. With `assigned` not None
    the group has decided anew: all that was read before is void, and these are the partitions now.
    `gone` are partitions whose offset the broker does not have (any more).
    """

    records: list[Record] = field(default_factory=list)
    ends: dict[Partition, int] = field(default_factory=dict)
    gone: set[Partition] = field(default_factory=set)
    assigned: tuple[Partition, ...] | None = None

    def by_topic(self) -> dict[str, list[Record]]:
        """The records of each topic, in their order."""
        found: dict[str, list[Record]] = {}
        for partition, run in groupby(self.records, PARTITION):
            found.setdefault(partition.topic, []).extend(run)
        return found


class ChangeConsumer:
    """A member of the sinks' consumer group. Use with `async with`; calls raise our failures."""

    def __init__(self, settings: KafkaSettings, name: str, instance: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="consumer")
        self._assigned: tuple[Partition, ...] | None = None
        self._properties = client_properties(
            settings,
            "sink",
            **{
                "group.id": group_of(name),
                "group.instance.id": f"{name}-{instance}",
                "group.protocol": "classic",
                # Each table's partitions spread over the workers; a table of one partition does
                # not always go to the first.
                "partition.assignment.strategy": "roundrobin",
                "session.timeout.ms": int(settings.session_timeout_seconds * 1000),
                "heartbeat.interval.ms": int(settings.session_timeout_seconds * 1000 / 4),
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 100,
                "fetch.message.max.bytes": FETCH_BYTES_MAX,
                "queued.min.messages": PREFETCH_RECORDS,
                "queued.max.messages.kbytes": PREFETCH_KIB_MAX,
                # Where so much was fetched ahead, how soon it is looked at again whether there is
                # room: in the second that is the default a busy table applies all of it and waits.
                "fetch.queue.backoff.ms": QUEUE_LOOK_MS,
                "error_cb": self._hear,
            },
        )
        self._session_seconds = settings.session_timeout_seconds
        self._uncommitted: dict[Partition, int] = {}
        self._commit_after = self._away_until = 0.0
        self._client: Consumer | None = None
        self._watch = StallWatch(settings.session_timeout_seconds)

    async def __aenter__(self) -> Self:
        self._client = await self._run("opening the consumer", lambda: Consumer(self._properties))
        self._watch.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        client = self._opened()
        self._watch.stop()
        try:
            if time.monotonic() > self._away_until:
                with suppress(CdcdError):
                    await self._commit()
            await self._run("closing the consumer", partial(leave, client))
        finally:
            self._thread.shutdown(wait=False)

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Read these topics from now on, and no others."""
        client = self._opened()
        names = sorted(topics)

        def subscribe() -> None:
            if names:
                gone = self._on_gone
                client.subscribe(names, on_assign=self._on_assign, on_revoke=gone, on_lost=gone)
            else:
                client.unsubscribe()

        await self._run("subscribing", subscribe)

    async def fetch(self, records_max: int, wait_seconds: float) -> Fetched:
        """Wait for the first record at most so long, then take with it what is there already."""
        return await self._run("reading", lambda: self._fetch(records_max, wait_seconds))

    async def start(self, positions: Mapping[Partition, int]) -> None:
        """Fetch these partitions of the assignment from these offsets, and no others.

        When the group has decided anew meanwhile this does nothing: `fetch` tells about it next.
        """
        client = self._opened()
        places = [TopicPartition(p.topic, p.number, offset) for p, offset in positions.items()]

        def assign() -> None:
            held = set(self._assigned or ())
            if held.issuperset(positions):
                client.assign(places)
                client.resume(places)

        await self._run("starting to read", assign)

    async def pause(self, partitions: Iterable[Partition]) -> None:
        """Fetch no more of these; others go on."""
        client = self._opened()
        await self._run("pausing", lambda: client.pause(self._held(partitions)))

    async def resume(self, partitions: Iterable[Partition]) -> None:
        """Fetch these again, from behind the last record that was fetched."""
        client = self._opened()
        await self._run("resuming", lambda: client.resume(self._held(partitions)))

    async def behind(self, positions: Mapping[Partition, int]) -> dict[Partition, int]:
        """Records from each position to the end, as far as the client knows the end."""
        client = self._opened()

        def look() -> dict[Partition, int]:
            found = {}
            for place in self._held(positions):
                _, end = client.get_watermark_offsets(place, cached=True)
                partition = Partition(place.topic, place.partition)
                found[partition] = max(end - positions[partition], 0)
            return found

        return await self._run("looking at the ends", look)

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        """Tell the group how far it is, for those who watch its lag: soon, and without waiting.

        Not while brokers are known to be away: the client would keep the commit and send it when
        they are back. When the session has ended meanwhile they take that for a double's, and the
        client ends.
        """
        self._uncommitted |= positions
        if time.monotonic() > max(self._commit_after, self._away_until):
            await self._commit()

    async def _commit(self) -> None:
        # What was another member's meanwhile is that one's to tell.
        held = self._uncommitted.keys() & set(self._assigned or ())
        places = [TopicPartition(p.topic, p.number, self._uncommitted[p]) for p in held]
        self._uncommitted = {}
        if not places:
            return
        self._commit_after = time.monotonic() + COMMIT_SECONDS
        client = self._opened()
        await self._run("committing", lambda: client.commit(offsets=places, asynchronous=True))

    def _hear(self, error: KafkaError) -> None:
        """Take note of an error that the client tells in the background, in its thread."""
        hear_refusal(error)
        if is_away(error):
            self._away_until = time.monotonic() + self._session_seconds

    def _held(self, partitions: Iterable[Partition]) -> list[TopicPartition]:
        held = set(self._assigned or ())
        return [TopicPartition(p.topic, p.number) for p in partitions if p in held]

    def _opened(self) -> Consumer:
        if self._client is None:
            raise RuntimeError("the consumer is used outside of its `async with`")
        return self._client

    async def _run(self, doing: str, call: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except KafkaException as error:
            raise consumer_failure(error, doing, self._watch) from error

    def _fetch(self, records_max: int, wait_seconds: float) -> Fetched:
        client = self._opened()
        before = self._assigned
        messages = fetch(client, records_max, wait_seconds)
        fetched = Fetched()
        if self._assigned is not before:
            # Records that came with it are read again, from the offsets that `start` will name; an
            # end of the client is told only once.
            for error in filter(None, (message.error() for message in messages)):
                self._raise_final(error)
            fetched.assigned = self._assigned
            return fetched
        fetched.records = [_record(m) for m in messages if m.error() is None]
        for message in messages:
            if (found := message.error()) is not None:
                self._sort(message, found, fetched)
        return fetched

    def _sort(self, message: Message, error: KafkaError, fetched: Fetched) -> None:
        topic, number, offset = message.topic(), message.partition(), message.offset()
        if error.code() == PARTITION_EOF:
            if topic is not None and number is not None and offset is not None:
                fetched.ends[Partition(topic, number)] = offset
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            fetched.gone.add(Partition(topic or "", number or 0))
        else:
            self._raise_final(error)

    def _raise_final(self, error: KafkaError) -> None:
        """Raise what does not pass; the client itself sees to the rest."""
        found = consumer_failure(error, "reading", self._watch)
        if is_final(error) or not isinstance(found, Transient):
            raise found

    def _on_assign(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned = tuple(sorted(Partition(p.topic, p.partition) for p in partitions))
        # Nothing is fetched before the positions are known.
        with called_back("taking partitions", self._watch):
            client.assign([])

    def _on_gone(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned = ()
        self._uncommitted = {}
        with called_back("giving partitions back", self._watch):
            client.unassign()


def _record(message: Message) -> Record:
    headers = message.headers()
    is_late, traceparent = read_headers(headers) if headers else (False, None)
    found = (
        _place(message.topic() or "", message.partition() or 0),
        message.offset() or 0,
        message.timestamp()[1],
        message.key(),
        message.value(),
        is_late,
        traceparent,
    )
    # Its own constructor takes three times as long.
    return tuple.__new__(Record, found)


@lru_cache(maxsize=4096)
def _place(topic: str, number: int) -> Partition:
    return Partition(topic, number)


def group_of(name: str) -> str:
    """The consumer group of a pipeline's sinks."""
    return f"{name}.sink"
