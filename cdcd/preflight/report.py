"""What a check says, and what all of them say together. Pure.

A finding is something that the check saw. A check that could not finish saw nothing, which is
another answer: nobody may take it for a good one.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from cdcd.model.errors import CdcdError, ConfigurationError, ExitCode


class Level(StrEnum):
    """How much a finding matters; a note alone is no reason to do anything."""

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check saw, and what to do about it."""

    level: Level
    message: str
    hint: str = ""


def problem(message: str, hint: str = "") -> Finding:
    """Something with which `cdcd run` would fail or lose its guarantees."""
    return Finding(Level.PROBLEM, message, hint)


def warning(message: str, hint: str = "") -> Finding:
    """Something that works and will hurt."""
    return Finding(Level.WARNING, message, hint)


def note(message: str, hint: str = "") -> Finding:
    """Something to know."""
    return Finding(Level.NOTE, message, hint)


class Result(StrEnum):
    """How one check ended."""

    GOOD = "good"
    FOUND = "found"
    REFUSED = "refused"
    UNFINISHED = "unfinished"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check of one service. `refused` is a setting or a right that no second try mends."""

    service: str
    check: str
    result: Result
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ToDo:
    """What no program can see, where it belongs, and the page that says how."""

    area: str
    what: str
    see: str


@dataclass(frozen=True, slots=True)
class Report:
    """All outcomes, service by service, and what is left for people; that is no finding."""

    outcomes: tuple[Outcome, ...] = field(default_factory=tuple)
    to_do: tuple[ToDo, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """Wrong settings first: while they are wrong no second try helps."""
        results = {o.result for o in self.outcomes}
        if Result.REFUSED in results:
            return ExitCode.CONFIGURATION
        if Result.UNFINISHED in results:
            return ExitCode.OUTSIDE
        return ExitCode.FOUND if Result.FOUND in results else ExitCode.DONE

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON document."""
        return {
            "exit_code": int(self.exit_code),
            "passed": self.exit_code is ExitCode.DONE,
            "checks": [{**asdict(o), "seconds": round(o.seconds, 3)} for o in self.outcomes],
            **({"to_do": [asdict(each) for each in self.to_do]} if self.to_do else {}),
        }


def ended(service: str, check: str, findings: Sequence[Finding], seconds: float) -> Outcome:
    """The outcome of a check that finished."""
    matters = any(f.level is not Level.NOTE for f in findings)
    result = Result.FOUND if matters else Result.GOOD
    return Outcome(service, check, result, tuple(findings), seconds)


def failed(service: str, check: str, error: CdcdError, seconds: float) -> Outcome:
    """The outcome of a check that raised."""
    refused = isinstance(error, ConfigurationError)
    result = Result.REFUSED if refused else Result.UNFINISHED
    return Outcome(service, check, result, (problem(error.message, error.hint),), seconds)


def skipped(service: str, check: str) -> Outcome:
    """The outcome of a check whose service could not be reached; the connection says why."""
    return Outcome(service, check, Result.SKIPPED)
