"""Which rows differ: ranges of the ring, then rows, then what counts as a difference. Pure.

A bucket is a slice of the places at which rows lie: the ring of tokens, or, where the target's key
does not tell the source's, the ring of a hash of the partition's canonical bytes.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from cdcd.model.fingerprint import CELL_MS, cell_of
from cdcd.model.lane import lane_of, lane_range
from cdcd.model.position import TokenRange
from cdcd.reconcile.digest import Key

_MASK = 2**64 - 1

# Rows that a bucket should hold; the more, the more rows are read for each that differs.
BUCKET_ROWS = 32
BUCKETS_MIN, BUCKETS_MAX = 2**12, 2**20


def buckets_for(rows: int) -> int:
    """How many buckets to use for a table of about so many rows: a power of two."""
    wanted = 1 << (max(rows, 1) // BUCKET_ROWS).bit_length()
    return min(max(wanted, BUCKETS_MIN), BUCKETS_MAX)


class Buckets:
    """For each bucket: how many rows, and the xor of hashes of their keys and of themselves."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.rows = array("Q", bytes(8 * count))
        self._keys = array("Q", bytes(8 * count))
        self._digests = array("Q", bytes(8 * count))
        self.total = 0

    def add(self, entries: "Iterable[Entry]") -> None:
        """Count rows."""
        rows, keys, digests = self.rows, self._keys, self._digests
        for place, key_hash, digest in entries:
            at = lane_of(place, self.count)
            rows[at] += 1
            keys[at] ^= key_hash
            digests[at] ^= int.from_bytes(digest, "big")
            self.total += 1

    def differing(self, other: "Buckets") -> "list[Differing]":
        """The buckets that are not the same on the other side, in order."""
        return [
            Differing(at, mine[0] + theirs[0], same_keys=mine[:2] == theirs[:2])
            for at, (mine, theirs) in enumerate(zip(self, other, strict=True))
            if mine != theirs
        ]

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return zip(self.rows, self._keys, self._digests, strict=True)


# A row's place, which is signed as tokens are, the hash of its key, and its digest.
Entry = tuple[int, int, bytes]


def entry(place: int, key: Key, digest: bytes) -> Entry:
    """A row as buckets count it. The hash is salted for each process: both sides are one's."""
    return place, hash(key) & _MASK, digest


class Differing(NamedTuple):
    """A bucket that differs, and how many rows both sides have in it together."""

    bucket: int
    rows: int
    same_keys: bool


def groups(differing: Iterable[Differing], rows_max: int) -> Iterator[list[Differing]]:
    """The buckets in groups of at most so many rows, or of one bucket."""
    group: list[Differing] = []
    rows = 0
    for each in differing:
        if group and rows + each.rows > rows_max:
            yield group
            group, rows = [], 0
        group.append(each)
        rows += each.rows
    if group:
        yield group


def ranges(buckets: Sequence[int], count: int) -> list[TokenRange]:
    """The token ranges of some buckets, in order; neighbours are one range."""
    found: list[TokenRange] = []
    for bucket in buckets:
        each = lane_range(bucket, count)
        if found and found[-1].end == each.start:
            found[-1] = TokenRange(found[-1].start, each.end)
        else:
            found.append(each)
    return found


class Kind(StrEnum):
    """What is wrong with a row of the target."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"


class Seen(NamedTuple):
    """One row's digests on both sides at one time; None is no row."""

    source: bytes | None
    target: bytes | None

    @property
    def is_equal(self) -> bool:
        """Whether both sides are the same."""
        return self.source == self.target

    @property
    def kind(self) -> Kind:
        """What is wrong, where the two sides differ."""
        if self.target is None:
            return Kind.MISSING
        return Kind.EXTRA if self.source is None else Kind.DIFFERENT


@dataclass(slots=True)
class Suspect:
    """A row that differed. `since_ms` is when it was first seen as it is now with everything
    applied that was published before it was read; None until then. `is_guess` says that the
    source's key was made of the target's, and may not be the very one.
    """

    cql_key: Key
    seen: Seen
    is_guess: bool = False
    since_ms: int | None = None
    changes: int = 0


@dataclass
class Trial:
    """Suspects, and what is known of them: a difference counts only when it stays.

    It must be there, and be the same, when everything published before it was read has been
    applied, and again when late changes have been looked for, which is `settle_ms` later. A row
    that keeps changing is given up after `changes_max` looks: it is written faster than it can be
    judged, and nobody can say more.
    """

    suspects: dict[Key, Suspect]
    settle_ms: int
    changes_max: int = 20
    confirmed: dict[Key, Suspect] = field(default_factory=dict)
    given_up: int = 0

    def pending(self, now_ms: int) -> dict[Key, Suspect]:
        """The suspects that are to be looked at again now."""
        return {k: s for k, s in self.suspects.items() if self._due_ms(s) <= now_ms}

    def wait_ms(self, now_ms: int) -> int:
        """How long until the next one is to be looked at."""
        return max(min(map(self._due_ms, self.suspects.values()), default=0) - now_ms, 0)

    def _due_ms(self, suspect: Suspect) -> int:
        """A pass of settling looks at whole cells of the log, so long after their end."""
        if suspect.since_ms is None:
            return 0
        return cell_of(suspect.since_ms) + CELL_MS + self.settle_ms

    def look(self, found: Mapping[Key, Seen], read_ms: int) -> None:
        """Take in another reading, made when all that was published before the last is applied."""
        for key, seen in found.items():
            suspect = self.suspects[key]
            if seen.is_equal:
                del self.suspects[key]
            elif seen != suspect.seen:
                suspect.seen, suspect.since_ms = seen, None
                suspect.changes += 1
                if suspect.changes > self.changes_max:
                    del self.suspects[key]
                    self.given_up += 1
            elif suspect.since_ms is None:
                suspect.since_ms = read_ms
            elif read_ms >= self._due_ms(suspect):
                self.confirmed[key] = self.suspects.pop(key)
