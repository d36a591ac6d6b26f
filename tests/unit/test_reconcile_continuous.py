"""How much of a table was verified lately, and how fast a walk may go."""

import asyncio
import time

import pytest

from cdcd.reconcile.continuous import DAY_MS, Coverage, Pace, in_rounds
from tests.simulation import virtual_time

OWNED = frozenset({0, 1, 2, 3})


@pytest.mark.parametrize(
    ("walked", "share"),
    [
        ({}, 0.0),
        ({0: (1, 10), 1: (1, 10)}, 0.5),
        ({0: (1, 10), 1: (1, 30), 2: (1, 0), 3: (1, 0)}, 1.0),
        ({0: (-DAY_MS, 10), 1: (1, 10), 2: (1, 10), 3: (1, 10)}, 0.75),
        ({0: (1, 10), 9: (1, 90)}, 0.25),
        ({0: (1, 0)}, 0.25),
    ],
    ids=["nothing", "half", "all", "one too long ago", "a lane of others", "empty lanes"],
)
def test_share_is_of_rows_in_the_last_day(walked: dict[int, tuple[int, int]], share: float) -> None:
    """Lanes of the last day count by their rows; those never walked as the others on average."""
    assert Coverage(walked).share(OWNED, 1) == pytest.approx(share)


async def test_pace_holds_the_rate() -> None:
    """So many rows take their time, whatever the portions."""
    pace = Pace(1000)
    began = time.monotonic()
    async with asyncio.timeout(30):
        for _ in range(5):
            await pace.spend(20)
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize(
    ("walk_seconds", "rounds"), [(0.0, 10), (45.0, 10), (150.0, 4)], ids=["empty", "small", "big"]
)
def test_rounds_of_small_tables_wait(walk_seconds: float, rounds: int) -> None:
    """A walk begins once a minute at most, however short it is, and a long one is not held up."""
    begun = []

    async def walk() -> None:
        begun.append(walk_seconds)
        await asyncio.sleep(walk_seconds)

    async def ten_minutes() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(599):
                await in_rounds(walk, 60)

    virtual_time.run(ten_minutes())
    assert len(begun) == rounds
