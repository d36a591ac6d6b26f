"""What a benchmark found. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cdcd.bench.profiles import Step
from cdcd.ops.quantiles import quantile

# A step whose changes take longer in the end was too much.
LATE_SECONDS = 5.0
# The part of a step that tells whether it grows.
_END_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Sample:
    """A change: when it was acknowledged, in seconds of its step, and how long until its row was
    visible in PostgreSQL.
    """

    at_seconds: float
    waited_seconds: float


@dataclass(frozen=True, slots=True)
class Caught:
    """A backlog: seconds until the worker was ready, and from then to the last row."""

    changes: int
    start_seconds: float
    seconds: float
    cpu_seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The record as `--json` has it."""
        return {
            "changes": self.changes,
            "start_seconds": round(self.start_seconds, 2),
            "seconds": round(self.seconds, 2),
            "changes_per_second": round(self.changes / max(self.seconds, 0.001)),
            "cpu_us_per_change": _each(self.cpu_seconds, self.changes),
        }


@dataclass(frozen=True, slots=True)
class Held:
    """A step: what was written in how many seconds, and what was sampled of it."""

    step: Step
    written: int
    seconds: float
    samples: Sequence[Sample]
    unseen: int = 0
    cpu_seconds: float | None = None

    @property
    def kept_up(self) -> bool:
        """Whether its last changes were not late."""
        end = self.step.seconds * _END_SHARE
        last = [s.waited_seconds for s in self.samples if s.at_seconds >= end]
        waited = quantile(last, 0.95)
        return not self.unseen and waited is not None and waited <= LATE_SECONDS

    def waited(self, share: float) -> float | None:
        """The seconds that this share of the changes did not exceed."""
        found = quantile([s.waited_seconds for s in self.samples], share)
        return None if found is None else round(found, 3)

    def as_json(self) -> dict[str, Any]:
        """The record as `--json` has it."""
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
        return {
            **asdict(self.step),
            "written_per_second": round(self.written / max(self.seconds, 0.001)),
            "samples": len(self.samples),
            "unseen": self.unseen,
            **{f"{name}_seconds": self.waited(share) for name, share in shares.items()},
            "cpu_us_per_change": _each(self.cpu_seconds, self.written),
            "kept_up": self.kept_up,
        }


@dataclass(slots=True)
class Report:
    """All of it. Memory in bytes; None where the system does not tell."""

    profile: str
    cores: int
    load: float
    caught: Caught | None = None
    held: list[Held] = field(default_factory=list)
    peak_memory: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        return {
            "profile": self.profile,
            "cores": self.cores,
            "load": self.load,
            "backlog": None if self.caught is None else self.caught.as_json(),
            "steps": [each.as_json() for each in self.held],
            "peak_memory_bytes": self.peak_memory,
        }


def _each(cpu_seconds: float | None, changes: int) -> float | None:
    return None if cpu_seconds is None or not changes else round(cpu_seconds / changes * 1e6, 1)
