"""Requests come when they are due, the earliest first, until they are removed."""

from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.refresh import Request, Row
from cdcd.source.agenda import Agenda

LIMIT = 2.0


def request(name: str, due_ms: int = 0) -> Request:
    """A request that is told by its id."""
    return Request(name, "ks.t", Row((b"p",), ()), 0, due_ms)


def agenda(*requests: Request) -> Agenda:
    """An agenda with these."""
    made = Agenda()
    for one in requests:
        made.add(one)
    return made


def test_what_is_not_due_waits() -> None:
    """A request is given from its time on."""
    made = agenda(request("a", 100))
    assert made.due(99, 10) == []
    assert [r.id for r in made.due(100, 10)] == ["a"]


def test_they_stay_until_they_are_removed() -> None:
    """What was given and not removed is given again: serving it may have failed."""
    made = agenda(request("a"))
    assert made.due(0, 10) == made.due(0, 10) == [request("a")]
    made.remove([request("a")])
    assert made.due(0, 10) == []


def test_a_request_that_comes_twice_is_there_once() -> None:
    """One id is one request."""
    assert len(agenda(request("a"), request("a")).due(0, 10)) == 1


def test_a_request_that_came_again_stays() -> None:
    """What was served does not take out the same request with a later time."""
    made = agenda(request("a", 1), request("a", 2))
    made.remove([request("a", 1)])
    assert made.due(5, 10) == [request("a", 2)]


def test_removed_requests_do_not_use_up_the_limit() -> None:
    """The limit counts what is given."""
    made = agenda(*(request(str(n), n) for n in range(4)))
    made.remove([request("0", 0), request("1", 1)])
    assert [r.id for r in made.due(10, 2)] == ["2", "3"]


def test_the_wait_is_for_the_next_one() -> None:
    """The wait ends when the next request is due, and at the limit."""
    assert agenda().wait_seconds(0, LIMIT) == LIMIT
    assert agenda(request("a", 5000)).wait_seconds(0, LIMIT) == LIMIT
    assert agenda(request("a", 1500)).wait_seconds(1000, LIMIT) == 0.5
    assert agenda(request("a", 1500)).wait_seconds(2000, LIMIT) == 0


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 50)), max_size=30),
    st.integers(0, 50),
    st.integers(1, 5),
    st.sets(st.integers(0, 20)),
)
def test_the_earliest_come_first(
    added: list[tuple[int, int]], now_ms: int, limit: int, removed: set[int]
) -> None:
    """Of those whose time has come and that are not removed, the earliest are given."""
    made = agenda(*(request(str(n), due) for n, due in added))
    last = dict(added)  # one that comes again has another time from then on
    made.remove(request(str(n), last[n]) for n in removed & last.keys())
    there = sorted(d for n, d in last.items() if n not in removed and d <= now_ms)
    assert [r.due_ms for r in made.due(now_ms, limit)] == there[:limit]
