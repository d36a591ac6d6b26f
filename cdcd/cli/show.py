"""How reports look to people."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cdcd.ops.logs import redact_text
from cdcd.preflight.report import Level, Outcome, Report, Result, ToDo

if TYPE_CHECKING:  # it needs client libraries, and --help does not
    from cdcd.cli.standing import Standing, TableStanding

SECONDS_PER_MINUTE = 60

_STANDING = ("published up to", "lag at most", "waiting", "last applied", "dead letters", "lanes")

# Where the output is no terminal nobody sees a fold, and programs stumble over one.
_WIDTH_ELSEWHERE = 200

_MARKS = {
    Result.GOOD: "[green]ok[/]",
    Result.FOUND: "[yellow]found[/]",
    Result.REFUSED: "[red]refused[/]",
    Result.UNFINISHED: "[red]not finished[/]",
    Result.SKIPPED: "[dim]skipped[/]",
}
_LEVELS = {Level.PROBLEM: "red", Level.WARNING: "yellow", Level.NOTE: "dim"}


def console() -> Console:
    """Standard output."""
    width = None if sys.stdout.isatty() else _WIDTH_ELSEWHERE
    return Console(width=width, highlight=False)


def show_report(out: Console, report: Report, *, verbose: bool) -> None:
    """Each check on a line, its findings under it; good ones are counted unless verbose."""
    for outcome in report.outcomes:
        if verbose or outcome.result not in {Result.GOOD, Result.SKIPPED}:
            out.print(f"{outcome.service:10}{outcome.check:14}{_MARKS[outcome.result]}")
            _show_findings(out, outcome, verbose=verbose)
    good = sum(o.result is Result.GOOD for o in report.outcomes)
    skipped = sum(o.result is Result.SKIPPED for o in report.outcomes)
    rest = f", {skipped} were skipped" if skipped else ""
    out.print(f"{good} of {len(report.outcomes)} checks are good{rest}")
    if report.to_do:
        _show_to_do(out, report.to_do)


def _show_to_do(out: Console, to_do: Sequence[ToDo]) -> None:
    out.print("\nWhat no program can see, and where it is said how:")
    for area, items in groupby(to_do, lambda each: each.area):
        out.print(f"\n{area}")
        for each in items:
            out.print(f"  [dim]\\[ ][/] {escape(each.what)} [dim]({each.see})[/]", soft_wrap=True)


def _show_findings(out: Console, outcome: Outcome, *, verbose: bool) -> None:
    for finding in outcome.findings:
        if finding.level is Level.NOTE and not verbose:
            continue
        style = _LEVELS[finding.level]
        # Folded by the terminal, so that a line can be searched for and copied.
        message = escape(redact_text(finding.message))
        out.print(f"  [{style}]{message}[/]", soft_wrap=True)
        if finding.hint:
            out.print(f"    {escape(redact_text(finding.hint))}", soft_wrap=True)


def show_standing(out: Console, standing: "Standing") -> None:
    """A line for each table of the pipeline."""
    if not standing.tables:
        out.print(f"pipeline {standing.name} has no tables yet")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("table", overflow="fold")
    for title in _STANDING:
        table.add_column(title, justify="right")
    marked = any(each.state != "followed" for each in standing.tables)
    if marked:
        table.add_column("state", overflow="fold")
    for each in standing.tables:
        table.add_row(
            each.table,
            moment(each.frontier_ms),
            "" if each.lag_seconds is None else duration(each.lag_seconds),
            "" if each.waiting is None else str(each.waiting),
            moment(each.applied_ms),
            "" if each.dead_letters is None else str(each.dead_letters),
            f"{each.lanes}/{standing.lanes or '?'}",
            *([_state(each)] if marked else []),
        )
    out.print(table)


def _state(table: "TableStanding") -> str:
    if table.state != "paused":
        return "" if table.state == "followed" else table.state
    shown = f"{' and '.join(table.paused)} paused"
    if table.headroom_seconds is None:
        return shown
    if table.headroom_seconds <= 0:
        return f"{shown}, its log has forgotten changes"
    return f"{shown}, its log keeps {duration(table.headroom_seconds)} more"


def duration(seconds: float) -> str:
    """A span in the two units that matter."""
    if seconds < SECONDS_PER_MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def moment(ms: int | None) -> str:
    """A time in UTC to the second; nothing for none."""
    if ms is None:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(" ", "seconds").replace("+00:00", "Z")
