"""The table of `make drills`."""

from typing import Any

from tests.drills import paged

PAGE = "Before.\n<!-- made by make drills -->\n<!-- end -->\nBehind.\n"


def _found(kind: str, rounds: int) -> dict[str, Any]:
    times = {f"recovery_{share}_seconds": 1.5 for share in ("p50", "p95", "max")}
    counts = {"changes": 9, "lost": 0, "duplicated": 0}
    return {"drill": kind, "rounds": rounds, **counts, **times, "on": "2026-11-27"}


def test_what_was_held_before_stays() -> None:
    """A kind that is held again has a new line, in the kinds' order; the rest stays."""
    first = paged(PAGE, [_found("schema", 3), _found("kill", 3)])
    page = paged(first, [_found("kill", 200)])
    lines = page.splitlines()
    kill = "| `kill` | 200 | 9 | 0 | 0 | 1.5 s | 1.5 s | 1.5 s | 2026-11-27 |"
    schema = "| `schema` | 3 | 9 | 0 | 0 | 1.5 s | 1.5 s | 1.5 s | 2026-11-27 |"
    assert lines[4:6] == [kill, schema]
    assert (lines[:2], lines[-2:]) == (PAGE.splitlines()[:2], PAGE.splitlines()[2:])
    assert paged(page, []) == page
