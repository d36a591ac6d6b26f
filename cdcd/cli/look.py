"""Look: commands that change nothing."""

import asyncio
import json
from pathlib import Path

import click
from rich.table import Table

from cdcd.cli.invocation import Invocation
from cdcd.cli.show import console, show_report, show_standing
from cdcd.config.origin import Shown, origins
from cdcd.model.errors import ExitCode
from cdcd.ops.logs import redact_text, redacted

SERVICES = ("scylla", "kafka", "registry", "postgres")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command(short_help="Test connections, rights, CDC options and clocks.")
@click.option(
    "--service",
    "services",
    type=click.Choice(SERVICES),
    multiple=True,
    help="Check this one only; repeatable.",
)
@click.option(
    "--table",
    "patterns",
    multiple=True,
    metavar="KS.TABLE",
    help="Table that will be replicated; repeatable, also 'ks.*'. All when left out.",
)
@click.option(
    "--production", is_flag=True, help="Check what production asks for, and list the rest."
)
@click.option("--verbose", is_flag=True, help="Show every check and every note.")
@json_option
@click.pass_obj
def check(
    invocation: Invocation,
    services: tuple[str, ...],
    patterns: tuple[str, ...],
    production: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Test connections, rights, CDC options and clocks.

    With --production also copies, retention, encryption, passwords and needless
    rights; what no program can see is printed as a list.

    \b
    Exit code 0: all is good. 1: something was found. 2: a setting, password or
    right is wrong. 3: a check could not finish.
    """  # noqa: D301  click's mark for text to leave as it is
    settings = invocation.settings({})
    # Imported late, so that --help needs no client library.
    from cdcd.preflight.run import run  # noqa: PLC0415

    report = asyncio.run(run(settings, patterns, services or SERVICES, production=production))
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        show_report(console(), report, verbose=verbose)
    return report.exit_code


@click.command(short_help="Show position and lag of each table.")
@click.option("--name", metavar="NAME", help="The pipeline, as in `cdcd run --name`.")
@click.option("--watch", "live", is_flag=True, help="Show a running daemon, live, with rates.")
@click.option("--url", metavar="URL", help="Where that daemon is; by default where http says.")
@json_option
@click.pass_obj
def status(
    invocation: Invocation, name: str | None, live: bool, url: str | None, as_json: bool
) -> int:
    """Show position and lag of each table. No daemon needs to run.

    Read from the lanes and topics in Kafka and from the offsets in PostgreSQL.
    With --watch it is asked of a daemon each second, until Ctrl-C; with --json
    each answer is a line.
    """
    settings = invocation.settings({"name": name})
    if live or url:
        from cdcd.cli.watch import watch  # noqa: PLC0415  needs a client library, and --help does not

        asyncio.run(watch(settings.http, url, console(), as_json=as_json))
        return ExitCode.DONE
    from cdcd.cli.standing import look  # noqa: PLC0415  needs client libraries, and --help does not

    standing = asyncio.run(look(settings))
    if as_json:
        click.echo(json.dumps(standing.as_json(), indent=2))
    else:
        show_standing(console(), standing)
    for service, reason in standing.away.items():
        click.echo(f"cdcd: {service} is away: {redact_text(reason)}", err=True)
    return ExitCode.OUTSIDE if standing.away else ExitCode.DONE


@click.command(short_help="Show the settings in force and where each came from.")
@json_option
@click.pass_obj
def config(invocation: Invocation, as_json: bool) -> None:
    """Show the settings in force and where each came from; secrets are hidden."""
    settings = invocation.settings({})
    shown = origins(settings, invocation.file, invocation.flags({}))
    if as_json:
        click.echo(json.dumps({s.name: _as_json(s) for s in shown}, indent=2))
        return
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for each in shown:
        table.add_row(each.name, _text(each), each.origin)
    console().print(table)


def _as_json(shown: Shown) -> dict[str, object]:
    return {"value": _value(shown), "from": shown.origin}


def _value(shown: Shown) -> object:
    if shown.name == "postgres.dsn":
        return redact_text(shown.value.get_secret_value())
    if isinstance(shown.value, Path):
        return str(shown.value)
    return redacted(shown.name, shown.value)


def _text(shown: Shown) -> str:
    value = _value(shown)
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
