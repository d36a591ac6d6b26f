"""How reports look to people."""

import sys

from rich.console import Console
from rich.markup import escape

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
    for outcome in report.outcomes:
        if verbose or outcome.result not in {Result.GOOD, Result.SKIPPED}:
            out.print(f"{outcome.service:10}{outcome.check:14}{_MARKS[outcome.result]}")
            _show_findings(out, outcome, verbose=verbose)
    good = sum(o.result is Result.GOOD for o in report.outcomes)
    skipped = sum(o.result is Result.SKIPPED for o in report.outcomes)
    rest = f", {skipped} were skipped" if skipped else ""
    out.print(f"{good} of {len(report.outcomes)} checks are good{rest}")


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
