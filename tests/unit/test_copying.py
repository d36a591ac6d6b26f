"""A copy goes on from where it was, gives way to changes, and says how far it is."""

from dataclasses import replace

from cdcd.config.settings import SourceSettings
from cdcd.model.lane import lane_range
from cdcd.model.position import Position, TokenRange
from cdcd.model.refresh import Copied, Request, Tokens
from cdcd.ops.board import Board
from cdcd.source.copying import Copies, copy_of_lane
from cdcd.source.refresh import Found

LANES = 4
ASKED_MS = 1_000_000
WHOLE = lane_range(1, LANES)
MIDDLE = (WHOLE.start + WHOLE.end) // 2
PART, LEFT = TokenRange(WHOLE.start, MIDDLE), TokenRange(MIDDLE, WHOLE.end)
READ = Found((), None, Tokens(PART), Tokens(LEFT))
LAST = Found((), None, Tokens(LEFT))


def copies(board: Board | None = None) -> Copies:
    """None yet."""
    settings = SourceSettings(copy_share_max=0.25, copy_lag_seconds_max=2)
    return Copies(settings, LANES, board or Board("p", "i"))


def asked() -> Request:
    """The copy of lane 1."""
    return copy_of_lane("ks.t", "run", 1, LANES, ASKED_MS)


def standing(frontier_ms: int) -> dict[int, Position]:
    """Lane 1 at a frontier."""
    return {1: Position("log", 0, frontier_ms)}


def test_a_copy_waits_for_its_time() -> None:
    """A copy begins when the log was read up to the time at which it was asked for."""
    found = copies()
    found.add(asked())
    assert found.due(standing(ASKED_MS - 1), ASKED_MS, 0.0) == []
    assert found.due(standing(ASKED_MS), ASKED_MS, 0.0) == [asked()]


def test_a_copy_waits_while_changes_are_late() -> None:
    """A copy does not go on while the frontier is further behind than it may be."""
    found = copies()
    found.add(asked())
    assert found.due(standing(ASKED_MS), ASKED_MS + 2001, 0.0) == []
    assert found.due(standing(ASKED_MS), ASKED_MS + 2000, 0.0) == [asked()]


def test_a_copy_rests_in_proportion() -> None:
    """After a part that took a second, of a quarter of the time, a copy rests for three."""
    found = copies()
    found.add(asked())
    found.worked([asked()], 1.0, 10.0)
    assert found.due(standing(ASKED_MS), ASKED_MS, 12.9) == []
    assert found.wait_seconds(10.0) == 3.0
    assert found.due(standing(ASKED_MS), ASKED_MS, 13.0) == [asked()]


def test_what_is_left_is_asked_for_again() -> None:
    """After a part the same request stands for the rest, and counts on."""
    (left,), ended = copies().went_on(asked(), READ, 5)
    assert (left.id, left.scope, ended) == (asked().id, Tokens(LEFT), [])
    assert left.copy is not None
    assert left.copy.began_ms == 5


def test_the_end_is_told() -> None:
    """A copy that has nothing left, or was cancelled, leaves a record of itself."""
    left, ended = copies().went_on(asked(), LAST, 7)
    assert left == []
    assert ended == [Copied("ks.t", WHOLE.end, "run", 0, 7, 7)]
    _, ended = copies().went_on(asked(), None, 7)
    assert ended[0].cancelled


def test_an_older_word_of_a_copy_does_not_end_it() -> None:
    """What was served is removed, but not what has taken its place meanwhile."""
    found = copies()
    left = replace(asked(), scope=Tokens(LEFT))
    found.add(asked())
    assert found.begun_anew() == {1}
    found.add(left)
    found.remove([asked()])
    assert found.all == [left]
    assert found.begun_anew() == set()
    found.remove([left])
    assert found.all == []


def test_parts_are_listed_together() -> None:
    """Parts that follow each other closely share an entry that covers all of them, with the newest
    frontier; a later one begins an entry of its own.
    """
    found = copies()
    first = found.listing(asked(), READ, 100)
    second = found.listing(asked(), LAST, 200)
    assert first.scope == Tokens(PART)
    assert (second.id, second.scope, second.frontier_ms) == (first.id, Tokens(WHOLE), 200)
    third = found.listing(asked(), LAST, 60_000)
    assert (third.scope, third.id == first.id) == (Tokens(LEFT), False)


def test_another_copy_has_entries_of_its_own() -> None:
    """Two copies of one lane do not take each other's place in the list."""
    found = copies()
    other = copy_of_lane("ks.t", "other", 1, LANES, ASKED_MS)
    assert found.listing(asked(), READ, 100).id != found.listing(other, READ, 100).id


def test_progress_is_shown() -> None:
    """The board shows the share that is done and what is left at this pace, until all is done."""
    board = Board("p", "i")
    found = copies(board)
    found.add(asked())
    found.worked([asked()], 0.0, 0.0)
    (left,), _ = found.went_on(asked(), READ, 5)
    found.worked([asked()], 0.0, 10.0)
    (table,) = board.snapshot().tables
    assert table.copied is not None
    assert abs(table.copied - 0.5) < 0.01
    assert table.copy_seconds is not None
    assert 9 < table.copy_seconds < 11
    found.went_on(left, LAST, 9)
    found.worked([left], 0.0, 20.0)
    assert board.snapshot().tables[0].copied is None
