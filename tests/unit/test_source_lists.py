"""Lists that servers give: a node that lags or a table without streams must not harm the others."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from cdcd.config.settings import SourceSettings
from cdcd.model.control import Control
from cdcd.model.errors import Transient
from cdcd.model.lane import Assignment, LaneSet
from cdcd.model.position import Generation
from cdcd.model.table import CdcOptions
from cdcd.ops.board import Board
from cdcd.source.catalog import Catalog, SourceTable
from cdcd.source.generations import Generations
from cdcd.source.progress import Start
from cdcd.source.schema_watch import SchemaWatch
from cdcd.source.server_clock import ServerClock
from cdcd.source.session import Session
from cdcd.source.surroundings import Surroundings
from cdcd.source.tables import Tables
from tests.unit.tables import table

STREAM = bytes(15) + b"\x01"


def moment(ms: int) -> datetime:
    """A time as the driver gives it."""
    return datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)


def source_table(name: str, *, tablets: bool) -> SourceTable:
    """A table of the keyspace ks."""
    spec = table({"p:p": "int"}, name=name)
    return SourceTable(spec, CdcOptions(enabled=True), "id", tablets=tablets)


class Nodes:
    """A session whose every question is answered by another node."""

    def __init__(self, *times: Sequence[int]) -> None:
        self.times = list(times)
        self.lists_read = 0  # those of generations

    async def query(
        self, cql: str, _: Sequence[object] = (), *, quorum: bool = False
    ) -> list[dict[str, Any]]:
        """The times that the next node knows, of tables t and u, or the streams of any time."""
        if "cdc_timestamps" in cql or "generation_timestamps" in cql:
            self.lists_read += 1
            of = [{"keyspace_name": "ks", "table_name": name} for name in "tu"]
            times = [{"timestamp": moment(t), "time": moment(t)} for t in self.times.pop(0)]
            return [each | time for each in of for time in times]
        if "peers" in cql:
            return []
        return [{"stream_id": STREAM, "range_end": 0, "streams": {STREAM}}]


@pytest.mark.parametrize("kind", ["vnodes", "tablets"])
async def test_a_generation_that_was_seen_stays(kind: str) -> None:
    """A generation that one node has shown is not forgotten when a lagging one is asked next.

    Otherwise the old streams would be read past its start, and its first rows never.
    """
    generations = Generations(cast("Session", Nodes([1000, 2000], [1000])))
    of = source_table("t", tablets=kind == "tablets")
    found = [[g.start_ms for g in await generations.of(of)] for _ in range(2)]
    assert found == [[1000, 2000], [1000, 2000]]


@pytest.mark.parametrize(
    ("names", "tablets", "lists"),
    [
        pytest.param("tu", False, 1, id="vnodes"),
        pytest.param("tu", True, 2, id="tablets of a few tables"),
        pytest.param("tuabcdefghi", True, 1, id="tablets of many tables"),
    ],
)
async def test_a_look_reads_lists_for_all_tables(names: str, tablets: bool, lists: int) -> None:
    """A look reads the list of vnodes once, and those of many tables at once; a table's generations
    are then known without another.
    """
    nodes = Nodes(*[[1000, 2000]] * lists)
    generations = Generations(cast("Session", nodes))
    tables = [source_table(name, tablets=tablets) for name in names]
    await generations.look(tables)
    found = [[g.start_ms for g in await generations.seen(each)] for each in tables[:2]]
    assert found == [[1000, 2000], [1000, 2000]]
    assert nodes.lists_read == lists


@pytest.mark.parametrize("peers", [0, 2])
async def test_metadata_is_read_at_the_level_of_its_writer(peers: int) -> None:
    """Generations of vnodes are read at ONE from a lone node, and at QUORUM from several: the
    servers write them by the same rule.
    """
    asked: list[tuple[str, bool]] = []

    class Some(Nodes):
        async def query(
            self, cql: str, _: Sequence[object] = (), *, quorum: bool = False
        ) -> list[dict[str, Any]]:
            if "peers" in cql:
                return [{"peer": n} for n in range(peers)]
            asked.append((cql, quorum))
            return await super().query(cql)

    await Generations(cast("Session", Some([1000]))).of_vnodes()
    assert len(asked) == 2
    assert {quorum for _, quorum in asked} == {bool(peers)}


async def test_a_generation_without_streams_is_waited_for() -> None:
    """A generation whose streams are not readable yet is asked for again."""

    class Early(Nodes):
        async def query(
            self, cql: str, _: Sequence[object] = (), *, quorum: bool = False
        ) -> list[dict[str, Any]]:
            return [] if "cdc_streams" in cql else await super().query(cql)

    with pytest.raises(Transient, match="no streams yet"):
        await Generations(cast("Session", Early([1000]))).of(source_table("t", tablets=True))


async def but_for_a(found: SourceTable) -> tuple[Generation, ...]:
    """The generations of every table but ks.a, which has none yet."""
    if found.spec.name == "a":
        raise Transient("ScyllaDB: there is no stream generation for ks.a yet")
    return (Generation(0, ()),)


async def never(*_: object) -> Any:
    """Nothing that a test waits for."""
    await asyncio.Event().wait()


async def test_a_table_without_streams_does_not_hold_up_the_others() -> None:
    """Where one table has no generation yet the others are begun and kept up to date."""
    session, settings, board = cast("Session", Nodes()), SourceSettings(), Board("p", "i")
    lanes = LaneSet(frozenset({0}), 1)
    around = Surroundings(
        session=session,
        settings=settings,
        in_flight=asyncio.Semaphore(1),
        schema=SchemaWatch(session),
        clock=ServerClock(),
        board=board,
        start=Start.LOG,
        lanes=lanes,
        generations=but_for_a,
        seen=but_for_a,
        prepare=never,
        hand_on=never,
        published=never,
    )
    found = {f"ks.{name}": source_table(name, tablets=True) for name in "abc"}
    async with asyncio.TaskGroup() as group:
        tables = Tables(Assignment(lanes, {}), around, Start.LOG, never, group)
        with suppress(Transient):
            await tables.update(Catalog("v1", found), Control(("ks.*",)))
        begun = sorted(tables._following)
        for followed in tables._following.values():
            followed.task.cancel()
    assert begun == ["ks.b", "ks.c"]
