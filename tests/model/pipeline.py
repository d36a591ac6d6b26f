"""The pure code of both stages, driven a step at a time between ScyllaDB's rules and a table.

One lane, without tasks, clocks and clients. The log and the base table show a mutation when they
are told to, so that the log may be behind the clock and the base behind the log.
"""

import asyncio
import itertools
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, cast

from cdcd.model.change import ChangeEvent
from cdcd.model.position import UUID_EPOCH_TICKS
from cdcd.model.refresh import Request, Scope
from cdcd.model.touched import touched
from cdcd.source.decode import LogDecoder
from cdcd.source.listed import ListedRefreshes, listing
from cdcd.source.refresh import BaseReader
from cdcd.source.session import partition_token
from cdcd.source.touched import ties
from tests.model.servers import TABLE, Mutation, Part, Reads, Table, log_rows
from tests.model.target import Memory
from tests.model.wire import over_the_wire

STREAM = bytes(16)
BEGIN_MS = 1_000_000
# Rounds of refreshes in the end; each may show that a row has to be read again.
ROUNDS_MAX = 20


def timeuuid(time_us: int, low: int) -> bytes:
    """A timeuuid of a microsecond."""
    ticks = time_us * 10 + UUID_EPOCH_TICKS
    parts = (ticks & 0xFFFFFFFF).to_bytes(4, "big") + (ticks >> 32 & 0xFFFF).to_bytes(2, "big")
    return parts + (ticks >> 48 & 0x0FFF | 0x1000).to_bytes(2, "big") + low.to_bytes(8, "big")


class Pipeline:
    """From mutations to a table."""

    def __init__(self) -> None:
        self.now_ms = self.frontier_ms = BEGIN_MS
        self.mutations: list[Mutation] = []
        # What the log and the base show, by number.
        self.logged: set[int] = set()
        self.based: set[int] = set()
        self.published: set[int] = set()
        self.topic: list[ChangeEvent] = []
        self.applied = 0
        self.target = Memory()
        self.requests: dict[Scope, int] = {}
        # Late mutations, whose scopes are to be read once more when the base must show them.
        self.delayed: list[tuple[Scope, int, int]] = []
        self._listed = ListedRefreshes((), 1, 4)
        self._decoder = LogDecoder(TABLE, partition_token)
        self._numbers = itertools.count(1)

    def write(self, partition: int, time_us: int, parts: tuple[Part, ...]) -> None:
        """A statement; neither the log nor the base shows it yet."""
        uuid = timeuuid(time_us, next(self._numbers))
        self.mutations.append(Mutation(partition, time_us, uuid, parts))

    def show(self, *, log: Iterable[int] = (), base: Iterable[int] = ()) -> None:
        """Let the log and the base show some mutations."""
        self.logged |= set(log)
        self.based |= set(base)

    def decoded(self, numbers: Iterable[int]) -> list[ChangeEvent]:
        """The changes that the log shows for some mutations."""
        ordered = sorted(numbers, key=lambda n: self.mutations[n].uuid)
        ordered.sort(key=lambda n: self.mutations[n].time_us)
        rows = [row for n in ordered for row in log_rows(self.mutations[n], STREAM)]
        return self._decoder.changes(rows, lambda _: True)

    def _time_ms(self, number: int) -> int:
        return self.mutations[number].time_us // 1000

    def read_first(self) -> None:
        """The fast reading, up to the clock."""
        window = range(self.frontier_ms, self.now_ms)
        due = {n for n in self.logged - self.published if self._time_ms(n) in window}
        events = self.decoded(due)
        self._publish(events)
        self.requests.update(ties(events))
        self.published |= due
        self.frontier_ms = self.now_ms

    def settle(self) -> None:
        """A pass over everything below the frontier: what is late, and what to refresh again."""
        below = {n for n in self.logged if self._time_ms(n) < self.frontier_ms}
        late = below - self.published
        again = [
            (touched(e), e.token)
            for e in self.decoded(below & self.published)
            if self._listed.covers(touched(e), e.token, e.time_us // 1000)
        ]
        for number in sorted(late):
            events = self.decoded([number])
            self.publish_late(events)
            self.delayed += [(touched(e), e.token, number) for e in events]
            again += [(touched(e), e.token) for e in events]
        self.published |= late
        self._refresh(dict(again))

    def publish_late(self, events: Sequence[ChangeEvent]) -> None:
        """Late changes are in the topic, and the sink skips them."""

    def _publish(self, events: Iterable[ChangeEvent]) -> None:
        # By name: a test may break it.
        self.topic += over_the_wire(list(events))

    def ask(self, scope: Scope, token: int) -> None:
        """A request from outside."""
        self.requests[scope] = token

    def serve(self) -> None:
        """Serve all requests, and those of late changes that the base shows by now."""
        due, self.requests = self.requests, {}
        due.update({scope: token for scope, token, n in self.delayed if n in self.based})
        self.delayed = [entry for entry in self.delayed if entry[2] not in self.based]
        self._refresh(due)

    def _refresh(self, scopes: dict[Scope, int]) -> None:
        reads = cast("Any", Reads([self.mutations[n] for n in sorted(self.based)]))
        reader = BaseReader(reads, TABLE, 100, asyncio.Semaphore(1))
        for scope in scopes:
            self._publish(_done(reader.read(scope, self.now_ms * 1000)).events)
        self._listed.add(
            listing("ks.t", scope, token, self.frontier_ms) for scope, token in scopes.items()
        )

    def apply(self, count: int) -> None:
        """The sink's next batch."""
        batch = self.topic[self.applied : self.applied + count]
        self.applied += len(batch)
        self.hear(self.target.apply(batch))

    def hear(self, requests: Iterable[Request]) -> None:
        """Take the sink's requests."""
        for request in requests:
            self.ask(request.scope, request.token)

    def come_to_rest(self) -> None:
        """All is shown, read, settled, served and applied, as the assumption of rule 6 has it."""
        everything = range(len(self.mutations))
        self.show(log=everything)
        self.now_ms += 1
        self.read_first()
        # The last pass finds the base with all that was published before, and not with what it
        # finds itself.
        self.show(base=self.published)
        self.settle()
        self.show(base=everything)
        self.serve()
        for _ in range(ROUNDS_MAX):
            self.apply(len(self.topic))
            if not self.requests:
                return
            self.serve()
        raise AssertionError("the sink asks for ever")

    def expected(self) -> Table:
        """What the servers hold in the end."""
        return Table(self.mutations)


def _done(read: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        read.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("it waits for something")
