"""What a comparison found, as values: for people, for JSON and for the record. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cdcd.model.errors import ExitCode
from cdcd.reconcile.compare import Kind, Suspect, Trial

# Rows that a report names.
EXAMPLES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Example:
    """A row that differs; `columns` are those that do, where it is on both sides."""

    kind: Kind
    key: Mapping[str, Any]
    columns: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": self.kind.value, "key": dict(self.key), "columns": list(self.columns)}


@dataclass(frozen=True, slots=True)
class TableResult:
    """One comparison. Counts are of rows as they were found; `repaired` of those that are equal
    now, and `left` of those that are not, in the order of the counts. `rows` is the source's count,
    `rows_target` the target's. `unjudged` rows changed faster than they could be judged; `is_cut`
    says that there is more that was not looked at.
    """

    table: str
    rows: int
    rows_target: int
    missing: int = 0
    extra: int = 0
    different: int = 0
    repaired: int = 0
    left: tuple[int, int, int] = (0, 0, 0)
    examples: tuple[Example, ...] = ()
    unjudged: int = 0
    is_cut: bool = False

    @property
    def found(self) -> int:
        """All differences."""
        return self.missing + self.extra + self.different

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs now."""
        return not any(self.left) and not self.is_cut

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `--json` prints them."""
        return {
            "table": self.table,
            "rows": self.rows,
            "missing": self.missing,
            "extra": self.extra,
            "different": self.different,
            "repaired": self.repaired,
            "unjudged": self.unjudged,
            "cut": self.is_cut,
            "examples": [e.as_json() for e in self.examples],
            "error": None,
        }


def concluded(
    found: TableResult, confirmed: Collection[Suspect], again: Trial | None
) -> TableResult:
    """The result with the differences that count. `again` is the trial of those that were still
    there after a repair; None where nothing was repaired.
    """
    missing, extra, different = _counts(confirmed)
    left = confirmed if again is None else again.confirmed.values()
    unjudged = 0 if again is None else again.given_up
    return replace(
        found,
        missing=missing,
        extra=extra,
        different=different,
        repaired=len(confirmed) - len(left) - unjudged,
        left=_counts(left),
        unjudged=found.unjudged + unjudged,
    )


def _counts(suspects: Iterable[Suspect]) -> tuple[int, int, int]:
    kinds = Counter(s.seen.kind for s in suspects)
    return kinds[Kind.MISSING], kinds[Kind.EXTRA], kinds[Kind.DIFFERENT]


# What a table that could not be compared has no number of.
_COUNTS = ("rows", "missing", "extra", "different", "repaired", "unjudged", "cut")


@dataclass(frozen=True, slots=True)
class Failed:
    """A table that could not be compared, why, and what that tells the supervisor."""

    table: str
    message: str
    hint: str = ""
    exit_code: ExitCode = ExitCode.OUTSIDE

    def as_json(self) -> dict[str, Any]:
        """The keys of a comparison; what nobody knows is null."""
        unknown = dict.fromkeys(_COUNTS)
        return {"table": self.table, **unknown, "examples": [], "error": self.message}


@dataclass(frozen=True, slots=True)
class Outcome:
    """All tables of one run."""

    tables: Sequence[TableResult]
    failed: Sequence[Failed] = ()

    @property
    def is_equal(self) -> bool:
        """Whether all was compared and nothing differs now."""
        return not self.failed and all(t.is_equal for t in self.tables)

    @property
    def exit_code(self) -> ExitCode:
        """0 equal, also after repair; 1 differences remain; what a failure says goes before."""
        if self.failed:
            return max(f.exit_code for f in self.failed)
        return ExitCode.DONE if self.is_equal else ExitCode.FOUND

    def as_json(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        tables = [t.as_json() for t in self.tables] + [f.as_json() for f in self.failed]
        return {"tables": tables, "equal": self.is_equal}
