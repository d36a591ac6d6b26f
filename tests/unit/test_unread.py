"""Which topics a consumer group leaves to nobody."""

from itertools import pairwise

from cdcd.sink.unread import LOOK_SECONDS, LOOKS_PASSED_MAX, Unread, nobodys
from cdcd.transport.records import Partition

WANTED = {"a": 2, "b": 1}


def parts(*names: str) -> frozenset[Partition]:
    """`a0` is partition 0 of topic a."""
    return frozenset(Partition(name[0], int(name[1])) for name in names)


def test_what_is_read_by_somebody_is_nobodys_no_more() -> None:
    """Each partition of a topic counts; what else is read does not."""
    assert nobodys(WANTED, parts("a0", "a1", "b0", "c0")) == set()
    assert nobodys(WANTED, parts("a0", "b0")) == {"a"}
    assert nobodys(WANTED, parts()) == {"a", "b"}


def test_one_look_is_not_enough() -> None:
    """A group may be about to divide anew."""
    unread = Unread()
    assert unread.look(WANTED, parts("a0", "a1")) == set()
    assert unread.look(WANTED, parts("a0", "b0")) == set()
    assert unread.look(WANTED, parts("a0", "b0")) == {"a"}


def told(unread: Unread, looks: int) -> list[int]:
    """In which of the next looks it is told that nobody reads topic a."""
    return [n for n in range(looks) if unread.look(WANTED, parts("b0"))]


def test_it_is_told_more_and_more_seldom() -> None:
    """The group is given the time to divide anew, and is not disturbed for ever."""
    often = told(Unread(), 300)
    between = [after - before for before, after in pairwise(often)]
    assert often[0] == 1
    assert between[:3] == [3, 4, 6]
    assert set(between[5:]) == {LOOKS_PASSED_MAX + 2}


def test_what_helped_is_told_soon_the_next_time() -> None:
    """A look that finds all to be read ends the waiting."""
    unread = Unread()
    told(unread, 100)
    for _ in range(LOOKS_PASSED_MAX + 1):
        unread.look(WANTED, parts("a0", "a1", "b0"))
    assert told(unread, 10)[:2] == [1, 4]


def test_a_group_that_divides_is_not_looked_at() -> None:
    """What was seen before it began is forgotten."""
    unread = Unread()
    looks = [parts("b0"), None, parts("b0")]
    assert [unread.look(WANTED, read) for read in looks] == [set(), set(), set()]


def test_it_is_looked_for_a_while_after_a_division() -> None:
    """What the group has divided stays so; without topics there is nothing to look at."""
    unread = Unread()
    assert not unread.is_due({}, 0.0)
    assert unread.is_due(WANTED, 1.0)
    assert not unread.is_due(WANTED, 1.0 + LOOK_SECONDS)
    unread.divided(100.0)
    assert unread.is_due(WANTED, 99.0 + LOOK_SECONDS)
    assert not unread.is_due(WANTED, 100.0 + LOOK_SECONDS)


def test_it_is_looked_when_a_topic_gains_partitions() -> None:
    """However long ago the group has divided them."""
    unread = Unread()
    assert unread.is_due(WANTED, 0.0)
    assert not unread.is_due(WANTED, 2 * LOOK_SECONDS)
    assert unread.is_due({**WANTED, "a": 3}, 2 * LOOK_SECONDS)
