"""How reports look to people."""

import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cdcd.ops.logs import redact_text
from cdcd.preflight.report import Level, Outcome, Report, Result

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
    shown = [o for o in report.outcomes if verbose or o.result is not Result.GOOD]
    for outcome in shown:
        out.print(f"{outcome.service:10}{outcome.check:14}{_MARKS[outcome.result]}")
        _show_findings(out, outcome, verbose=verbose)
    good = sum(o.result is Result.GOOD for o in report.outcomes)
    out.print(f"{good} of {len(report.outcomes)} checks are good")


def _show_findings(out: Console, outcome: Outcome, *, verbose: bool) -> None:
    lines = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    for finding in outcome.findings:
        if finding.level is Level.NOTE and not verbose:
            continue
        style = _LEVELS[finding.level]
        lines.add_row(f"[{style}]{escape(redact_text(finding.message))}[/]")
        if finding.hint:
            lines.add_row(f"  {escape(redact_text(finding.hint))}")
    if lines.row_count:
        out.print(lines)
