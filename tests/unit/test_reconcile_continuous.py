"""How much of a table was verified lately, and how fast a walk may go."""

import asyncio
import time

import pytest

from cdcd.reconcile.continuous import DAY_MS, Coverage, Pace

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
