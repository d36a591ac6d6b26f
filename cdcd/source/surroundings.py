"""What the followers of all tables share in one worker."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from cdcd.config.settings import SourceSettings
from cdcd.model.change import Batch
from cdcd.model.destination import Destination
from cdcd.model.fingerprint import Cell, Fingerprint, Merged
from cdcd.model.lane import LaneSet
from cdcd.model.position import Generation, Position
from cdcd.model.published import Sought, TakePublished
from cdcd.model.refresh import Listed
from cdcd.model.table import TableSpec
from cdcd.ops.board import Board
from cdcd.source.catalog import SourceTable
from cdcd.source.idling import Idling
from cdcd.source.progress import Start
from cdcd.source.schema_watch import SchemaWatch
from cdcd.source.server_clock import ServerClock
from cdcd.source.session import Session

STAGE = "source"


def _never(_: str) -> bool:
    return False


async def _unknown(_: TableSpec) -> Destination | None:
    return None


@dataclass(frozen=True)
class Surroundings:
    """Clients, limits and ways out. `generations` reads a table's list anew, `seen` has it as of
    the last look at the catalog, `prepare` makes ready for a table's changes, `hand_on` queues a
    batch for publishing, `published` reads back published rows, `full_rows` says whose changes are
    to come with whole rows, and `destination` where they go.
    """

    session: Session
    settings: SourceSettings
    in_flight: asyncio.Semaphore
    schema: SchemaWatch
    clock: ServerClock
    board: Board
    start: Start
    lanes: LaneSet
    generations: Callable[[SourceTable], Awaitable[tuple[Generation, ...]]]
    seen: Callable[[SourceTable], Awaitable[tuple[Generation, ...]]]
    prepare: Callable[[TableSpec], Awaitable[None]]
    hand_on: Callable[[Batch], Awaitable[None]]
    published: Callable[[TableSpec, Sought, TakePublished], Awaitable[bool]]
    full_rows: Callable[[str], bool] = _never
    destination: Callable[[TableSpec], Awaitable[Destination | None]] = _unknown
    idling: Idling = field(default_factory=lambda: Idling(500, 150.0))


@dataclass(frozen=True)
class Saved:
    """What was saved of one table in the owned lanes. It `has_gap` when changes are known to be
    missing behind these positions, and `is_back` when it has stopped under this worker's eyes.
    """

    positions: Mapping[int, Position] = field(default_factory=dict)
    cells: Mapping[Cell, Fingerprint] = field(default_factory=dict)
    listed: tuple[Listed, ...] = ()
    has_gap: bool = False
    is_back: bool = False
    merged: Mapping[Cell, Merged] = field(default_factory=dict)
