"""How far copies are, as the lanes tell it."""

from cdcd.model.copies import CopyState, standings
from cdcd.model.lane import lane_range
from cdcd.model.position import TokenRange
from cdcd.model.refresh import Copied, Copy, Request, Tokens

LANES = 4


def going(lane: int, share: float, rows: int, run: str = "run", began_ms: int = 1000) -> Request:
    """A copy of a lane of which a share is done."""
    whole = lane_range(lane, LANES)
    at = whole.start + int((whole.end - whole.start) * share)
    copy = Copy(run, whole, 0, rows, began_ms)
    return Request(f"{run}.{lane}", "ks.t", Tokens(TokenRange(at, whole.end)), whole.end, 0, copy)


def ended(lane: int, run: str = "run", *, cancelled: bool = False, at_ms: int = 5000) -> Copied:
    """A copy of a lane that ended."""
    left = going(lane, 0.5, 10, run) if cancelled else None
    return Copied("ks.t", lane_range(lane, LANES).end, run, 10, 1000, at_ms, left)


def test_shares_and_rows_add_up() -> None:
    """A copy of which two lanes are done and two are half done is three quarters done, and what is
    left takes a third of what it took so far.
    """
    running = [going(0, 0.5, 5), going(1, 0.5, 7)]
    (found,) = standings(running, {(n, "ks.t"): ended(n) for n in (2, 3)}, 31_000)
    assert (found.state, found.rows, found.lanes, found.lanes_done) == (
        CopyState.RUNNING,
        32,
        4,
        2,
    )
    assert abs(found.share - 0.75) < 0.001
    assert found.remaining_seconds is not None
    assert abs(found.remaining_seconds - 10) < 0.1


def test_a_copy_that_has_not_begun_has_no_time_left() -> None:
    """Before its first part nobody knows how long it takes."""
    (found,) = standings([going(0, 0.0, 0, began_ms=0)], {}, 31_000)
    assert (found.share, found.remaining_seconds, found.began_ms) == (0.0, None, None)


def test_the_last_copy_is_shown_when_none_runs() -> None:
    """Of copies that ended the newest counts; one that was cancelled in a lane was cancelled."""
    done = {(0, "ks.t"): ended(0, "old", at_ms=1), (1, "ks.t"): ended(1, "new")}
    (found,) = standings([], done, 31_000)
    assert (found.run, found.state, found.share) == ("new", CopyState.DONE, 1.0)
    done = {(n, "ks.t"): ended(n, cancelled=n == 0) for n in range(4)}
    (found,) = standings([], done, 31_000)
    assert (found.state, found.share) == (CopyState.CANCELLED, 0.75)


def test_a_resumed_copy_counts_once() -> None:
    """What was known of a lane when its copy was cancelled is past when the copy goes on."""
    (found,) = standings([going(0, 0.5, 10)], {(0, "ks.t"): ended(0, cancelled=True)}, 31_000)
    assert (found.state, found.lanes, found.rows) == (CopyState.RUNNING, 1, 10)


def test_a_running_copy_hides_older_ones() -> None:
    """While a copy runs, what an earlier one left in other lanes is not shown."""
    (found,) = standings([going(0, 0.5, 5)], {(1, "ks.t"): ended(1, "old")}, 31_000)
    assert (found.run, found.lanes) == ("run", 1)
