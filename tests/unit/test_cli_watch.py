"""The live view: rates, sparklines, and how it looks; asked of a real port."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from cdcd.cli.watch import BARS, History, picture, sparkline, watch
from cdcd.config.settings import HttpSettings
from cdcd.model.errors import Fatal
from cdcd.ops import health
from cdcd.ops.board import Board
from cdcd.ops.status import StageState, TableState


def _look(now_ms: int, *, started_ms: int = 0, applied: int = 0, lag: float | None = 0.5) -> Any:
    table = {
        "table": "ks.t",
        "state": "running",
        "lag_seconds": lag,
        "waiting": 3,
        "published": 2 * applied,
        "applied": applied,
    }
    return {
        "name": "shop",
        "instance": "one",
        "started_ms": started_ms,
        "now_ms": now_ms,
        "ready": True,
        "reasons": ["table ks.u is paused: [red]because[/red]"],
        "tables": [table],
    }


def test_rates_are_per_second() -> None:
    """Rates are the differences of two looks over the time between them."""
    history = History()
    history.take(_look(0, applied=10))
    assert history.take(_look(2000, applied=30))["ks.t"] == {"published": 20.0, "applied": 10.0}


def test_first_look_has_no_rate() -> None:
    """There is nothing to compare the first look with."""
    assert History().take(_look(0, applied=10))["ks.t"] == {"published": None, "applied": None}


def test_worker_that_was_started_again_has_no_rate() -> None:
    """Counters that begin anew are not taken for a rate."""
    history = History()
    history.take(_look(0, applied=10))
    again = history.take(_look(1000, started_ms=900, applied=1))
    assert again["ks.t"]["applied"] is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ""),
        ([0.0, 10.0], BARS[0] + BARS[-1]),
        ([0.0, 5.0, 10.0], BARS[0] + BARS[4] + BARS[-1]),
        ([0.01, 0.02], BARS[0] * 2),
        ([None, 10.0], " " + BARS[-1]),
    ],
)
def test_sparkline(values: list[float | None], expected: str) -> None:
    """Bars are as high as the values among them; small lags are flat, unknown ones blank."""
    assert sparkline(values) == expected


def test_picture_has_all_of_it() -> None:
    """Names, states, numbers and reasons are there, and text is not taken for markup."""
    history = History()
    history.take(_look(0))
    look = _look(1000, applied=1234)
    out = Console(file=io.StringIO(), width=120)
    out.print(picture(look, history, history.take(look)))
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    for part in ("shop", "ready", "ks.t", "running", "0.5 s", "2,468", "1,234", "[red]because"):
        assert part in shown


async def test_looks_are_lines_of_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json each answer is a line; a daemon that is gone ends it with a reason."""
    monkeypatch.setattr("cdcd.cli.watch.EVERY_SECONDS", 0.0)
    board = Board("shop", "one")
    board.stage("source", StageState.RUNNING)
    board.table("ks.t", TableState.RUNNING)
    out = Console(file=io.StringIO())
    looks = 0

    def snapshot() -> Any:
        nonlocal looks
        looks += 1
        if looks > 2:
            raise RuntimeError("gone")
        return board.snapshot()

    async with health.serve(HttpSettings(port=0), snapshot, board.exposition) as url:
        with pytest.raises(Fatal, match="no daemon answers"):
            await watch(HttpSettings(), url, out, as_json=True)
    printed = capsys.readouterr().out.splitlines()
    lines = [json.loads(line) for line in printed if line.startswith("{")]
    assert [line["tables"][0]["table"] for line in lines] == ["ks.t"] * 2


async def test_nobody_there_is_said() -> None:
    """Where no daemon listens it says how to name another place."""
    with pytest.raises(Fatal) as caught:
        await watch(HttpSettings(port=9), None, Console(file=io.StringIO()), as_json=False)
    assert "--url" in caught.value.hint
