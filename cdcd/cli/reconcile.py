"""Repair: `cdcd reconcile`, which compares the target with the source."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from cdcd.cli.control import name_option
from cdcd.cli.ending import two_lines
from cdcd.cli.invocation import Invocation
from cdcd.cli.look import json_option
from cdcd.cli.show import console
from cdcd.cli.show_comparison import show_comparison, show_runs
from cdcd.model.errors import ExitCode
from cdcd.ops.audit import audit

_table_option = click.option(
    "--table",
    "patterns",
    multiple=True,
    metavar="KS.TABLE",
    help="Table to compare; repeatable, also 'ks.*'.",
)
_all_option = click.option("--all-tables", is_flag=True, help="Every table of the pipeline.")
_repair_option = click.option(
    "--repair", is_flag=True, help="Refresh rows that differ; a preview without --yes."
)
_yes_option = click.option("--yes", is_flag=True, help="Do what --repair would do.")


@click.group(short_help="Compare the target with the source, and repair it.")
def reconcile() -> None:
    """Compare the target with the source, and repair it.

    Works beside the running daemon, whose lanes serve the repair. A row counts as
    different only when it stays so after all that was read has been applied, and
    after late changes have been looked for: that takes about a minute.

    \b
    Exit code 0: equal, or equal after repair. 1: differences remain, or were only
    previewed. 3: could not finish: no daemon runs, or not with every table.
    """  # noqa: D301  click's mark for text to leave as it is


_SPAN = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Since(click.ParamType[int]):
    """A span back from now, or a moment; gives milliseconds since 1970."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read `90m` or an ISO 8601 time, which is UTC unless it says otherwise."""
        now = datetime.now(UTC)
        found = _SPAN.fullmatch(value)
        if found:
            moment = now - timedelta(seconds=int(found[1]) * _UNITS[found[2]])
        else:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                self.fail(f"{value!r} is neither a span as 90m, 6h, 2d nor a time", param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        if moment >= now:
            self.fail(f"{value!r} is not in the past", param, ctx)
        return int(moment.timestamp() * 1000)


def _compare(invocation: Invocation, name: str | None, options: dict[str, Any]) -> int:
    patterns, all_tables = options["patterns"], options["all_tables"]
    if bool(patterns) == all_tables:
        raise click.UsageError("give --table or --all-tables")
    if options.get("yes") and not options.get("repair"):
        raise click.UsageError("--yes goes with --repair")
    settings = invocation.settings({"name": name})
    # Imported late, so that --help needs no client library.
    from cdcd.reconcile.run import Wanted  # noqa: PLC0415
    from cdcd.reconcile.run import reconcile as run  # noqa: PLC0415

    wanted = Wanted(
        patterns,
        repair=bool(options.get("yes")),
        since_ms=options.get("since"),
    )
    if wanted.repair:
        audit("reconcile --repair", settings.name, tables=list(patterns) or ["*"])
    outcome = asyncio.run(run(settings, wanted))
    if options["as_json"]:
        click.echo(json.dumps(outcome.as_json(), indent=2))
    else:
        show_comparison(console(), outcome, preview=bool(options.get("repair")))
    for failed in outcome.failed:
        what = failed.message
        two_lines(what if failed.table in what else f"{failed.table}: {what}", failed.hint)
    return outcome.exit_code


@reconcile.command(short_help="Compare every row.")
@name_option
@_table_option
@_all_option
@_repair_option
@_yes_option
@json_option
@click.pass_obj
def full(invocation: Invocation, /, name: str | None, **options: Any) -> int:
    """Compare every row of the tables."""
    return _compare(invocation, name, options)


@reconcile.command(short_help="Compare rows that were changed lately.")
@name_option
@_table_option
@_all_option
@click.option(
    "--since",
    type=Since(),
    required=True,
    metavar="WHEN",
    help="How far back: 90m, 6h, 2d, or a time (ISO 8601).",
)
@_repair_option
@_yes_option
@json_option
@click.pass_obj
def incremental(invocation: Invocation, /, name: str | None, **options: Any) -> int:
    """Compare only the rows that the log says were changed since a time.

    The log keeps changes for as long as the table's CDC option ttl says.
    """
    return _compare(invocation, name, options)


@reconcile.command(short_help="Compare every row; never repairs.")
@name_option
@_table_option
@_all_option
@json_option
@click.pass_obj
def verify(invocation: Invocation, /, name: str | None, **options: Any) -> int:
    """Compare every row of the tables. Only the result is written down."""
    return _compare(invocation, name, options)


@reconcile.command(short_help="Show the latest comparison of each table.")
@name_option
@json_option
@click.pass_obj
def status(invocation: Invocation, name: str | None, as_json: bool) -> int:
    """Show the latest comparison of each table."""
    settings = invocation.settings({"name": name})
    from cdcd.reconcile.ledger import look  # noqa: PLC0415

    runs = asyncio.run(look(settings.postgres, settings.name))
    if as_json:
        click.echo(json.dumps({"tables": runs}, indent=2))
    else:
        show_runs(console(), runs)
    return ExitCode.DONE
