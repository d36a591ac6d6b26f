"""Settling publishes nothing twice that it reads back from the topic."""

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from cdcd.model.change import ChangeEvent
from cdcd.model.fingerprint import CELL_MS
from cdcd.model.published import MARGINS_MS
from cdcd.source.ledger import Ledger
from cdcd.source.listed import ListedRefreshes
from cdcd.source.settler import Settler
from cdcd.source.settling import Settling
from tests.unit.log_world import CANNOT, NOW_MS, World, row
from tests.unit.published import LANES

START_MS = NOW_MS - CELL_MS
SETTLED = dict.fromkeys(range(LANES), START_MS)


async def settle(world: World, former: Sequence[ChangeEvent] = ()) -> list[str]:
    """Settle the last cell, by a worker that has taken the lanes over; gives the warnings. The
    topic has some `former` changes that nobody counts.
    """
    cells = Ledger({}, SETTLED, LANES, 1 << 20).add(world.topic, START_MS)
    world.topic += former
    settler = Settler(
        Settling([0], START_MS),
        Ledger(cells, SETTLED, LANES, 1 << 20),
        ListedRefreshes((), LANES, 100),
        world.tools(),
    )
    with capture_logs() as logs:
        await settler._step()
    return [each["event"] for each in logs]


def taken_over() -> World:
    """A world of two lanes with rows of a former worker, and a late row in each."""
    there = [row(START_MS + n, n % 2) for n in range(8)]
    return World([*there, row(START_MS, 0), row(START_MS, 1)], list(there))


@pytest.mark.parametrize("behind_ms", [0, MARGINS_MS[0] + 1])
async def test_what_a_former_worker_published_is_not_late(behind_ms: int) -> None:
    """Rows of a former worker are known by the topic, however far apart clocks are, and what is
    late in some lanes of a cell takes one scan where they are not.
    """
    world = taken_over()
    world.behind_ms = behind_ms
    assert await settle(world) == []
    assert max(world.times_published().values()) == 1
    assert (world.late("1"), world.scans) == (2, 2 if behind_ms else 1)


async def test_what_the_topic_has_forgotten_is_not_published() -> None:
    """Where the topic does not tell all that was published, nothing of the lane comes again."""
    world = taken_over()
    there = list(world.topic)
    world.scans_max = 0
    assert await settle(world) == [CANNOT, CANNOT]
    assert (world.topic, world.late("1")) == (there, 0)


async def test_what_was_published_before_a_lane_was_read_again_does_not_count() -> None:
    """Rows that the topic has from before are no reason to leave what is late."""
    world = taken_over()
    assert await settle(world, former=[row(START_MS, n) for n in range(2)]) == []
    assert (max(world.times_published().values()), world.late("1")) == (1, 2)
