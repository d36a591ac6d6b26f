"""Streams, windows and times of the log as values."""

from uuid import UUID

import pytest
from cassandra import util
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.position import (
    RING_MAX,
    RING_MIN,
    TokenRange,
    Window,
    min_timeuuid,
    uuid_time_us,
)

tokens = st.integers(RING_MIN, RING_MAX)
milliseconds = st.integers(0, 2**45)


def server_order(raw: bytes) -> tuple[int, bytes]:
    """How the servers compare timeuuids: by time, then the last bytes as signed ones."""
    return UUID(bytes=raw).time, bytes(b ^ 0x80 for b in raw[8:])


def test_the_time_of_the_manuals_example() -> None:
    """The timeuuid of ScyllaDB's manual has the time that the manual says."""
    raw = UUID("b223c55e-6d07-11ea-7654-24e4fb3f20b9").bytes
    assert uuid_time_us(raw) == 1_584_969_040_910_883


@given(st.uuids(version=1))
def test_times_are_whole_microseconds(uuid: UUID) -> None:
    """The time of a version 1 uuid is its ticks of 100 ns from 1582, cut to microseconds."""
    assert uuid_time_us(uuid.bytes) == (uuid.time - 0x01B21DD213814000) // 10


@given(milliseconds)
def test_a_lowest_timeuuid_has_its_millisecond(ms: int) -> None:
    """The lowest timeuuid of a millisecond begins it, and is a version 1 uuid."""
    raw = min_timeuuid(ms)
    assert uuid_time_us(raw) == ms * 1000
    assert raw[6] >> 4 == 1


@given(st.integers(0, 2**35))
def test_a_lowest_timeuuid_is_the_drivers(seconds: int) -> None:
    """The lowest timeuuid of a second, where the driver's floats are exact, is the driver's."""
    assert min_timeuuid(seconds * 1000) == util.min_uuid_from_time(seconds).bytes


@given(st.uuids(version=1), milliseconds)
def test_lowest_timeuuids_divide_the_log(uuid: UUID, ms: int) -> None:
    """In the servers' order a timeuuid is below the bound exactly if its time is before it."""
    below = server_order(uuid.bytes) < server_order(min_timeuuid(ms))
    assert below == (uuid_time_us(uuid.bytes) < ms * 1000)


@given(*[tokens] * 3)
def test_a_range_holds_its_end_and_not_its_start(start: int, end: int, token: int) -> None:
    """A token range begins after its start and goes up to and including its end."""
    assert (token in TokenRange(start, end)) == (start < token <= end)


@given(st.lists(st.integers(-20, 20), min_size=4, max_size=4))
def test_ranges_meet_where_they_share_a_token(bounds: list[int]) -> None:
    """Two ranges meet exactly if there is a token in both."""
    left = TokenRange(min(bounds[:2]), max(bounds[:2]) + 1)
    right = TokenRange(min(bounds[2:]), max(bounds[2:]) + 1)
    shared = any(t in left and t in right for t in range(-21, 23))
    assert left.meets(right) == right.meets(left) == shared


@pytest.mark.parametrize("end_ms", [5, 4])
def test_a_window_is_never_empty(end_ms: int) -> None:
    """A window that holds no time cannot be made."""
    with pytest.raises(ValueError, match="empty"):
        Window(5, end_ms)
