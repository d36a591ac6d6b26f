"""The audit compares whole wide cells, late enough, and only what it was told all of."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from cdcd.model.fingerprint import AUDIT_CELL_MS, CELL_MS, Cell, Fingerprint
from cdcd.model.lane import LaneSet
from cdcd.model.position import Position, Window
from cdcd.ops.board import Board
from cdcd.source.auditing import Auditing, Seen, audit_delay_ms, with_audit
from cdcd.source.auditor import Auditor, Limits
from cdcd.source.key_reader import Seen as Keys
from cdcd.source.ledger import Ledger
from cdcd.source.settler import Tools, View
from tests.simulation.virtual_time import run
from tests.unit.published import LANES, SPEC, change

WIDE = AUDIT_CELL_MS
DELAY_MS = 3 * WIDE
METRIC = "cdcd_audited_timestamp_seconds"


def position(settled_ms: int, audited_ms: int = 0) -> Position:
    """A position that is settled and audited so far."""
    return with_audit(Position("log", 0, settled_ms, settled_ms, audited_ms=audited_ms))


def auditing(*positions: Position) -> Auditing:
    """An audit of lanes at these positions; one of four lanes at 0 where none is given."""
    return Auditing({}, dict(enumerate(positions or (position(0),) * LANES)), LANES)


def seen(start_ms: int, cells: dict[Cell, Fingerprint]) -> Seen:
    """A reading of a wide cell."""
    found = Seen(start_ms)
    found.add(cells)
    return found


@pytest.mark.parametrize(
    ("wanted_seconds", "ttl_seconds", "delay_ms"),
    [
        (14_400, 0, 14_400_000),
        (14_400, 86_400, 14_400_000),
        (14_400, 7200, 6_000_000),
        (14_400, 1800, 600_000),
        (14_400, 1799, None),
        (0, 0, None),
        (599, 0, None),
    ],
)
def test_an_audit_comes_before_the_log_forgets(
    wanted_seconds: int, ttl_seconds: int, delay_ms: int | None
) -> None:
    """A cell is audited as late as wanted, or twenty minutes before its end expires; not at all
    where that is within the settle delays.
    """
    assert audit_delay_ms(wanted_seconds, 600_000, ttl_seconds) == delay_ms


def test_merged_cells_are_what_was_published() -> None:
    """Cells that settled and changes that came behind them add up to what a reading sees."""
    kept, audit = Ledger({}, dict.fromkeys(range(LANES), 0), LANES, 0), auditing()
    events = [change(at * CELL_MS * 1000, group=at, lane=at % 2) for at in range(6)]
    cells = kept.add(events, 0)
    merged = audit.merge(kept.settle(WIDE), WIDE, 5)
    late = change(CELL_MS * 1000, group=9, lane=0)
    assert kept.add([late], WIDE) == {}
    merged |= audit.add([late], WIDE, 7)
    assert {lane: each.until_ms for (lane, _), each in merged.items()} == {0: 7, 1: 5}
    assert audit.differing(seen(0, cells)) == [0]
    cells[0, CELL_MS] = Fingerprint()
    cells |= Ledger({}, {0: 0}, LANES, 0).add([events[0], events[2], events[4], late], 0)
    assert audit.differing(seen(0, cells)) == []


def test_what_was_not_counted_from_its_beginning_is_not_compared() -> None:
    """A lane is audited from the first whole cell behind where it began, and each from its own."""
    audit = auditing(position(1), position(WIDE), position(0, 2 * WIDE))
    assert audit.audited_ms == WIDE
    rows = {(lane, WIDE): Fingerprint(1, 1) for lane in range(3)}
    assert audit.differing(seen(WIDE, rows)) == [0, 1]
    assert audit.merge(rows, 2 * WIDE, 0).keys() == {(0, WIDE), (1, WIDE)}


def test_a_cell_is_due_when_all_of_it_is_old_enough_and_settled() -> None:
    """A cell is audited when its end is as old as the delay, committed and merged."""
    audit = auditing()
    assert audit.due(10 * WIDE, 10 * WIDE, DELAY_MS) is None
    audit.merge({}, WIDE, 0)
    assert audit.due(WIDE - 1, 10 * WIDE, DELAY_MS) is None
    assert audit.due(WIDE, WIDE + DELAY_MS - 1, DELAY_MS) is None
    assert audit.due(WIDE, WIDE + DELAY_MS, DELAY_MS) == Window(0, WIDE)
    audit.done(Window(0, WIDE))
    assert audit.due(WIDE, 10 * WIDE, DELAY_MS) is None


def test_cells_that_were_audited_are_forgotten_once() -> None:
    """A merged cell goes when it was audited; what comes behind it is not counted any more."""
    audit = auditing()
    audit.merge({(0, 0): Fingerprint(1, 1), (0, WIDE): Fingerprint(1, 1)}, 2 * WIDE, 0)
    assert audit.forget() == []
    audit.done(Window(0, WIDE))
    assert audit.forget() == [(0, 0)]
    assert audit.forget() == []
    assert audit.add([change(1, lane=0)], WIDE, 0) == {}


def test_a_late_first_reading_is_an_audit() -> None:
    """Backlog that is read for the first time when it is older than the delay is audited; what was
    read of the cell in which that ends is counted.
    """
    audit = auditing()
    audit.read_first(Window(0, 2 * WIDE), WIDE + CELL_MS + DELAY_MS, DELAY_MS)
    assert audit.audited_ms == WIDE + CELL_MS
    changed = audit.add([change(at * 1000) for at in (1, WIDE)], 2 * WIDE, 3)
    assert changed.keys() == {(0, WIDE)}


def test_what_the_log_forgot_is_passed_over() -> None:
    """A cell of which rows have expired is not audited: it would look as if rows were gone."""
    audit = auditing()
    assert not audit.forgotten(WIDE, WIDE // 1000)
    assert audit.forgotten(WIDE + 1, WIDE // 1000)
    assert audit.audited_ms == WIDE
    assert not audit.forgotten(WIDE + 2, WIDE // 1000)


def test_without_an_audit_nothing_is_kept() -> None:
    """Where there is no audit, what settles is passed over, and counted from the next cell on."""
    audit = auditing()
    audit.pass_over(CELL_MS)
    assert audit.audited_ms == WIDE
    assert audit.merge({(0, 0): Fingerprint(1, 1)}, CELL_MS, 0) == {}


class NoRows:
    """A log without rows."""

    table = SPEC

    async def read(self, *_: object) -> Keys:
        """No keys."""
        return Keys({}, {})


def test_what_the_audit_has_passed_is_shown() -> None:
    """The metric is the end of the last cell that was audited, and stands while none is due."""

    async def shown_at(now_ms: int) -> float | None:
        audit, board = auditing(), Board("p", "i")
        audit.merge({}, 2 * WIDE, 0)
        none: Any = NoRows()
        lanes = LaneSet(frozenset(range(LANES)), LANES)
        view = View("1", none, none, lanes, 2 * WIDE, now_ms)

        async def nothing(*_: object) -> Any:
            return ()

        tools = Tools(lambda: view, nothing, nothing, lambda _: None, nothing, nothing, board)
        limits = Limits(lambda: DELAY_MS, lambda: 0, 600_000, 1 << 20)
        with suppress(TimeoutError):
            async with asyncio.timeout(60):
                await Auditor(audit, tools, limits).run()
        return board.metrics.registry.get_sample_value(METRIC, {"table": SPEC.full_name})

    assert run(shown_at(DELAY_MS)) == 0
    assert run(shown_at(DELAY_MS + WIDE)) == WIDE / 1000
    assert run(shown_at(DELAY_MS + 9 * WIDE)) == 2 * WIDE / 1000


def test_a_clock_that_goes_back_takes_no_time_away() -> None:
    """What was published by a time was so by a worker whose clock is behind, too."""
    audit = auditing()
    audit.add([change(1, lane=0)], WIDE, 7)
    audit.merge({(0, 0): Fingerprint(1, 1)}, WIDE, 5)
    assert audit.published((0, 0)).until_ms == 7
