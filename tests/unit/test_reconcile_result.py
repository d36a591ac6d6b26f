"""What `cdcd reconcile --json` prints, and how it ends."""

from typing import Any

import pytest

from cdcd.model.errors import ExitCode
from cdcd.reconcile.compare import Kind, Seen, Suspect, Trial
from cdcd.reconcile.result import Example, Failed, Outcome, TableResult, concluded


def test_document_has_the_promised_form() -> None:
    """One document: tables with their counts and examples, and whether all is equal."""
    example = Example(Kind.DIFFERENT, {"id": 1}, ("name",))
    result = TableResult("ks.t", 3, 3, different=1, left=(0, 0, 1), examples=(example,))
    assert Outcome([result]).as_json() == {
        "tables": [
            {
                "table": "ks.t",
                "rows": 3,
                "missing": 0,
                "extra": 0,
                "different": 1,
                "repaired": 0,
                "unjudged": 0,
                "cut": False,
                "examples": [{"kind": "different", "key": {"id": 1}, "columns": ["name"]}],
                "error": None,
            }
        ],
        "equal": False,
    }


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({}, ExitCode.DONE),
        ({"missing": 2, "repaired": 2}, ExitCode.DONE),
        ({"missing": 2, "repaired": 1, "left": (1, 0, 0)}, ExitCode.FOUND),
        ({"extra": 1, "left": (0, 1, 0)}, ExitCode.FOUND),
        ({"is_cut": True}, ExitCode.FOUND),
    ],
)
def test_exit_code_says_what_is_left(counts: dict[str, Any], code: ExitCode) -> None:
    """0 equal, or equal after repair; 1 where differences remain or not all was looked at."""
    assert Outcome([TableResult("ks.t", 9, 9, **counts)]).exit_code is code


def test_a_table_that_failed_is_in_the_document() -> None:
    """It has the keys of the others, null for what nobody knows, and its error; then nothing is
    called equal.
    """
    outcome = Outcome([TableResult("ks.t", 9, 9)], [Failed("ks.u", "ks.u is paused", "resume it")])
    equal, failed = outcome.as_json()["tables"]
    assert equal["error"] is None
    assert equal.keys() == failed.keys()
    assert (failed["table"], failed["error"]) == ("ks.u", "ks.u is paused")
    assert {v for k, v in failed.items() if k not in ("table", "error", "examples")} == {None}
    assert not outcome.is_equal


@pytest.mark.parametrize("code", [ExitCode.CONFIGURATION, ExitCode.OUTSIDE, ExitCode.INVARIANT])
def test_a_failure_decides_the_exit_code(code: ExitCode) -> None:
    """It goes before differences, and of several failures the gravest."""
    results = [TableResult("ks.t", 9, 9, extra=1, left=(0, 1, 0))]
    failed = [Failed("ks.a", "away", exit_code=code), Failed("ks.b", "x", exit_code=code)]
    assert Outcome(results, failed).exit_code is code


def _suspects(count: int) -> list[Suspect]:
    return [Suspect((bytes([n]),), Seen(b"new", b"old")) for n in range(count)]


def test_a_row_that_changes_too_fast_after_its_repair_is_not_repaired() -> None:
    """Of five rows that were refreshed one still differs and one could not be judged any more."""
    confirmed = _suspects(5)
    again = Trial({}, 0, confirmed={s.cql_key: s for s in confirmed[:1]}, given_up=1)
    found = concluded(TableResult("ks.t", 9, 9, unjudged=2), confirmed, again)
    assert (found.different, found.repaired, found.left, found.unjudged) == (5, 3, (0, 0, 1), 3)


def test_without_a_repair_all_differences_are_left() -> None:
    """They are counted as found, and none as repaired."""
    found = concluded(TableResult("ks.t", 9, 9), _suspects(5), None)
    assert (found.different, found.repaired, found.left) == (5, 0, (0, 0, 5))
