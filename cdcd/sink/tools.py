"""What the tables of one sink share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cdcd.config.settings import DlqSettings, SinkSettings
from cdcd.config.tables import TableEntries
from cdcd.ops.board import Board
from cdcd.sink.pool import Pool
from cdcd.transport.registry import Registry
from cdcd.transport.requests import Requests

if TYPE_CHECKING:
    from cdcd.ops.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Tools:
    """What every table of a sink works with; `carry` is told of new dead letters."""

    pipeline: str
    target_schema: str
    settings: SinkSettings
    dlq: DlqSettings
    pool: Pool
    registry: Registry
    requests: Requests
    board: Board
    carry: Callable[[], None]
    tables: TableEntries = field(default_factory=dict)
    tracing: "Tracing | None" = None
