"""Look: `cdcd plan`, what a run would do before it does it."""

import asyncio
import json

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cdcd.cli.control import name_option
from cdcd.cli.invocation import Invocation
from cdcd.cli.look import json_option
from cdcd.cli.show import console, duration
from cdcd.ops.board import wall_clock_ms
from cdcd.preflight.plan import Plan, TablePlan


@click.command(short_help="Show what a run would do, before it does.")
@click.option(
    "--table",
    "patterns",
    multiple=True,
    metavar="KS.TABLE",
    help="Table to replicate; repeatable, also 'ks.*'. The pipeline's own set when left out.",
)
@name_option
@json_option
@click.pass_obj
def plan(invocation: Invocation, patterns: tuple[str, ...], name: str | None, as_json: bool) -> int:
    """Show what `cdcd run` would do: types, tables and topics to be made, how much log there is
    to read and how long that takes, and what is refused and why. Nothing is changed.

    \b
    Exit code 0: all of it can be replicated. 1: something is refused.
    """  # noqa: D301  click's mark for text to leave as it is
    settings = invocation.settings({"name": name})
    # Imported late, so that --help needs no client library.
    from cdcd.preflight.planning import plan as find_out  # noqa: PLC0415

    found = asyncio.run(find_out(settings, patterns))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        show_plan(console(), found)
    return found.exit_code


def show_plan(out: Console, found: Plan) -> None:
    """Each table with its columns and DDL, then what is to be made, then what is refused."""
    out.print(f"pipeline {found.pipeline}{' is new' if found.is_new else ''}")
    for note in found.notes:
        out.print(f"  [yellow]{escape(note)}[/]", soft_wrap=True)
    for table in found.tables:
        _show_table(out, table)
    for topic, partitions in found.topics.items():
        out.print(f"topic to be made: {topic}, {partitions} partitions", soft_wrap=True)
    for subject in found.subjects:
        out.print(f"subject to be registered: {subject}", soft_wrap=True)
    for refused in found.refused:
        out.print(f"[red]refused[/]: {escape(f'{refused.table} {refused.reason}')}", soft_wrap=True)
        if refused.hint:
            out.print(f"  {escape(refused.hint)}", soft_wrap=True)
    for passed in found.passed_over:
        out.print(f"passed over: {escape(f'{passed.table} {passed.reason}')}", soft_wrap=True)
    seconds = [t.seconds for t in found.tables if t.seconds is not None]
    if seconds:
        out.print(f"one worker needs about {duration(sum(seconds))} to catch up")


def _show_table(out: Console, table: TablePlan) -> None:
    cdc, log = table.cdc, table.log
    kind = "tablets" if table.tablets else "vnodes"
    images = [n for n, there in (("preimage", cdc.preimage), ("postimage", cdc.postimage)) if there]
    kept = f"log kept for {duration(cdc.ttl_seconds)}" if cdc.ttl_seconds else "log kept for ever"
    out.print(f"\n[bold]{escape(table.table)}[/]  {', '.join([kind, kept, *images])}")
    out.print(f"  {escape(table.topic)} -> {escape(', '.join(table.targets))}", soft_wrap=True)
    if log.rows is None:
        out.print("  how much log there is could not be counted in time")
    else:
        age = ""
        if log.oldest_ms is not None:
            age = f", the oldest {duration(max(wall_clock_ms() - log.oldest_ms, 0) / 1000)} old"
        about = "" if log.share == 1 else "about "
        out.print(f"  {about}{log.rows} log rows{age}")
    columns = Table("column", "kind", "CQL", "in the target", "type", box=None, padding=(0, 2))
    for each in table.columns:
        target, kind = each.target or "left out", each.postgres or ""
        columns.add_row(*map(escape, (each.column, each.kind, each.cql, target, kind)))
    out.print(columns)
    for note in table.notes:
        out.print(f"  [yellow]{escape(note)}[/]", soft_wrap=True)
    for statement in table.ddl:
        out.print(f"  {escape(statement)};", soft_wrap=True)
