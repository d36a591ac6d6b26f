"""Fingerprints of published log rows, on a fixed grid of time. Pure.

The log has no order of arrival: a row may appear behind a reader. A cell of the grid remembers how
many rows were published from it and the xor of their hashes, so that a later reading can tell
whether there are more. Published rows never leave the log before it is settled, so that the counts
differ whenever a row is late; the xor guards against what should not happen.
"""

import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from hashlib import blake2b
from operator import xor

CELL_MS = 10_000
# What has settled is kept in cells so wide, until the audit.
AUDIT_CELL_MS = 600_000

# A lane and the start of a cell.
Cell = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Count and xor of the hashes of a cell's rows in one lane."""

    count: int = 0
    xor: int = 0

    def with_rows(self, row_hashes: Collection[int]) -> "Fingerprint":
        """The fingerprint with some more rows."""
        return Fingerprint(self.count + len(row_hashes), reduce(xor, row_hashes, self.xor))

    def __add__(self, other: "Fingerprint") -> "Fingerprint":
        """The fingerprint of both, which have no row in common."""
        return Fingerprint(self.count + other.count, self.xor ^ other.xor)


@dataclass(frozen=True, slots=True)
class Merged:
    """What was published of a wide cell in one lane, all of it by `until_ms`."""

    fingerprint: Fingerprint = Fingerprint()
    until_ms: int = 0


def identity_hash(stream: bytes, time: bytes, seq: int) -> int:
    """64 bits of a log row's identity: stream, `cdc$time` and sequence."""
    return identity_hashes([(stream, time, seq)])[0]


def identity_hashes(identities: Sequence[tuple[bytes, bytes, int]]) -> list[int]:
    """The same of many log rows."""
    digests = []
    for stream, time, seq in identities:
        # Copying one takes half the time of making one with its parameters.
        digest = _EMPTY.copy()
        digest.update(stream + time + _four_bytes(seq))
        digests.append(digest.digest())
    return list(struct.unpack(f">{len(digests)}Q", b"".join(digests)))


_EMPTY = blake2b(digest_size=8)


@lru_cache(1024)
def _four_bytes(seq: int) -> bytes:
    return seq.to_bytes(4, "big")


def cell_of(ms: int, width_ms: int = CELL_MS) -> int:
    """The start of the cell that holds a time."""
    return ms - ms % width_ms


def cells_of(times_ms: Iterable[int]) -> list[int]:
    """The starts of the cells that hold some times."""
    return [ms - ms % CELL_MS for ms in times_ms]


def cells_between(start_ms: int, end_ms: int) -> Iterable[int]:
    """The starts of the cells of a range whose ends lie on the grid."""
    return range(start_ms, end_ms, CELL_MS)
