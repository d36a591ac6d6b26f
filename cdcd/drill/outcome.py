"""What came of a drill. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdcd.model.errors import ExitCode
from cdcd.ops.quantiles import quantile

# A log row: its stream, its time and its number in the batch. A change has that of its delta row.
Identity = tuple[str, str, int]
# A row's columns by their names, under its key.
Rows = Mapping[tuple[int, ...], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How source and target, and log and topic, compare. `lost` and `doubled` are changes."""

    changes: int
    lost: int = 0
    doubled: int = 0
    different: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing is missing, too many or wrong anywhere."""
        return not (self.lost or self.doubled or self.different)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A drill's end. `stuck` says what did not come back within the limit, if something did not."""

    drill: str
    verdict: Verdict
    recoveries_seconds: Sequence[float] = field(default=())
    stuck: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """Found, unless all came back and all is there once."""
        return ExitCode.FOUND if self.stuck or not self.verdict.is_clean else ExitCode.DONE

    def recovery_seconds(self, share: float) -> float | None:
        """The time within which this share of the rounds was over."""
        found = quantile(self.recoveries_seconds, share)
        return None if found is None else round(found, 2)

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON document."""
        verdict = self.verdict
        return {
            "drill": self.drill,
            "rounds": len(self.recoveries_seconds),
            "changes": verdict.changes,
            "lost": verdict.lost,
            "duplicated": verdict.doubled,
            "different": list(verdict.different),
            "recovery_p50_seconds": self.recovery_seconds(0.5),
            "recovery_p95_seconds": self.recovery_seconds(0.95),
            "recovery_max_seconds": self.recovery_seconds(1.0),
            "stuck": self.stuck,
        }


def judged(
    in_log: Counter[Identity], in_topic: Counter[Identity], source: Rows, target: Rows
) -> Verdict:
    """The verdict: each delta row of the log is in the topic once, and the rows are equal."""
    return Verdict(
        changes=in_log.total(),
        lost=(in_log - in_topic).total(),
        doubled=(in_topic - in_log).total(),
        different=tuple(_differences(source, target)),
    )


def _differences(source: Rows, target: Rows) -> list[str]:
    found = [f"row {key} is missing" for key in sorted(source.keys() - target.keys(), key=repr)]
    found += [f"row {key} is too many" for key in sorted(target.keys() - source.keys(), key=repr)]
    for key in source.keys() & target.keys():
        ours, theirs = source[key], target[key]
        wrong = [n for n in ours.keys() | theirs.keys() if ours.get(n) != theirs.get(n)]
        if wrong:
            found.append(f"row {key} differs in {', '.join(sorted(wrong))}")
    return found
