"""What `cdcd reconcile --json` prints, and how it ends."""

from typing import Any

import pytest

from cdcd.model.errors import ExitCode
from cdcd.reconcile.compare import Kind
from cdcd.reconcile.result import Example, Outcome, TableResult


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
                "examples": [{"kind": "different", "key": {"id": 1}, "columns": ["name"]}],
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
