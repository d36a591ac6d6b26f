"""How comparisons look to people."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:  # it needs client libraries, and --help does not
    from cdcd.reconcile.result import Outcome, TableResult

# Rows that are named on the screen; `--json` names more.
NAMED = 10


def show_comparison(out: Console, outcome: "Outcome", *, preview: bool) -> None:
    """A line for each table, the rows that differ, and what there is to do."""
    table = _table("rows", "missing", "extra", "different", "repaired")
    for each in outcome.tables:
        counts = (each.rows, each.missing, each.extra, each.different, each.repaired)
        table.add_row(escape(each.table), *map(str, counts))
    out.print(table)
    for each in outcome.tables:
        _show_rows(out, each)
    left = sum(sum(t.left) for t in outcome.tables)
    if outcome.is_equal:
        out.print("[green]equal[/]")
    elif preview and left:
        out.print(f"a repair would refresh {left} rows from the source: add --yes")
    elif left:
        out.print(f"[red]not equal[/]: {left} rows differ")
    elif not outcome.failed:
        out.print("[red]not all was compared[/]")
    for failed in outcome.failed:
        out.print(f"[red]not compared[/]: {escape(failed.table)}")


def _show_rows(out: Console, result: "TableResult") -> None:
    for example in result.examples[:NAMED]:
        key = ", ".join(f"{name}={value!r}" for name, value in example.key.items())
        columns = f": {', '.join(example.columns)}" if example.columns else ""
        line = f"{result.table}  {example.kind.value:10}{key}{columns}"
        out.print(escape(line), soft_wrap=True)
    if result.found > NAMED:
        out.print(f"  and {result.found - NAMED} more; --json names up to 1000")
    if result.is_cut:
        out.print("  there are more than that: not all of the table was looked at")
    if result.unjudged:
        out.print(f"  {result.unjudged} rows changed too often to be compared")


def show_runs(out: Console, runs: Sequence[Mapping[str, Any]]) -> None:
    """The latest comparison of each table."""
    table = _table("rows", "missing", "extra", "different", "repaired", "state", "ended")
    for run in runs:
        counts = (run[name] for name in ("rows", "missing", "extra", "different", "repaired"))
        shown = ["" if value is None else str(value) for value in counts]
        state = "not all looked at" if run["cut"] else run["state"] or "never compared"
        ended = run["checked_at"] or ""
        table.add_row(escape(run["table"]), *shown, state, ended)
    out.print(table)


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("table", overflow="fold")
    for title in titles:
        table.add_column(title, justify="right")
    return table
