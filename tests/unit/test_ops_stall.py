"""When a stage is said to stand still."""

import pytest

from cdcd.ops.stall import Stalled, StallJudge
from cdcd.ops.status import StageState, StageStatus, Status, TableState, TableStatus

LOOKS = 3


def _status(*tables: TableStatus, stage: StageState = StageState.RUNNING) -> Status:
    stages = (StageStatus("source", stage), StageStatus("sink", stage))
    return Status("cdcd", "one", "1", 0, 0, stages, tables)


def _looks(*statuses: Status) -> list[Stalled | None]:
    judge = StallJudge(LOOKS)
    return [judge.look(status) for status in statuses]


def test_frontier_that_stands_is_a_stall() -> None:
    """A running table whose frontier stays for so many looks has stalled the source."""
    status = _status(TableStatus("ks.t", frontier_ms=5))
    assert _looks(*[status] * (LOOKS + 1)) == [*[None] * LOOKS, Stalled("source", "ks.t")]


def test_progress_begins_the_count_anew() -> None:
    """One step ahead, however small, is no stall."""
    moved = [_status(TableStatus("ks.t", frontier_ms=n // LOOKS)) for n in range(LOOKS * 5)]
    assert not any(_looks(*moved))


def test_records_that_wait_are_work() -> None:
    """The sink stalls when records wait and none is applied."""
    status = _status(TableStatus("ks.t", waiting=7, applied=3))
    assert _looks(*[status] * (LOOKS + 1))[-1] == Stalled("sink", "ks.t")


def test_nothing_to_do_is_no_stall() -> None:
    """An idle sink may stand as long as it likes."""
    assert not any(_looks(*[_status(TableStatus("ks.t", waiting=0))] * LOOKS * 3))


@pytest.mark.parametrize("state", [s for s in TableState if s is not TableState.RUNNING])
def test_a_table_that_says_why_is_no_stall(state: TableState) -> None:
    """A table that is paused or stopped is not expected to move."""
    status = _status(TableStatus("ks.t", state, frontier_ms=5, waiting=7))
    assert not any(_looks(*[status] * LOOKS * 3))


def test_what_is_away_is_to_blame() -> None:
    """A stage that retries because something remote is away has not stalled."""
    status = _status(TableStatus("ks.t", frontier_ms=5, waiting=7), stage=StageState.RETRYING)
    assert not any(_looks(*[status] * LOOKS * 3))


def test_count_begins_after_a_retry() -> None:
    """The looks before and during a retry do not count."""
    table = TableStatus("ks.t", frontier_ms=5)
    away = _status(table, stage=StageState.RETRYING)
    assert not any(_looks(*[_status(table)] * LOOKS, away, *[_status(table)] * LOOKS))
