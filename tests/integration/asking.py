"""The source stage between a real database and lanes that keep what is published."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cdcd.config.settings import SourceSettings
from cdcd.model.change import Batch, ChangeEvent, Operation
from cdcd.model.control import Control
from cdcd.model.destination import Destination
from cdcd.model.lane import Assignment
from cdcd.model.refresh import Copied, Key, Listed, Request, Row, Scope
from cdcd.model.table import TableSpec
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.source import stage
from cdcd.source.allowance import Allowance, Spent
from cdcd.source.decode import serialized_key
from cdcd.source.progress import Start
from cdcd.source.session import Session, partition_token
from tests.integration.keyspaces import ALL_LANES, CDC, Keyspace

_number = itertools.count()


def key(*values: int) -> Key:
    """CQL ints."""
    return tuple(v.to_bytes(4, "big") for v in values)


TOKEN = partition_token(serialized_key(key(1)))
ROW = Row(key(1), key(2))


# Partition 1 of the table with rows, as a refresh publishes it.
WHOLE = [
    (Operation.READ, (None,), {"s": 7}),
    (Operation.READ, (1,), {"v": 10}),
    (Operation.READ, (2,), {"v": 20}),
    (Operation.READ, (3,), {"v": 30}),
]


def table_with_rows(ks: Keyspace) -> str:
    """A table with a static column, rows 1 to 3 of partition 1, and one of partition 2."""
    ks.execute(
        f"CREATE TABLE $ks.t (p int, c int, s int static, v int, PRIMARY KEY (p, c)) WITH {CDC}"
    )
    for c in (1, 2, 3):
        ks.execute(f"INSERT INTO $ks.t (p, c, s, v) VALUES (1, {c}, 7, {c * 10})")
    ks.execute("INSERT INTO $ks.t (p, c, v) VALUES (2, 1, 5)")
    return f"{ks.name}.t"


class Asking:
    """Lanes that keep what is published, and pass on what is asked for."""

    def __init__(self, restored: Iterable[Request] = ()) -> None:
        self.events: list[ChangeEvent] = []
        self.pending = {r.id: r for r in restored}
        self.listed: dict[str, Listed] = {}
        self.copied: list[Copied] = []
        self.assignment = Assignment(ALL_LANES, {}, tuple(self.pending.values()))
        self._asked: asyncio.Queue[Request] = asyncio.Queue()

    def ask(self, table: str, scope: Scope, token: int = TOKEN, due_ms: int = 0) -> Request:
        """Write a request."""
        request = Request(f"r{next(_number)}", table, scope, token, due_ms)
        self.give(request)
        return request

    def give(self, request: Request) -> None:
        """Write a request that is made already."""
        self.pending[request.id] = request
        self._asked.put_nowait(request)

    async def assigned(self) -> Assignment:
        """All lanes."""
        return self.assignment

    async def lost(self, _: Assignment) -> None:
        """Never."""
        await asyncio.Event().wait()

    async def requests(self, _: Assignment) -> Sequence[Request]:
        """What was asked for since."""
        return [await self._asked.get()]

    async def restored(self, _: Assignment) -> Assignment:
        """Never asked for: no table stops."""
        return self.assignment

    async def prepare(self, _: TableSpec) -> None:
        """Nothing to make."""

    async def destination(self, _: TableSpec) -> Destination | None:
        """One that never changes."""
        return None

    async def published(self, *_: object) -> bool:
        """Nothing that has to be read back."""
        return False

    async def publish(self, _: Assignment, batches: Sequence[Batch]) -> None:
        """Keep the batches as one transaction."""
        for batch in batches:
            self.events += batch.events
            for entry, keep in batch.listed:
                self.listed[entry.id] = entry
                if not keep:
                    del self.listed[entry.id]
            for request in batch.served:
                self.pending.pop(request.id, None)
            for request in batch.asked:
                self.give(request)
            self.copied += batch.copied
            if batch.published is not None:
                batch.published()

    @property
    def refreshed(self) -> list[ChangeEvent]:
        """What refreshes published."""
        return [e for e in self.events if e.identity is None]

    async def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Return when the condition holds."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  the stage tells nobody what it published
                await asyncio.sleep(0.02)

    async def served(self, request: Request) -> None:
        """Return when a request was served."""
        await self.until(lambda: request.id not in self.pending)


@asynccontextmanager
async def running(
    session: Session,
    pattern: str,
    restored: Iterable[Request] = (),
    start: Start = Start.LOG,
    **changes: Any,
) -> AsyncIterator[Asking]:
    """The stage on a table; its settings may be changed."""
    settings = SourceSettings(confidence_seconds=0.2, catalog_seconds=1.0, **changes)
    wanted = Directions(Control((pattern,)))
    source = stage.Source(session, settings, wanted, start, Board("p", "i"))
    lanes = Asking(restored)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.run(source, lanes))
        yield lanes
        task.cancel()


def shown(events: Iterable[ChangeEvent]) -> list[tuple[Operation, object, dict[str, object]]]:
    """Operation, clustering key and values."""
    return [(e.op, e.clustering, dict(e.values)) for e in events]


class Tight(Allowance):
    """Two of everything in one stop, however long it took."""

    def __init__(self, _: float) -> None:
        super().__init__(0.1)
        self.reads = self.rows = 2

    def learn(self, _: Spent) -> None:
        """Nothing."""
