"""What the race makes of its runs; the runs themselves need servers."""

from typing import Any

import pytest

from tests.bench.race import MARK_ROWS, MARKS, between_marks, summary
from tests.bench.race_page import page, picture

FIRST, SECOND = MARKS


def _runs(*rates: int) -> list[dict[str, Any]]:
    return [
        {
            "changes_per_second": rate,
            "cpu_us_per_change": 1e6 / rate,
            "peak_mb": 100.0,
            "rows_that_differ": number,
        }
        for number, rate in enumerate(rates)
    ]


def _document() -> dict[str, Any]:
    about = {
        "between_marks": 5000,
        "warm_up": 10,
        "warm_up_of_java": 20,
        "rounds": 2,
        "cores": 2,
        "load": 0.5,
    }
    found = summary({"cdcd": _runs(2000, 1000), "connect": _runs(1000, 900)})
    return found | about | {"connect_heap": "1g", "not_run": {"Another arm": "it has no road"}}


def test_between_marks() -> None:
    """What lies between the last rows of both marks counts."""
    keys = [5, FIRST, 6, FIRST + MARK_ROWS - 1, 7, SECOND, 8, SECOND + 1, 9]
    assert between_marks(keys) == 4


def test_summary() -> None:
    """Medians are compared, the widest pair of one arm is the noise, and no difference is lost."""
    found = summary({"cdcd": _runs(2000, 1000), "connect": _runs(1000, 1000)})
    assert found["cdcd"]["sink"]["changes_per_second"] == 1500
    assert found["ratio"]["sink"] == 1.5
    assert found["ratio"]["cpu"] == pytest.approx(1.33)
    assert found["noise"] == pytest.approx(0.667)
    assert found["cdcd"]["sink"]["rows_that_differ"] == 1


def test_an_arm_that_did_not_run() -> None:
    """It is named with the reason, and its figures are None."""
    found = _document()
    assert "- Another arm: it has no road." in page(found)
    assert found["rust"] is None
    assert {name for name, ratio in found["ratio"].items() if ratio is None} == {
        "catch_up",
        "source",
        "p95",
    }


def test_picture() -> None:
    """A bar for each arm and figure."""
    assert picture(_document()).count("<rect") == 1 + 2 * 3
