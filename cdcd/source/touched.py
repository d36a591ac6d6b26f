"""Changes whose order says nothing, and the hashes that tell changes apart. Pure."""

from collections.abc import Sequence

from cdcd.model.change import ChangeEvent
from cdcd.model.fingerprint import identity_hash
from cdcd.model.refresh import Partition, Scope
from cdcd.model.touched import touched

# What was touched, and the token of its partition.
Touched = tuple[Scope, int]


def ties(events: Sequence[ChangeEvent]) -> list[Touched]:
    """What changes of one partition with one write time touched in common.

    The servers resolve such a tie cell by cell, by value; the order in the log says nothing, so
    these have to be refreshed. Windows end on whole milliseconds: both sides are in one window.
    """
    # Mostly there is none.
    if len({(event.token, event.time_us) for event in events}) == len(events):
        return []
    first: dict[tuple[int, int], ChangeEvent] = {}
    tied: dict[tuple[int, int], list[ChangeEvent]] = {}
    for event in events:
        at = (event.token, event.time_us)
        other = first.setdefault(at, event)
        if other is not event:
            tied.setdefault(at, [other]).append(event)
    found: dict[Scope, int] = {}
    for group in tied.values():
        if len({event.identity and event.identity.time for event in group}) > 1:
            found |= dict.fromkeys(_overlapping(group), group[0].token)
    return list(found.items())


def _overlapping(group: list[ChangeEvent]) -> set[Scope]:
    """Scopes that more than one log group touched. A whole partition overlaps with all of it."""
    by_scope: dict[Scope, set[bytes]] = {}
    for event in group:
        if event.identity is not None:
            by_scope.setdefault(touched(event), set()).add(event.identity.time)
    wholes: set[Scope] = {scope for scope in by_scope if isinstance(scope, Partition)}
    if wholes and len(by_scope) > 1:
        return wholes
    return {scope for scope, times in by_scope.items() if len(times) > 1}


def hash_of(event: ChangeEvent) -> int | None:
    """The hash of the log row that a change came from; None for a refresh."""
    identity = event.identity
    if identity is None:
        return None
    return identity_hash(identity.stream, identity.time, identity.seq)
