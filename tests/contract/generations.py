"""The generations that a server announces, of the cluster (vnodes) or of one table (tablets)."""

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cassandra import ConsistencyLevel
from cassandra.cluster import Session
from cassandra.query import SimpleStatement

from tests.contract.log import stream_id


@dataclass(frozen=True, slots=True)
class Generation:
    """Streams in force from `start_ms` on; `ranges` are (last token, streams), ascending."""

    start_ms: int
    ranges: tuple[tuple[int, tuple[bytes, ...]], ...]

    @property
    def streams(self) -> tuple[bytes, ...]:
        return tuple(s for _, streams in self.ranges for s in streams)

    def covering(self, token: int) -> tuple[bytes, ...]:
        """The streams that may hold changes of a partition with this token."""
        place = bisect_left([end for end, _ in self.ranges], token)
        return self.ranges[place % len(self.ranges)][1]


def millis(moment: datetime) -> int:
    """The driver's timestamp, which is UTC without saying so, in exact milliseconds."""
    delta = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def vnode_starts(session: Session) -> list[int]:
    query = "SELECT time FROM system_distributed.cdc_generation_timestamps WHERE key = 'timestamps'"
    return sorted(millis(r[0]) for r in session.execute(_one(query)))


def vnode_generation(session: Session, start_ms: int) -> Generation:
    query = _one(
        "SELECT range_end, streams FROM system_distributed.cdc_streams_descriptions_v2"
        " WHERE time = %s"
    )
    found = session.execute(query, (start_ms,))
    ranges = sorted((end, tuple(sorted(streams))) for end, streams in found)
    return Generation(start_ms, tuple(ranges))


def vnode_generations(session: Session) -> list[Generation]:
    return [vnode_generation(session, start) for start in vnode_starts(session)]


def tablet_starts(session: Session, table: str) -> list[int]:
    query = (
        "SELECT timestamp FROM system.cdc_timestamps WHERE keyspace_name = %s AND table_name = %s"
    )
    return sorted(millis(r[0]) for r in session.execute(query, table.split(".")))


def tablet_streams(session: Session, table: str, start_ms: int, state: int) -> set[bytes]:
    query = (
        "SELECT stream_id FROM system.cdc_streams WHERE keyspace_name = %s AND table_name = %s"
        " AND timestamp = %s AND stream_state = %s"
    )
    return {r[0] for r in session.execute(query, (*table.split("."), start_ms, state))}


def tablet_generations(session: Session, table: str) -> list[Generation]:
    out = []
    for start in tablet_starts(session, table):
        streams = tablet_streams(session, table, start, 0)
        ranges = sorted((stream_id(s).token, (s,)) for s in streams)
        out.append(Generation(start, tuple(ranges)))
    return out


def in_force(generations: Sequence[Generation]) -> Generation:
    """The one of them that takes a write made now."""
    now_ms = time.time_ns() // 1_000_000
    return [g for g in generations if g.start_ms <= now_ms][-1]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    """Returns when the condition holds; fails when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def wait_for_clock(ms: int) -> None:
    """Returns when the clock shows a later millisecond than `ms`."""
    wait_until(lambda: time.time_ns() // 1_000_000 > ms, f"clock at {ms}", seconds=30)


def _one(query: str) -> SimpleStatement:
    return SimpleStatement(query, consistency_level=ConsistencyLevel.ONE)
