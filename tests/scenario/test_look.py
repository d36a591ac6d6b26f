"""What the running daemon and `cdcd status` say of the same work."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.scenario.conftest import Place
from tests.scenario.daemon import Daemon, wait_until

MakeTable = Callable[[str], None]
ROWS = 20


@pytest.fixture
def daemon(place: Place, make_table: MakeTable) -> Daemon:
    """A ready worker that has some rows to replicate."""
    make_table("t (id int PRIMARY KEY, v int)")
    for number in range(ROWS):
        place.execute(f"INSERT INTO $ks.t (id, v) VALUES ({number}, 1)")
    made = place.daemon("--table", f"{place.name}.*")
    made.start()
    made.wait_ready()
    return made


def _status(place: Place) -> Any:
    """What `cdcd status --json` prints."""
    config = str(place.folder / "cdcd.toml")
    command = [sys.executable, "-m", "cdcd", "-c", config, "status", "--name", place.name, "--json"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return json.loads(done.stdout)


def _metrics(daemon: Daemon) -> str:
    url = json.loads(daemon.output.splitlines()[0])["url"]
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def test_daemon_counts_what_it_does(place: Place, daemon: Daemon) -> None:
    """The daemon's /status and /metrics agree on the changes that were published and applied."""

    def table() -> Any:
        _, body = daemon.get("/status")
        return next((t for t in body["tables"] if t["table"] == f"{place.name}.t"), {})

    wait_until(lambda: table().get("applied") == ROWS, "all rows applied")
    assert table()["published"] == ROWS
    wait_until(lambda: table()["waiting"] == 0, "nothing waiting")
    assert table()["lag_seconds"] < 10
    metrics = _metrics(daemon)
    label = f'{{table="{place.name}.t"}}'
    for name in ("cdcd_published_changes_total", "cdcd_applied_rows_total"):
        assert f"{name}{label} {ROWS}.0" in metrics
    assert f"cdcd_end_to_end_seconds_count{label} {ROWS}.0" in metrics


def test_status_without_the_daemon_is_what_it_left(place: Place, daemon: Daemon) -> None:
    """After the daemon's end `cdcd status` shows its tables, positions and that nothing waits."""
    wait_until(lambda: _status(place)["tables"] != [], "tables in status")
    wait_until(lambda: _status(place)["tables"][0]["waiting"] == 0, "nothing waiting")
    assert daemon.stop() == 0
    left = _status(place)
    (table,) = left["tables"]
    assert left["away"] == {}
    assert left["patterns"] == [f"{place.name}.*"]
    assert table["table"] == f"{place.name}.t"
    assert table["lanes"] == left["lanes"]
    assert table["frontier_ms"] <= left["now_ms"]
    assert table["applied_ms"] is not None


def test_latency_is_measured(place: Place, daemon: Daemon) -> None:
    """`cdcd latency` has all three ways of a table's changes, each with as many as there were."""
    url = json.loads(daemon.output.splitlines()[0])["url"]
    config = str(place.folder / "cdcd.toml")
    command = [sys.executable, "-m", "cdcd", "-c", config, "latency", "--name", place.name]
    command += ["--table", f"{place.name}.t", "--url", url, "--json"]

    def ways() -> Any:
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        found = json.loads(done.stdout)
        return [found[way] for way in ("scylla_to_kafka", "kafka_to_postgres", "end_to_end")]

    wait_until(lambda: [way["changes"] for way in ways()] == [ROWS] * 3, "all changes are seen")
    for way in ways():
        assert 0 <= way["p50_seconds"] <= way["p95_seconds"] < 60
    away = [*command, "--url", "http://127.0.0.1:1"]
    done = subprocess.run(away, capture_output=True, check=False, text=True)
    assert done.returncode == 3
    assert "no metrics at http://127.0.0.1:1" in done.stderr
