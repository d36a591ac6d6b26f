"""Pages that programs know: they are made, and never stale."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cdcd.cli import page as commands
from cdcd.config import page as settings
from cdcd.model import types_page as types
from cdcd.ops import metrics_page as metrics

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("CONFIG.md", settings.page),
        ("METRICS.md", metrics.page),
        ("CLI.md", commands.page),
        ("TYPES.md", types.page),
    ],
)
def test_generated_pages_are_fresh(name: str, page: Callable[[], str]) -> None:
    """The page in docs/ is what its program makes; `make format` makes it again."""
    assert (DOCS / name).read_text() == page()


@pytest.mark.parametrize("page", [settings.page, metrics.page, types.page])
def test_rows_of_tables_are_one_line(page: Callable[[], str]) -> None:
    """No cell holds the end of a line, which would end the row within it."""
    for line in page().splitlines():
        assert line.startswith("|") == line.endswith("|"), line
