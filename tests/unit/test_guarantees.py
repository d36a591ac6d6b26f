"""The page of guarantees: each promise names a test that is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "GUARANTEES.md").read_text()
ROWS = re.findall(r"(?m)^\| ([^|]+) \| ([^|]*tests/[^|]*) \|$", PAGE)
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_there_is_a_table() -> None:
    """The page has a row for each of its promises, and no promise twice."""
    promises = [promise for promise, _ in ROWS]
    assert len(promises) > 20
    assert len(set(promises)) == len(promises)


@pytest.mark.parametrize(("promise", "tests"), ROWS, ids=[promise for promise, _ in ROWS])
def test_each_promise_names_a_test(promise: str, tests: str) -> None:
    """A row has at least one test, and nothing else in that place."""
    assert re.fullmatch(r"`[\w/.:]+`(, `[\w/.:]+`)*", tests)


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)), ids=lambda part: part)
def test_the_named_tests_exist(path: str, name: str) -> None:
    """A test that the page names is in the file that it names."""
    tree = ast.parse((ROOT / path).read_text())
    found = [f for f in tree.body if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert name in {function.name for function in found}


def test_all_rules_are_listed() -> None:
    """The page lists the thirteen rules by the numbers that the model uses."""
    section = PAGE.split("## Rules")[1].split("## The tests")[0]
    assert re.findall(r"(?m)^(\d+)\. ", section) == [str(n) for n in range(1, 14)]
