"""Drills as their users hold them: `cdcd drill`, in a small size. `make drills` holds them in full.

The drill's own verdict is checked by the independent checker, for which it leaves its things.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cdcd.drill.kinds import KINDS
from cdcd.drill.needs import lacking
from cdcd.drill.place import NAME
from tests import stack as local
from tests.scenario import drilled
from tests.scenario.conftest import Place
from tests.scenario.left import left_behind


def drill(place: Place, kind: str, *arguments: str) -> tuple[int, Any, str]:
    """Exit code, document and progress of a drill on the stack."""
    command = [sys.executable, "-m", "cdcd", "-c", str(place.config()), "drill", kind]
    command += ["--stack", str(local.file()), *arguments, "--json"]
    own = {**os.environ, "TMPDIR": str(place.folder)}
    done = subprocess.run(command, capture_output=True, check=False, text=True, env=own)
    crashes = [file.read_text() for file in place.folder.rglob("cdcd-crash-*")]
    said = "\n".join([done.stderr, *crashes])
    return done.returncode, json.loads(done.stdout) if done.stdout else None, said


def expect_nothing_lost(done: tuple[int, Any, str], rounds: int) -> dict[str, Any]:
    """Every round came back, and the drill's witness found all changes once."""
    code, found, said = done
    assert code == 0, f"{found}\n{said}"
    assert (found["lost"], found["duplicated"], found["different"]) == (0, 0, [])
    assert found["rounds"] == rounds
    # Writes went on: a beat before the rounds and one in each are 64 changes each, two at most.
    assert found["changes"] > 64 * (rounds + 1)
    return found


def hold(place: Place, kind: str, rounds: int = 1) -> None:
    """Hold one: it loses nothing and doubles nothing, and the independent checker says so too."""
    missing = lacking(KINDS[kind])
    if missing is not None:
        pytest.skip(missing.message)
    place.settings["source"] = {"settle_delays_seconds": [1, 30]}
    done = drill(place, kind, "--rounds", str(rounds), "--yes", "--keep")
    found = expect_nothing_lost(done, rounds)
    assert drilled.wrong(place.stack, place.session, found) == []
    drilled.sweep(place.config(), found)


@pytest.mark.timeout(240)
def test_a_kill_loses_nothing(place: Place) -> None:
    """Killed at random moments and started at once, a worker loses nothing and doubles nothing."""
    hold(place, "kill", rounds=2)


SERVERS = sorted(name for name, kind in KINDS.items() if kind.needs_stack)
# Each of these takes half a minute and more: CDCD_TEST_DRILLS=all holds them here, and many rounds
# of each are `make drills`.
HELD_ALL = os.environ.get("CDCD_TEST_DRILLS") == "all"
HELD = SERVERS if HELD_ALL else ["database"]
# `pause` has a take-over too.
LONG: set[str] = set() if HELD_ALL else {"takeover"}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"kill", "schema"} - LONG - set(SERVERS)))
def test_a_drill_loses_nothing(place: Place, kind: str) -> None:
    """One round of each kind loses nothing and doubles nothing."""
    place.settings["kafka"] = {"session_timeout_seconds": 3}
    hold(place, kind)


@pytest.mark.timeout(400)
def test_a_drill_takes_its_things_away(place: Place) -> None:
    """A drill that loses nothing and is not told to keep its things leaves none on any server."""
    before = set(left_behind(place, NAME))
    expect_nothing_lost(drill(place, "schema", "--rounds", "1", "--yes"), rounds=1)
    assert set(left_behind(place, NAME)) - before == set()


@pytest.mark.timeout(400)
@pytest.mark.skipif(
    "control"
    not in (json.loads(local.file().read_text()) if local.file().exists() else ["control"]),
    reason="the stack's file does not say how to stop its servers",
)
@pytest.mark.parametrize("kind", HELD)
def test_a_server_in_trouble_loses_nothing(place: Place, kind: str) -> None:
    """One round of each kind that disturbs a server loses nothing and doubles nothing."""
    hold(place, kind)


def test_servers_of_others_are_left_alone(place: Place, tmp_path: Path) -> None:
    """A drill that disturbs servers is refused without the local stack's file, and where the
    settings name another server than that file.
    """
    found = json.loads(local.file().read_text())
    other = tmp_path / "stack.json"
    other.write_text(json.dumps({**found, "kafka": "127.0.0.1:1", "control": ["false"]}))
    config = str(place.config())
    for file, said in ((tmp_path / "none.json", "no local stack"), (other, "Kafka")):
        command = [sys.executable, "-m", "cdcd", "-c", config, "drill", "broker", "--yes"]
        done = subprocess.run(
            [*command, "--stack", str(file)], capture_output=True, check=False, text=True
        )
        assert done.returncode == 2
        assert said in done.stderr


def test_nothing_is_done_without_yes(place: Place) -> None:
    """Without --yes it is said what would be made and where, and nothing is."""
    before = left_behind(place, NAME)
    command = [sys.executable, "-m", "cdcd", "-c", str(place.config()), "drill", "kill"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert KINDS["kill"].does in done.stdout
    assert "nothing is done yet" in done.stdout
    assert place.stack.kafka in done.stdout
    assert left_behind(place, NAME) == before
