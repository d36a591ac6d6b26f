"""The page that says what proves what names tests that are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "CONFORMANCE.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/\S+?\.py)::(\w+)`", PAGE)))
POINTS = 18


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda part: part)
def test_named_tests_exist(path: str, name: str) -> None:
    """Each test that the page names is a function of its module."""
    tree = ast.parse((ROOT / path).read_text())
    functions = (n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    assert name in {function.name for function in functions}


def test_every_point_is_covered() -> None:
    """Each of the eighteen points has a line, and each line names a test or a target of make."""
    lines = re.findall(r"^\| (\d+) \|(.*)$", PAGE, re.MULTILINE)
    assert {int(number) for number, _ in lines} == set(range(1, POINTS + 1))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for _, line in lines:
        made = re.findall(r"`make ([a-z-]+)`", line)
        assert set(made) <= targets
        assert made or "::test_" in line
