"""Reads of idle tables come so seldom that they are bounded in a second."""

from hypothesis import given
from hypothesis import strategies as st

from cdcd.source.idling import STRETCH_MAX, Idling

LONGEST_MS = 500
LIMIT = 150.0


def idling(queries: list[int]) -> Idling:
    """Tables that were read, by so many queries each, and brought nothing."""
    made = Idling(LONGEST_MS, LIMIT)
    for number, count in enumerate(queries):
        made.read(f"ks.t{number}", count, 0)
    return made


@given(st.lists(st.integers(1, 100), max_size=200))
def test_reads_of_a_second_are_bounded(queries: list[int]) -> None:
    """No more than the limit, or pauses are as long as they may be; few are not made fewer."""
    longest_ms = idling(queries).longest_ms
    assert LONGEST_MS <= longest_ms <= LONGEST_MS * STRETCH_MAX
    per_second = sum(queries) * 1000 / (longest_ms + 1)
    assert per_second <= LIMIT or longest_ms == LONGEST_MS * STRETCH_MAX
    assert longest_ms == LONGEST_MS or per_second > LIMIT * 0.99


def test_few_idle_tables_wait_as_it_is_set() -> None:
    """A handful of tables is far from the limit."""
    assert idling([3] * 10).longest_ms == LONGEST_MS


def test_a_busy_table_is_not_idle() -> None:
    """What brought rows counts no more, nor what is not read any more."""
    tables = idling([300, 300])
    assert tables.longest_ms == 4000
    tables.read("ks.t0", 300, 1)
    assert tables.longest_ms == 2000
    tables.forget("ks.t1")
    assert tables.longest_ms == LONGEST_MS


def test_a_table_counts_once() -> None:
    """Only its last read says how many queries it takes."""
    tables = idling([300])
    tables.read("ks.t0", 150, 0)
    assert tables.longest_ms == 1000
