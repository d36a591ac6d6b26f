"""What a run would do, as values: for people and for JSON. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cdcd.model.errors import ExitCode
from cdcd.model.table import CdcOptions, TableSpec
from cdcd.sink.target import Targets

# What one worker reads, publishes and applies while it catches up, on two ordinary cores.
CHANGES_PER_SECOND = 3000


@dataclass(frozen=True, slots=True)
class LogSize:
    """How much log a table has, as far as it was looked at: rows in the streams that were counted,
    and the share of the streams that these are. `rows` is None where nothing could be counted.
    """

    counted: int | None
    share: float
    oldest_ms: int | None

    @property
    def rows(self) -> int | None:
        """The whole log's rows, estimated from the part."""
        if self.counted is None or not self.share:
            return None
        return round(self.counted / self.share)


@dataclass(frozen=True)
class Mapped:
    """One column, and what becomes of it; None where it stays out of the target."""

    column: str
    kind: str
    cql: str
    target: str | None
    postgres: str | None


@dataclass(frozen=True)
class TablePlan:
    """One table: where it goes, what is to be made for it, and what there is to read."""

    table: str
    cdc: CdcOptions
    tablets: bool
    topic: str
    targets: tuple[str, ...]
    columns: tuple[Mapped, ...]
    ddl: tuple[str, ...]
    log: LogSize
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """About how long it takes to catch up."""
        return None if self.log.rows is None else self.log.rows / CHANGES_PER_SECOND


@dataclass(frozen=True, slots=True)
class Refused:
    """A table that would not be replicated, and what to do about it."""

    table: str
    reason: str
    hint: str = ""


@dataclass(frozen=True)
class Plan:
    """A run before it begins; topics and subjects are those that would be made."""

    pipeline: str
    is_new: bool
    tables: Sequence[TablePlan] = ()
    refused: Sequence[Refused] = ()
    passed_over: Sequence[Refused] = ()
    topics: Mapping[str, int] = field(default_factory=dict)
    subjects: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def exit_code(self) -> ExitCode:
        """1 where something is refused."""
        return ExitCode.FOUND if self.refused or not self.tables else ExitCode.DONE

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON document."""
        tables = [
            {**asdict(t), "log": {**asdict(t.log), "rows": t.log.rows}, "seconds": t.seconds}
            for t in self.tables
        ]
        return {**asdict(self), "tables": tables, "topics": dict(self.topics)}


def columns_of(table: TableSpec, targets: Targets) -> tuple[Mapped, ...]:
    """What becomes of each column."""
    kept = {c.source.name: c for t in targets.all for c in (*t.key, *t.columns)}
    return tuple(
        Mapped(
            column.name,
            column.kind.value,
            str(column.type),
            kept[column.name].name if column.name in kept else None,
            kept[column.name].kind if column.name in kept else None,
        )
        for column in table.columns
    )
