"""Drills: what their verdict counts, and that each kind has its round."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from cdcd.config.settings import Settings
from cdcd.drill.kinds import KINDS
from cdcd.drill.needs import lacking, meet
from cdcd.drill.outcome import Outcome, Rows, Verdict, judged
from cdcd.drill.place import NAME, Place
from cdcd.drill.rounds import ROUNDS, SETUPS
from cdcd.drill.stack import LocalStack
from cdcd.drill.worker import Worker
from cdcd.model.errors import ConfigurationError, ExitCode, Fatal
from tests.drills import is_slow

A, B, C = (("ab", f"00000000-0000-1000-8000-00000000000{n}", 0) for n in range(3))
ROWS: Rows = {(1, 0): {"pk": 1, "ck": 0, "a": "x", "b": None}}


def test_every_kind_has_a_round() -> None:
    """Each kind that is offered can be held, and each that can be held is offered."""
    assert ROUNDS.keys() == KINDS.keys()
    assert SETUPS.keys() <= KINDS.keys()


def test_what_is_there_once_is_clean() -> None:
    """Equal rows, and each identity once, are a clean verdict."""
    verdict = judged(Counter([A, B]), Counter([B, A]), ROWS, dict(ROWS))
    assert verdict == Verdict(changes=2)
    assert verdict.is_clean


def test_lost_and_doubled_are_counted() -> None:
    """An identity that is missing is lost; one more than once, or of no log row, is doubled."""
    verdict = judged(Counter([A, B]), Counter([A, A, A, C]), {}, {})
    assert (verdict.lost, verdict.doubled) == (1, 3)
    assert not verdict.is_clean


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({}, "row (1, 0) is missing"),
        ({**ROWS, (2, 0): {}}, "row (2, 0) is too many"),
        ({(1, 0): {"pk": 1, "ck": 0, "a": "y", "b": 2}}, "row (1, 0) differs in a, b"),
        ({(1, 0): {"pk": 1, "ck": 0, "a": "x", "b": None, "c": 1}}, "row (1, 0) differs in c"),
    ],
)
def test_differences_are_named(target: dict, said: str) -> None:
    """A row that is missing, too many or different is named, and is no clean verdict."""
    verdict = judged(Counter(), Counter(), ROWS, target)
    assert verdict.different == (said,)
    assert not verdict.is_clean


def test_exit_codes() -> None:
    """Only a clean verdict behind rounds that all came back is exit code 0."""
    clean = Verdict(changes=1)
    assert Outcome("kill", clean, [1.0]).exit_code == ExitCode.DONE
    assert Outcome("kill", clean, [1.0], "it did not come back").exit_code == ExitCode.FOUND
    assert Outcome("kill", Verdict(changes=1, lost=1), [1.0]).exit_code == ExitCode.FOUND


def test_recovery_times() -> None:
    """The share of rounds counts, not the mean: one slow round of twenty is in p95's shadow."""
    outcome = Outcome("kill", Verdict(changes=1), [*[1.0] * 19, 9.0])
    found = outcome.as_json()
    assert found["recovery_p95_seconds"] == 1.0
    assert found["recovery_max_seconds"] == 9.0
    assert Outcome("kill", Verdict(changes=1)).as_json()["recovery_p95_seconds"] is None


def test_a_slow_recovery_of_a_kill_is_a_fault() -> None:
    """`make drills` ends with 1 when a kill's p95 is five seconds; others have no limit."""
    for drill, seconds, slow in (
        ("kill", 5.0, True),
        ("kill", 4.99, False),
        ("broker", 9.0, False),
    ):
        found = Outcome(drill, Verdict(changes=1), [1.0, seconds]).as_json()
        assert is_slow(found) is slow


def test_places_are_apart() -> None:
    """No two drills share a name, and each name says that it is a drill's."""
    places = [Place.new(KINDS["kill"]) for _ in range(2)]
    assert places[0].pipeline != places[1].pipeline
    for place in places:
        for name in (place.pipeline, place.keyspace, place.schema):
            assert name.startswith(NAME)


def test_every_kind_is_described() -> None:
    """docs/DRILLS.md has each kind with the words that the command has."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "DRILLS.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \|$", page, re.MULTILINE)
    assert rows == [(kind.name, kind.does, kind.timed) for kind in KINDS.values()]


def test_a_worker_that_has_ended_is_not_running(tmp_path: Path) -> None:
    """Who measures a worker is told that it has ended, even where that is no error."""
    worker = Worker(["--version"], {}, tmp_path / "log")
    worker.require_running()
    worker.start()
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(Fatal, match="exit code 0"):
        worker.require_running()


def test_lines_of_a_worker_are_counted(tmp_path: Path) -> None:
    """Lines with a text count, each once, and a worker that has no log yet has none."""
    log = tmp_path / "log"
    worker = Worker([], {}, log)
    assert worker.count("53100") == 0
    log.write_text("disk full (53100) 53100\nall is well\ndisk full (53100)\n")
    assert worker.count("53100") == 2


@pytest.mark.parametrize("kind", ["disk"])
def test_a_program_that_is_missing_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drill whose program is not installed is refused, with the package to install."""
    monkeypatch.setenv("PATH", "/nonexistent")
    error = lacking(KINDS[kind])
    assert error is not None
    assert "not installed" in error.message
    assert "apt-get install" in str(error.hint)


def test_a_kind_that_needs_nothing_lacks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs no program and no root can be held anywhere."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert lacking(KINDS["kill"]) is None
    assert meet(KINDS["kill"], Path("/nonexistent"), Settings()) is None


@pytest.mark.parametrize("kind", sorted(name for name, kind in KINDS.items() if kind.needs_stack))
def test_a_file_without_servers_is_refused(kind: str, tmp_path: Path) -> None:
    """A file that lacks what a drill looks for is refused, and what is missing is named."""
    file = tmp_path / "stack.json"
    file.write_text(json.dumps({"control": ["false"]}))
    with pytest.raises(ConfigurationError, match="does not say `scylla`"):
        meet(KINDS[kind], file, Settings())


def test_what_a_stack_does_not_say_is_named(tmp_path: Path) -> None:
    """Vault, small disk and administrator are looked for when they are needed; a file without them
    is refused with their names and what to do.
    """
    (tmp_path / "stack.json").write_text(json.dumps({"control": ["false"]}))
    stack = LocalStack(tmp_path, {"control": ["false"]})
    for name, look in (
        ("vault", stack.vault),
        ("small_disk", stack.small_disk),
        ("postgres_admin", lambda: stack.admin_dsn),
    ):
        with pytest.raises(ConfigurationError, match=f"`{name}`") as caught:
            look()
        assert "make up" in str(caught.value.hint)


def test_what_a_stack_has_written_since_is_known(tmp_path: Path) -> None:
    """What the stack's command has written down behind the drill's start is found."""
    stack = LocalStack(tmp_path, {"control": ["false"]})
    (tmp_path / "stack.json").write_text(json.dumps({"small_disk": "/s", "vault": {"url": "u"}}))
    assert stack.small_disk() == "/s"
    assert stack.vault() == {"url": "u"}
