"""Refreshes that are provisional until the log around them is settled. Pure.

A refresh may have read the base before a change that the log showed first. So it stays listed with
the frontier that it was made at, and each settling pass refreshes again what it sees touched below
that frontier (rule 4 in `docs/ARCHITECTURE.md`).
"""

from collections.abc import Iterable
from hashlib import blake2b

from cdcd.model.lane import lane_of, lane_range
from cdcd.model.refresh import Key, Listed, Partition, Row, Scope, StaticRow, Tokens

# Entries to be saved (true) or removed.
Changes = list[tuple[Listed, bool]]


def listing(table: str, scope: Scope, token: int, frontier_ms: int) -> Listed:
    """The entry for a refresh. One of the same scope replaces the one before."""
    name = blake2b(repr((table, scope)).encode(), digest_size=12).hexdigest()
    return Listed(name, table, scope, token, frontier_ms)


class ListedRefreshes:
    """One table's listed refreshes, at most so many; past that they are merged by lane."""

    def __init__(self, saved: Iterable[Listed], lanes: int, listed_max: int) -> None:
        self._lanes = lanes
        self._listed_max = listed_max
        self._ranges: dict[str, Listed] = {}
        self._by_partition: dict[Key, dict[str, Listed]] = {}
        self._put(saved)

    def _put(self, entries: Iterable[Listed]) -> None:
        for entry in entries:
            match entry.scope:
                case Tokens():
                    self._ranges[entry.id] = entry
                case Row(partition, _) | StaticRow(partition) | Partition(partition):
                    self._by_partition.setdefault(partition, {})[entry.id] = entry

    def _all(self) -> list[Listed]:
        within = [e for entries in self._by_partition.values() for e in entries.values()]
        return [*self._ranges.values(), *within]

    def add(self, entries: Iterable[Listed]) -> Changes:
        """List refreshes; gives what is to be saved and removed."""
        added = list(entries)
        self._put(added)
        everything = self._all()
        if len(everything) <= self._listed_max:
            return [(entry, True) for entry in added]
        merged = self._merged(everything)
        self._ranges, self._by_partition = {}, {}
        self._put(merged)
        return [(e, False) for e in everything] + [(e, True) for e in merged]

    def _merged(self, entries: Iterable[Listed]) -> list[Listed]:
        """One entry for each lane: it covers more, so more is refreshed again, and nothing less."""
        newest: dict[int, Listed] = {}
        for entry in entries:
            lane = lane_of(entry.token, self._lanes)
            if lane not in newest or newest[lane].frontier_ms < entry.frontier_ms:
                newest[lane] = entry
        return [
            listing(
                entry.table,
                Tokens(lane_range(lane, self._lanes)),
                lane_range(lane, self._lanes).end,
                entry.frontier_ms,
            )
            for lane, entry in newest.items()
        ]

    def any_behind(self, start_ms: int) -> bool:
        """Whether an entry's frontier lies behind a time."""
        return any(entry.frontier_ms > start_ms for entry in self._all())

    def covers(self, scope: Scope, token: int, time_ms: int) -> bool:
        """Whether what a change of this time touched was refreshed at a later frontier."""
        if isinstance(scope, Tokens):
            raise TypeError("no change touches a token range")
        near = self._by_partition.get(scope.partition, {}).values()
        return any(
            entry.frontier_ms > time_ms and _meets(entry.scope, scope, token)
            for entry in (*near, *self._ranges.values())
        )

    def settle(self, settled_ms: int) -> Changes:
        """Forget the entries whose frontier is settled; gives them to be removed."""
        gone = [e for e in self._all() if e.frontier_ms <= settled_ms]
        for entry in gone:
            self._ranges.pop(entry.id, None)
            if not isinstance(entry.scope, Tokens):
                within = self._by_partition[entry.scope.partition]
                del within[entry.id]
                if not within:
                    del self._by_partition[entry.scope.partition]
        return [(entry, False) for entry in gone]


def _meets(refreshed: Scope, scope: Scope, token: int) -> bool:
    """Whether a refresh read anything of what a change touched, given that their partition is one
    or the refresh read a token range.
    """
    if isinstance(refreshed, Tokens):
        return token in refreshed.range
    whole = isinstance(refreshed, Partition) or isinstance(scope, Partition)
    return whole or refreshed == scope
