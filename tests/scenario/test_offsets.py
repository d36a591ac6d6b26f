"""The position in a file and back: whoever goes back to an older one ends with equal rows."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.scenario import checker
from tests.scenario.conftest import Place
from tests.scenario.daemon import Daemon, wait_until

KEY = ("p", "c")
# How far back a new table's log is read before a copy: two settle delays, to a whole cell.
NEW_BACK_SECONDS = 2 * 5 + 10


def offsets(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `cdcd offsets`."""
    config = str(place.folder / "cdcd.toml")
    command = [sys.executable, "-m", "cdcd", "-c", config, "offsets", *arguments]
    return subprocess.run(
        [*command, "--name", place.name], capture_output=True, check=False, text=True
    )


def _when_stopped(place: Place, *arguments: str) -> Any:
    """What the command prints once the stopped worker's session has ended."""
    done: list[subprocess.CompletedProcess[str]] = []

    def tried() -> bool:
        done.append(offsets(place, *arguments, "--json"))
        return done[-1].returncode != 3

    wait_until(tried, "no worker counts any more")
    assert done[-1].returncode == 0, done[-1].stderr
    return json.loads(done[-1].stdout)


@pytest.fixture
def daemon(request: pytest.FixtureRequest, place: Place) -> Daemon:
    """A table with a first half of changes, and a worker that has applied them."""
    place.settings["source"] = {"settle_delays_seconds": [1, 5], "position_seconds_max": 1}
    place.execute(
        "CREATE TABLE $ks.t (p int, c int, v int, m map<text, int>, PRIMARY KEY (p, c))"
        " WITH cdc = {'enabled': true}"
    )
    for n in range(40):
        place.execute(
            f"INSERT INTO $ks.t (p, c, v, m) VALUES ({n % 4}, {n}, 1, {{'a': {n}, 'b': 1}})"
        )
    made = place.daemon("--table", f"{place.name}.t", start=getattr(request, "param", "log"))
    made.start()
    wait_until(lambda: _equal(place), "the first half arrived")
    return made


def _equal(place: Place) -> bool:
    source = checker.source_rows(place.session, place.name, "t", KEY)
    target = checker.target_rows(place.stack, place.schema, "t", KEY)
    return not checker.differences(source, target)


def _second_half(place: Place) -> None:
    """Updates, deletes, elements and rows that come again."""
    for n in range(40):
        place.execute(f"UPDATE $ks.t SET v = 2, m = m + {{'c': 3}} WHERE p = {n % 4} AND c = {n}")
    place.execute("DELETE FROM $ks.t WHERE p = 1")
    place.execute("DELETE FROM $ks.t WHERE p = 2 AND c > 20")
    for n in range(0, 40, 3):
        place.execute(f"UPDATE $ks.t SET m['a'] = 9 WHERE p = {n % 4} AND c = {n}")
        place.execute(f"INSERT INTO $ks.t (p, c, v) VALUES (1, {n + 100}, 5)")
    place.execute("UPDATE $ks.t SET m = m - {'b'} WHERE p = 0 AND c = 0")


@pytest.mark.timeout(240)
def test_older_position_ends_with_equal_rows(place: Place, daemon: Daemon, tmp_path: Path) -> None:
    """A backup is refused while a worker runs, is previewed, and going back to it publishes the
    changes since a second time and ends with the same rows.
    """
    file = tmp_path / "backup.json"
    assert offsets(place, "backup", str(file)).returncode == 0
    _second_half(place)
    wait_until(lambda: _equal(place), "the second half arrived")
    assert offsets(place, "restore", str(file), "--yes").returncode == 3
    assert daemon.stop() == 0

    preview = _when_stopped(place, "restore", str(file))
    assert not preview["done"]
    assert any("published a second time" in line for line in preview["consequences"])
    assert any("applied again" in line for line in preview["consequences"])
    before = json.loads(offsets(place, "show", "--json").stdout)
    done = _when_stopped(place, "restore", str(file), "--yes")
    assert done == {**preview, "done": True}
    after = json.loads(offsets(place, "show", "--json").stdout)
    assert after["tables"][0]["frontier_ms"] < before["tables"][0]["frontier_ms"]

    daemon.start()
    topic = f"{place.name}.{place.name}.t"
    logged = checker.log_identities(place.session, place.name, "t")

    def twice() -> Counter[Any]:
        return checker.topic_identities(checker.read_topic(place.stack, topic)) - logged

    wait_until(lambda: bool(twice()), "changes came a second time")
    place.execute("INSERT INTO $ks.t (p, c, v) VALUES (3, 1000, 7)")
    wait_until(lambda: _equal(place), "equal again")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("daemon", ["snapshot"], indirect=True)
def test_reset_begins_anew_and_ends_with_equal_rows(place: Place, daemon: Daemon) -> None:
    """After a reset all that log and topic keep is read and applied again, to the same rows, also
    what was deleted while no worker ran, and longer ago than a new table's log is read back.
    """
    _second_half(place)
    wait_until(lambda: _equal(place), "the second half arrived")
    assert daemon.stop() == 0
    place.execute("DELETE FROM $ks.t WHERE p = 0")
    deleted = time.monotonic()
    told = _when_stopped(place, "reset", "--all", "--yes")
    assert len(told["consequences"]) == 2
    left = json.loads(offsets(place, "show", "--json").stdout)
    assert [table["from_oldest"] for table in left["tables"]] == [True]
    assert {o["next_offset"] for o in left["offsets"]} == {0}
    wait_until(lambda: time.monotonic() > deleted + NEW_BACK_SECONDS, "the delete is old")
    daemon.start()
    place.execute("INSERT INTO $ks.t (p, c, v) VALUES (3, 1000, 7)")
    wait_until(lambda: _equal(place), "equal again")


def test_backups_of_a_folder_are_kept_to_a_number(
    place: Place, daemon: Daemon, tmp_path: Path
) -> None:
    """Only the newest backups of the pipeline stay, and other files are left alone."""
    folder = tmp_path / "backups"
    folder.mkdir()
    other = folder / f"{place.name}-notes.json"
    other.write_text("{}")
    for _ in range(3):
        done = offsets(place, "backup", "--folder", str(folder), "--keep", "2")
        assert done.returncode == 0, done.stderr
    assert len(list(folder.iterdir())) == 3
    assert other.exists()
