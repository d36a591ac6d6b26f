"""Run: commands that tell a running pipeline what to do; every worker follows."""

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from cdcd.cli.invocation import Invocation
from cdcd.cli.look import json_option
from cdcd.cli.show import duration
from cdcd.config.settings import Settings
from cdcd.model.control import (
    EVERYTHING,
    SOURCE,
    STAGES,
    Control,
    paused,
    resumed,
    with_tables,
    without_tables,
)
from cdcd.model.errors import ConfigurationError, Transient
from cdcd.ops.audit import audit, user
from cdcd.ops.board import wall_clock_ms
from cdcd.ops.retry import Backoff, retrying

if TYPE_CHECKING:  # it needs client libraries, and --help does not
    from cdcd.source.catalog import Catalog

Change = Callable[[Control], Control]

# How long a command waits for another one that writes at the same time.
WRITE_SECONDS_MAX = 15.0

name_option = click.option("--name", metavar="NAME", help="The pipeline, as in `cdcd run --name`.")
stage_option = click.option(
    "--stage", type=click.Choice(STAGES), help="Only reading ScyllaDB, or only writing PostgreSQL."
)
all_option = click.option("--all", "everything", is_flag=True, help="All tables.")


@click.group(short_help="Show or change which tables a running pipeline has.")
def tables() -> None:
    """Show or change which tables a running pipeline has.

    The set is kept in Kafka, and every worker follows it without a restart.
    """


@tables.command("list")
@name_option
@json_option
@click.pass_obj
def list_tables(invocation: Invocation, name: str | None, as_json: bool) -> None:
    """Show the pipeline's set of tables, and what is paused."""
    settings = invocation.settings({"name": name})
    _show(settings, asyncio.run(_read(settings)), as_json=as_json)


@tables.command()
@click.argument("patterns", nargs=-1, required=True, metavar="KS.TABLE...")
@name_option
@json_option
@click.pass_obj
def add(invocation: Invocation, patterns: tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Add tables to the pipeline. * and ? stand for any name: 'ks.*'.

    A new table begins with a copy. Where the workers run with `--start log` or
    `--start now` it is read from the oldest change that its log keeps instead,
    and `cdcd backfill` copies what is older.
    """
    settings = invocation.settings({"name": name})
    asyncio.run(_find(settings, patterns))
    before, after = _change(settings, lambda control: with_tables(control, patterns))
    if before != after:
        audit("tables add", settings.name, tables=list(patterns))
    _show(settings, after, as_json=as_json)


@tables.command()
@click.argument("patterns", nargs=-1, required=True, metavar="KS.TABLE...")
@click.option("--yes", is_flag=True, help="Do it; without, only what it would do is shown.")
@name_option
@json_option
@click.pass_obj
def remove(
    invocation: Invocation,
    patterns: tuple[str, ...],
    yes: bool,
    name: str | None,
    as_json: bool,
) -> None:
    """Remove tables from the pipeline, as they stand in its set.

    They are followed no more. Their topics, their targets and their positions
    stay: added again, a table goes on where it was, if its log still knows.
    """
    settings = invocation.settings({"name": name})
    before = asyncio.run(_read(settings))
    after = without_tables(before, patterns)
    stops = asyncio.run(_stops(settings, before, after))
    if yes:
        before, after = _change(settings, lambda control: without_tables(control, patterns))
        audit("tables remove", settings.name, tables=list(patterns))
    if as_json:
        _print_json({**_as_json(settings, after if yes else before), "stops": stops, "done": yes})
        return
    for table, topic in stops.items():
        target = f"{settings.postgres.target_schema}.{table.partition('.')[2]}"
        verb = "stops" if yes else "would stop"
        click.echo(f"{table} {verb}; its topic {topic} and its target {target} stay")
    if yes:
        _show(settings, after, as_json=False)
    else:
        click.echo(f"nothing is changed yet: --yes removes {' '.join(patterns)}")


@click.command(short_help="Let tables stand still; nothing is lost.")
@click.argument("patterns", nargs=-1, metavar="[KS.TABLE...]")
@all_option
@stage_option
@name_option
@json_option
@click.pass_obj
def pause(
    invocation: Invocation,
    patterns: tuple[str, ...],
    everything: bool,
    stage: str | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Let tables stand still until `cdcd resume`. Every worker follows.

    Nothing is lost for as long as the table's log, or for --stage sink its topic,
    keeps what was not read. `cdcd status` shows how long that is.
    """
    settings = invocation.settings({"name": name})
    wanted, stages = _wanted(patterns, everything=everything), (stage,) if stage else STAGES
    by = f"{user()}@{socket.gethostname()}"
    before, after = _change(settings, lambda c: paused(c, wanted, stages, wall_clock_ms(), by))
    if before != after:
        audit("pause", settings.name, tables=list(wanted), stages=list(stages))
    kept = asyncio.run(_kept(settings, wanted)) if SOURCE in stages else {}
    if as_json:
        _print_json({**_as_json(settings, after), "log_seconds": kept})
        return
    _show(settings, after, as_json=False)
    for table, seconds in kept.items():
        click.echo(f"  {table}: its log keeps changes for {duration(seconds)}")


@click.command(short_help="Let paused tables go on.")
@click.argument("patterns", nargs=-1, metavar="[KS.TABLE...]")
@all_option
@stage_option
@name_option
@json_option
@click.pass_obj
def resume(
    invocation: Invocation,
    patterns: tuple[str, ...],
    everything: bool,
    stage: str | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Let paused tables go on where they stopped. Tables are named as they were
    when they were paused; --all ends every pause.
    """
    settings = invocation.settings({"name": name})
    wanted, stages = _wanted(patterns, everything=everything), (stage,) if stage else STAGES
    before, after = _change(settings, lambda control: resumed(control, wanted, stages))
    if before != after:
        audit("resume", settings.name, tables=list(wanted), stages=list(stages))
    if as_json:
        _print_json(_as_json(settings, after))
        return
    if before == after:
        click.echo("it was not paused")
    _show(settings, after, as_json=False)


def _wanted(patterns: tuple[str, ...], *, everything: bool) -> tuple[str, ...]:
    if everything == bool(patterns):
        raise click.UsageError("name tables, or give --all")
    return (EVERYTHING,) if everything else patterns


def _change(settings: Settings, change: Change) -> tuple[Control, Control]:
    """Write the change, and try again while another command writes. Raises Transient or Fatal."""
    from cdcd.transport.control import change_control  # noqa: PLC0415  needs a client library

    async def once() -> tuple[Control, Control]:
        return await change_control(settings.kafka, settings.name, change)

    return asyncio.run(retrying(once, Backoff(), limit_seconds=WRITE_SECONDS_MAX))


async def _read(settings: Settings) -> Control:
    from cdcd.transport.control import read_control  # noqa: PLC0415  needs a client library
    from cdcd.transport.topics import Topics, lanes_topic  # noqa: PLC0415

    control = None
    if lanes_topic(settings.name) in await Topics(settings.kafka).partitions():
        control = await read_control(settings.kafka, settings.name)
    if control is None:
        hint = "see `name` in `cdcd config`"
        raise ConfigurationError(f"there is no pipeline {settings.name}", hint)
    return control


async def _find(settings: Settings, patterns: tuple[str, ...]) -> "Catalog":
    """What the patterns mean now. Raises ConfigurationError for a table that cannot be followed."""
    from cdcd.source.catalog import find, read_schema  # noqa: PLC0415  needs a client library
    from cdcd.source.session import Session  # noqa: PLC0415

    async with Session.open(settings.scylla) as session:
        catalog = find(await read_schema(session), patterns)
    catalog.require(patterns)
    return catalog


async def _kept(settings: Settings, patterns: tuple[str, ...]) -> dict[str, int]:
    """Seconds that the tables' logs keep a change; nothing where ScyllaDB cannot be asked."""
    try:
        catalog = await _find(settings, patterns)
    except (Transient, ConfigurationError):
        return {}
    found = {name: table.options.ttl_seconds for name, table in catalog.tables.items()}
    return {name: seconds for name, seconds in found.items() if seconds}


async def _stops(settings: Settings, before: Control, after: Control) -> dict[str, str]:
    """The topic of each table that has one and would be followed no more."""
    from cdcd.transport.topics import Topics, table_of_topic  # noqa: PLC0415

    topics = await Topics(settings.kafka).partitions()
    named = {table: topic for topic in topics if (table := table_of_topic(settings.name, topic))}
    left = {t: topic for t, topic in named.items() if before.wants(t) and not after.wants(t)}
    return dict(sorted(left.items()))


def _as_json(settings: Settings, control: Control) -> dict[str, Any]:
    pauses = [
        {"tables": p.pattern, "stage": p.stage, "since_ms": p.since_ms, "by": p.by}
        for p in control.pauses
    ]
    return {"pipeline": settings.name, "tables": list(control.tables), "paused": pauses}


def _print_json(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2))


def _show(settings: Settings, control: Control, *, as_json: bool) -> None:
    if as_json:
        _print_json(_as_json(settings, control))
        return
    click.echo(f"pipeline {settings.name}: {' '.join(control.tables)}")
    now_ms = wall_clock_ms()
    for each in control.pauses:
        since = duration(max(now_ms - each.since_ms, 0) / 1000)
        click.echo(f"  {each.stage} of {each.pattern} is paused since {since} by {each.by}")
