"""What a running daemon says of itself, as values: `/status` serves it, `/readyz` judges it."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class TableState(StrEnum):
    """What happens to one table."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    NEEDS_SNAPSHOT = "needs_snapshot"


class StageState(StrEnum):
    """What one stage is doing."""

    STARTING = "starting"
    RUNNING = "running"
    RETRYING = "retrying"


# States in which a table's changes do not arrive although nobody asked for that.
BROKEN = frozenset({TableState.STOPPED, TableState.NEEDS_SNAPSHOT})


@dataclass(frozen=True, slots=True)
class TableStatus:
    """One table in this worker. Counts are since the worker's start.

    `frontier_ms` is the oldest frontier of the lanes that this worker reads, in milliseconds since
    1970. `lag_seconds` is how old the newest change is that the target has, while records wait to
    be applied, and the frontier's age when none do. `waiting` counts these records. None is not
    known to this worker. `rejected` counts dead letters that this worker made, `dead_letters` those
    of all workers that wait for somebody now. `copied` is the share of a running copy that is done,
    `copy_seconds` what it may still take.
    """

    table: str
    state: TableState = TableState.RUNNING
    reason: str = ""
    frontier_ms: int | None = None
    lag_seconds: float | None = None
    waiting: int | None = None
    published: int = 0
    applied: int = 0
    rejected: int = 0
    dead_letters: int = 0
    copied: float | None = None
    copy_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage; `reason` says what it waits for."""

    stage: str
    state: StageState = StageState.STARTING
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """The whole worker at one moment."""

    name: str
    instance: str
    version: str
    started_ms: int
    now_ms: int
    stages: tuple[StageStatus, ...] = ()
    tables: tuple[TableStatus, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether the worker does its work.

        Every stage runs, and not every table is broken. One broken table among others leaves the
        worker ready: a probe that failed for it would stop the roll-out that repairs it.
        """
        if not self.stages or any(s.state is not StageState.RUNNING for s in self.stages):
            return False
        return not self.tables or any(t.state not in BROKEN for t in self.tables)

    @property
    def reasons(self) -> list[str]:
        """All that is not as it should be, one sentence each."""
        stages = [
            f"stage {s.stage} is {s.state.value}{_because(s.reason)}"
            for s in self.stages
            if s.state is not StageState.RUNNING
        ]
        tables = [
            f"table {t.table} is {t.state.value}{_because(t.reason.removeprefix(f'{t.table}: '))}"
            for t in self.tables
            if t.state is not TableState.RUNNING
        ]
        return ([] if self.stages else ["no stage has begun"]) + stages + tables

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON document."""
        return {**asdict(self), "ready": self.is_ready, "reasons": self.reasons}


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
