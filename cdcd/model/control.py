"""What operators tell a running pipeline: its set of tables, and what is paused. Pure.

Every worker follows these; they are no fence. A paused table keeps its position, so that nothing is
lost for as long as its log, or its topic, keeps what was not read.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from cdcd.model.errors import ConfigurationError

SOURCE, SINK = "source", "sink"
STAGES = (SOURCE, SINK)
EVERYTHING = "*"


@dataclass(frozen=True, slots=True, order=True)
class Pause:
    """One stage of the tables that a pattern takes in stands still; `by` is `user@host`."""

    pattern: str
    stage: str
    since_ms: int
    by: str

    def __str__(self) -> str:
        return f"paused by {self.by}: cdcd resume '{self.pattern}'"


@dataclass(frozen=True, slots=True)
class Control:
    """The set of tables, as names and globs, and the pauses in force; both sorted."""

    tables: tuple[str, ...] = ()
    pauses: tuple[Pause, ...] = ()

    def wants(self, table: str) -> bool:
        """Whether the pipeline replicates the table."""
        return takes_in(self.tables, table)

    def pause_of(self, table: str, stage: str) -> Pause | None:
        """The longest pause of the table in a stage."""
        found = (p for p in self.pauses if p.stage == stage and takes_in([p.pattern], table))
        return min(found, key=lambda p: p.since_ms, default=None)

    def is_running(self, table: str) -> bool:
        """Whether the pipeline replicates the table and neither stage of it is paused."""
        return self.wants(table) and not any(self.pause_of(table, stage) for stage in STAGES)


def takes_in(patterns: Iterable[str], table: str) -> bool:
    """Whether one of the patterns is the table's name or a glob that matches it."""
    return any(fnmatchcase(table, pattern) for pattern in patterns)


def is_glob(pattern: str) -> bool:
    """Whether a pattern may match several tables."""
    return any(c in pattern for c in "*?[")


def with_tables(control: Control, patterns: Collection[str]) -> Control:
    """The set with more patterns. Raises ConfigurationError for one that is no table's name."""
    for pattern in patterns:
        if "." not in pattern and not is_glob(pattern):
            raise ConfigurationError(f"{pattern} is no table's name", "write keyspace.table")
    return replace(control, tables=tuple(sorted({*control.tables, *patterns})))


def without_tables(control: Control, patterns: Collection[str]) -> Control:
    """The set without some of its patterns.

    Raises ConfigurationError for one that is not in it, and when none would be left.
    """
    for pattern in patterns:
        if pattern not in control.tables:
            held = [p for p in control.tables if takes_in([p], pattern)]
            hint = f"{held[0]} takes it in: remove that, and add what is to stay" if held else ""
            has = " ".join(control.tables)
            raise ConfigurationError(f"the set has no {pattern}: it is {has}", hint)
    left = tuple(p for p in control.tables if p not in patterns)
    if not left:
        raise ConfigurationError("a pipeline keeps at least one table", "stop its workers instead")
    return replace(control, tables=left)


def paused(
    control: Control, patterns: Collection[str], stages: Collection[str], now_ms: int, by: str
) -> Control:
    """With the pauses; one that is in force already stays as it is.

    Raises ConfigurationError for a table that the pipeline does not replicate.
    """
    for pattern in patterns:
        if not is_glob(pattern) and not control.wants(pattern):
            has = " ".join(control.tables) or "nothing"
            raise ConfigurationError(f"the pipeline does not replicate {pattern}", f"it has {has}")
    there = {(p.pattern, p.stage) for p in control.pauses}
    new = [
        Pause(pattern, stage, now_ms, by)
        for pattern in patterns
        for stage in stages
        if (pattern, stage) not in there
    ]
    return replace(control, pauses=tuple(sorted({*control.pauses, *new})))


def resumed(control: Control, patterns: Collection[str], stages: Collection[str]) -> Control:
    """Without the pauses of these very patterns; `*` ends all.

    Raises ConfigurationError for a table that another pattern would keep paused.
    """
    left = tuple(
        p
        for p in control.pauses
        if p.stage not in stages or (p.pattern not in patterns and EVERYTHING not in patterns)
    )
    for pattern in patterns:
        held = [p for p in left if p.stage in stages and takes_in([p.pattern], pattern)]
        if held:
            raise ConfigurationError(
                f"{pattern} is paused by {held[0].pattern}", f"cdcd resume '{held[0].pattern}'"
            )
    return replace(control, pauses=left)
