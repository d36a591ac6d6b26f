"""How much a benchmark asks of the servers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """A steady rate of changes for a while."""

    rate_per_second: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A backlog that is caught up with, then steps, until one is too much."""

    name: str
    does: str
    backlog_changes: int
    steps: tuple[Step, ...]


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("small", "is over in a minute, and hurts nobody", 10_000, (Step(200, 15),)),
        Profile("large", "is a busy table's load", 300_000, (Step(2_000, 60),)),
        Profile(
            "stress",
            "doubles the rate until it is too much",
            300_000,
            tuple(Step(1_000 * 2**n, 15) for n in range(8)),
        ),
    )
}
