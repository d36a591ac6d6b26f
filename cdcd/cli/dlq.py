"""Repair: `cdcd dlq`, for changes that PostgreSQL refused."""

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from cdcd.cli.invocation import Invocation
from cdcd.cli.look import json_option
from cdcd.cli.show import console, moment
from cdcd.config.settings import Settings
from cdcd.model.dead_letter import State
from cdcd.model.errors import ExitCode
from cdcd.ops.audit import audit

if TYPE_CHECKING:  # they need client libraries, and --help does not
    from cdcd.dlq.desk import Listing
    from cdcd.dlq.store import Choice, Count, Entry

REASONS = ("unstorable", "data", "constraint", "trigger", "limit")

name_option = click.option("--name", metavar="NAME", help="The pipeline, as in `cdcd run --name`.")
table_option = click.option(
    "--table", "tables", multiple=True, metavar="KS.TABLE", help="Of this table only; repeatable."
)
reason_option = click.option(
    "--reason", type=click.Choice(REASONS), help="Refused for this reason only."
)
yes_option = click.option("--yes", is_flag=True, help="Do it; without this it is only shown.")
numbers_argument = click.argument("numbers", nargs=-1, type=click.IntRange(min=1))


@click.group(short_help="List, show, replay or drop refused changes.")
def dlq() -> None:
    """List, show, replay or drop changes that PostgreSQL refused.

    A refused change is a dead letter: its row in the target may be absent or old.
    Mend the cause, then replay: the row is read from ScyllaDB anew.
    """


@dlq.command("list", short_help="List dead letters and why they were refused.")
@name_option
@table_option
@reason_option
@click.option("--all", "closed", is_flag=True, help="Those that are closed, too.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="List so many one by one; all are counted.",
)
@json_option
@click.pass_obj
def list_letters(  # noqa: PLR0913, PLR0917  click passes each option as an argument
    invocation: Invocation,
    name: str | None,
    tables: tuple[str, ...],
    reason: str | None,
    closed: bool,
    limit: int,
    as_json: bool,
) -> int:
    """List dead letters and why they were refused. No daemon needs to run.

    Exit code 1 says that some wait.
    """
    from cdcd.dlq import desk  # noqa: PLC0415  needs client libraries, and --help does not

    settings = invocation.settings({"name": name})
    choice = _choice(settings, (), tables, reason, closed=closed)
    listing = asyncio.run(desk.look(settings, choice, limit))
    if as_json:
        click.echo(json.dumps(listing.as_json(), indent=2))
    else:
        _show_listing(listing)
    waits = any(each.state in (State.OPEN, State.REQUESTED) for each in listing.summary)
    return ExitCode.FOUND if waits else ExitCode.DONE


@dlq.command(short_help="Show one dead letter, and with --values its record.")
@click.argument("number", type=click.IntRange(min=1))
@name_option
@click.option("--values", is_flag=True, help="Decode the record, with the values of its row.")
@json_option
@click.pass_obj
def show(
    invocation: Invocation, number: int, name: str | None, values: bool, as_json: bool
) -> None:
    """Show one dead letter, and with --values its record."""
    from cdcd.dlq import desk  # noqa: PLC0415

    settings = invocation.settings({"name": name})
    choice = _choice(settings, (number,), (), None, closed=True)
    found = asyncio.run(desk.show(settings, choice, values=values))
    if values:
        audit("dlq show", settings.name, number=number, table=found["table"])
    if as_json:
        click.echo(json.dumps(found, indent=2, default=_hex))
        return
    for field, value in found.items():
        plain = value if isinstance(value, str) else json.dumps(value, indent=2, default=_hex)
        shown = moment(value) if field.endswith("_ms") else "" if value is None else plain
        click.echo(f"{field.removesuffix('_ms'):12}{shown}")


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _changing(about: str) -> Callable[[Callable[..., Any]], click.Command]:
    """The options that `replay` and `drop` share."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        for option in (
            click.pass_obj,
            json_option,
            yes_option,
            click.option("--all", "everything", is_flag=True, help="Every dead letter that waits."),
            reason_option,
            table_option,
            name_option,
            numbers_argument,
        ):
            function = option(function)
        return dlq.command(short_help=about)(function)

    return decorate


@_changing("Have the rows of dead letters read from ScyllaDB anew.")
def replay(invocation: Invocation, **given: Any) -> None:
    """Have the rows of dead letters read from ScyllaDB anew.

    NUMBERS are those of `cdcd dlq list`. The daemon, now or once it runs again,
    applies the rows and then closes their letters as replayed. A row that is
    refused again is a new dead letter, and the old one is superseded.
    """
    from cdcd.dlq import desk  # noqa: PLC0415

    _change(invocation, given, desk.replay, ("replay", "asked for"))


@_changing("Close dead letters without replaying them.")
def drop(invocation: Invocation, **given: Any) -> None:
    """Close dead letters without replaying them.

    NUMBERS are those of `cdcd dlq list`. The rows stay as they are in the target.
    """
    from cdcd.dlq import desk  # noqa: PLC0415

    _change(invocation, given, desk.drop, ("drop", "dropped"))


def _change(
    invocation: Invocation, given: dict[str, Any], do: Callable[..., Any], words: tuple[str, str]
) -> None:
    from cdcd.dlq import desk  # noqa: PLC0415

    if not (given["numbers"] or given["tables"] or given["reason"] or given["everything"]):
        raise click.UsageError(f"say which to {words[0]}: numbers, --table, --reason or --all")
    settings = invocation.settings({"name": given["name"]})
    choice = _choice(settings, given["numbers"], given["tables"], given["reason"])
    listing = asyncio.run(desk.look(settings, choice, 0))
    done = asyncio.run(do(settings, choice)) if given["yes"] and listing.count else 0
    if done:
        tables = sorted({each.table for each in listing.summary})
        audit(f"dlq {words[0]}", settings.name, letters=done, tables=tables)
    if given["as_json"]:
        summary = [each.as_json() for each in listing.summary]
        click.echo(json.dumps({"count": listing.count, "done": done, "summary": summary}, indent=2))
        return
    _show_summary(listing.summary)
    if not listing.count:
        click.echo("no dead letter that waits is meant")
    elif given["yes"]:
        click.echo(f"{done} {words[1]}")
    else:
        click.echo(f"{listing.count} to {words[0]}; do it with --yes")


def _choice(
    settings: Settings,
    numbers: tuple[int, ...],
    tables: tuple[str, ...],
    reason: str | None,
    *,
    closed: bool = False,
) -> "Choice":
    from cdcd.dlq.store import WAITING, Choice  # noqa: PLC0415

    return Choice(settings.name, numbers, tables, reason, tuple(State) if closed else WAITING)


def _show_listing(listing: "Listing") -> None:
    _show_summary(listing.summary)
    if not listing.count:
        click.echo("no dead letters")
    if not listing.letters:
        return
    console().print()
    table = Table(box=None, pad_edge=False)
    for title in ("number", "table", "refused by", "record", "refused at", "state"):
        table.add_column(title, overflow="fold")
    for letter in listing.letters:
        table.add_row(*map(escape, _cells(letter)))
    console().print(table)
    if len(listing.letters) < listing.count:
        click.echo(f"{listing.count - len(listing.letters)} more; see --limit and --table")


def _cells(letter: "Entry") -> tuple[str, ...]:
    place = f"{letter.partition}/{letter.offset}"
    rejected = moment(letter.rejected_ms)
    return (
        str(letter.number),
        letter.table,
        letter.refusal.message,
        place,
        rejected,
        letter.state.value,
    )


def _show_summary(counts: "list[Count]") -> None:
    if not counts:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("letters", justify="right")
    for title in ("table", "reason", "refused by", "state"):
        table.add_column(title, overflow="fold")
    for each in counts:
        cells = (each.table, each.refusal.reason, each.refusal.message, each.state.value)
        table.add_row(str(each.letters), *map(escape, cells))
    console().print(table)
