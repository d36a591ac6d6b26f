"""Where a reader stands in the log, as values: streams, generations, windows, positions."""

import struct
from dataclasses import dataclass

from cdcd.model.destination import Destination

RING_MIN = -(2**63)
RING_MAX = 2**63 - 1

# 1582-10-15 to 1970-01-01 in the 100 ns ticks of a version 1 uuid (RFC 9562, section 5.1).
UUID_EPOCH_TICKS = 0x01B21DD213814000
_UUID_TIME = struct.Struct(">IHH")


@dataclass(frozen=True, slots=True)
class TokenRange:
    """Tokens after `start`, up to and including `end`; never wraps round the ring's end."""

    start: int
    end: int

    def meets(self, other: "TokenRange") -> bool:
        """Whether a token lies in both ranges."""
        return self.start < other.end and other.start < self.end

    def __contains__(self, token: int) -> bool:
        return self.start < token <= self.end


@dataclass(frozen=True, slots=True)
class StreamRange:
    """The streams that log the changes of one token range (a vnode's or a tablet's)."""

    range: TokenRange
    streams: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """The set of streams in force from `start_ms`; it ends where the next one starts."""

    start_ms: int
    ranges: tuple[StreamRange, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Log rows with `start_ms <= cdc$time < end_ms`, in milliseconds since 1970."""

    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if self.end_ms <= self.start_ms:
            raise ValueError(f"an empty window: {self}")


@dataclass(frozen=True, slots=True)
class Position:
    """Progress of one table in one lane.

    `log_id` is the id of the log table, which changes when it is dropped and made again; it is
    empty behind a gap, when changes were written that the log does not hold.
    `generation_ms` names the generation that holds the frontier. Everything in the log with
    `cdc$time` below `frontier_ms` that was visible when it was read has been published; what is
    below `settled_ms` was read again after the settle delays and is complete. With `from_oldest`
    the log is to be read again from its oldest change, if it still has all behind the frontier.
    `ttl_seconds` is the shortest time for which the log is known to keep a row from the frontier
    on, 0 for ever; a row keeps the time to live that the log had when it was written.
    `destination` is where the changes below the frontier went. None is not known.
    What is below `audited_ms` was audited, or is not to be; 0 is a position of a release without
    audits.
    """

    log_id: str
    generation_ms: int
    frontier_ms: int
    settled_ms: int = 0
    from_oldest: bool = False
    ttl_seconds: int | None = None
    destination: Destination | None = None
    audited_ms: int = 0


def shortest_ttl(*ttls_seconds: int | None) -> int | None:
    """The shortest time to live; 0 is for ever, and None is not known."""
    known = [ttl for ttl in ttls_seconds if ttl is not None]
    return min(filter(None, known), default=0) if known else None


def uuid_time_us(raw: bytes) -> int:
    """Microseconds since 1970 of a version 1 uuid's 16 bytes (RFC 9562, section 5.1)."""
    found: tuple[int, int, int] = _UUID_TIME.unpack_from(raw)
    time_low, time_mid, version_and_high = found
    time_high = version_and_high & 0x0FFF
    return ((time_high << 48 | time_mid << 32 | time_low) - UUID_EPOCH_TICKS) // 10


def min_timeuuid(ms: int) -> bytes:
    """The lowest timeuuid of a millisecond, in the servers' order.

    The servers compare the last 8 bytes as signed ones, so the lowest byte is 0x80
    (`timeuuid_tri_compare` in ScyllaDB, `minTimeuuid` in CQL).
    """
    ticks = ms * 10_000 + UUID_EPOCH_TICKS
    low, mid, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF
    return (
        low.to_bytes(4, "big")
        + mid.to_bytes(2, "big")
        + (high | 0x1000).to_bytes(2, "big")
        + b"\x80" * 8
    )
