"""A running pipeline is told what to do, by commands beside it; no worker is restarted for that."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.scenario.conftest import Place
from tests.scenario.daemon import wait_until
from tests.scenario.ending import expect_equal

MakeTable = Callable[[str], None]


def command(place: Place, *arguments: str) -> Any:
    """What a command prints as JSON."""
    config = str(place.folder / "cdcd.toml")
    program = [sys.executable, "-m", "cdcd", "-c", config, *arguments]
    done = subprocess.run(
        [*program, "--name", place.name, "--json"], capture_output=True, check=True, text=True
    )
    return json.loads(done.stdout)


def table_of(place: Place, name: str) -> dict[str, Any]:
    """What `cdcd status` says of a table."""
    tables = command(place, "status")["tables"]
    return next((t for t in tables if t["table"] == f"{place.name}.{name}"), {})


@pytest.mark.timeout(240)
def test_pause_resume_and_another_set_of_tables(place: Place, make_table: MakeTable) -> None:
    """Through pauses of both stages and a changed set the targets end equal to the sources; who
    starts without naming tables follows the set as it is.
    """
    for name in ("t", "u"):
        make_table(f"{name} (pk int PRIMARY KEY, a text)")
    t, u = f"{place.name}.t", f"{place.name}.u"
    daemon = place.daemon("--table", t)
    daemon.start()
    daemon.wait_ready()
    place.execute("INSERT INTO $ks.t (pk, a) VALUES (1, 'a')")
    expect_equal(place, "t", ("pk",))

    command(place, "pause", t, "--stage", "source")
    shown = table_of(place, "t")
    assert (shown["state"], list(shown["paused"])) == ("paused", ["source"])
    assert 0 < shown["headroom_seconds"] <= 86_400

    def state() -> str:
        _, body = daemon.get("/status")
        return next((s["state"] for s in body["tables"] if s["table"] == t), "")

    wait_until(lambda: state() == "paused", "the worker says so")
    place.execute("INSERT INTO $ks.t (pk, a) VALUES (2, 'b')")
    place.execute("INSERT INTO $ks.u (pk, a) VALUES (1, 'a')")
    command(place, "tables", "add", u)
    expect_equal(place, "u", ("pk",))
    command(place, "pause", "--all")
    command(place, "resume", "--all")
    expect_equal(place, "t", ("pk",))
    wait_until(lambda: state() == "running", "the worker goes on")

    assert command(place, "tables", "remove", t, "--yes")["stops"] == {t: f"{place.name}.{t}"}
    wait_until(lambda: state() == "", "the worker has left the table")
    assert table_of(place, "t")["state"] == "removed"
    assert daemon.stop() == 0
    again = place.daemon()
    again.start()
    again.wait_ready()
    place.execute("INSERT INTO $ks.u (pk, a) VALUES (2, 'b')")
    expect_equal(place, "u", ("pk",))
    other = place.daemon("--table", t, instance="two")
    other.start()
    assert other.exit_code == 2
    assert f"replicates {u}, not {t}" in other.output
