"""Reads of idle tables come so seldom that they are bounded in a second."""

from hypothesis import given
from hypothesis import strategies as st

from cdcd.source.idling import PAUSE_MS_MAX, Idling

SET_MS = 500
LIMIT = 150.0


def idling(queries: list[int]) -> Idling:
    """Tables that were read, by so many queries each, and brought nothing."""
    made = Idling(SET_MS, LIMIT)
    for number, count in enumerate(queries):
        made.read(f"ks.t{number}", count, is_idle=True)
    return made


@given(st.lists(st.integers(1, 100), max_size=200))
def test_reads_of_a_second_are_bounded(queries: list[int]) -> None:
    """No more than the limit, or pauses are as long as they may be; few are not made fewer."""
    longest_ms = idling(queries).longest_ms
    assert SET_MS <= longest_ms <= PAUSE_MS_MAX
    per_second = sum(queries) * 1000 / (longest_ms + 1)
    assert per_second <= LIMIT or longest_ms == PAUSE_MS_MAX
    assert longest_ms == SET_MS or per_second > LIMIT * 0.99


def test_few_idle_tables_wait_as_it_is_set() -> None:
    """A handful of tables is far from the limit, and pauses double up to what is set."""
    tables = idling([3] * 10)
    assert [tables.longer_ms(ms) for ms in (50, 200, 400)] == [100, 400, SET_MS]


def test_no_pause_is_longer_than_it_may_be() -> None:
    """A pause may not be taken for standing still; what is set is as the user wants it."""
    tables = Idling(SET_MS, LIMIT, most_ms=2000)
    tables.read("ks.t", 1000, is_idle=True)
    assert tables.longest_ms == 2000
    assert Idling(3000, LIMIT, most_ms=2000).longest_ms == 3000


def test_a_busy_table_is_not_idle() -> None:
    """What brought changes counts no more, nor what is not read any more."""
    tables = idling([300, 300])
    assert tables.longest_ms == 4000
    tables.read("ks.t0", 300, is_idle=False)
    assert tables.longest_ms == 2000
    tables.forget("ks.t1")
    assert tables.longest_ms == SET_MS


def test_a_table_counts_once() -> None:
    """Only its last read says how many queries it takes."""
    tables = idling([300])
    tables.read("ks.t0", 150, is_idle=True)
    assert tables.longest_ms == 1000


def test_whoever_waits_for_a_table_waits_as_it_is_set() -> None:
    """A copy goes on only close behind the head, and a request is served between two reads."""
    tables = idling([300])
    assert tables.pause_ms(2000, is_watched=True) == SET_MS
    assert tables.pause_ms(2000, is_watched=False) == 2000
