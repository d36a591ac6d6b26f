"""Repair: `cdcd offsets`, the pipeline's whole position in a file and back."""

import asyncio
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.table import Table

from cdcd.cli.control import all_option, name_option, stage_option
from cdcd.cli.invocation import Invocation
from cdcd.cli.look import json_option
from cdcd.cli.show import console
from cdcd.model.control import EVERYTHING, STAGES
from cdcd.model.errors import ConfigurationError
from cdcd.ops.audit import audit

_yes_option = click.option(
    "--yes", is_flag=True, help="Do it; without, only what it would do is shown."
)


@click.group(short_help="Keep, restore or reset where a pipeline stands.")
def offsets() -> None:
    """Keep, restore or reset where a pipeline stands.

    That is how far each table's log is read (the lanes, in Kafka) and how far its
    topic is applied (cdcd.offsets, in PostgreSQL). Nothing is written while a
    worker runs. Older positions are safe: what is read or applied again, in
    order, ends in the same rows.
    """


@offsets.command(short_help="Show where the pipeline stands.")
@name_option
@json_option
@click.pass_obj
def show(invocation: Invocation, name: str | None, as_json: bool) -> None:
    """Show where the pipeline stands, in the lanes and in PostgreSQL."""
    settings = invocation.settings({"name": name})
    # Imported late, here and below, so that --help needs no client library.
    from cdcd.cli.positions import here  # noqa: PLC0415

    found = asyncio.run(here(settings)).as_json()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    table = Table("topic", "partition", "begins", "applied up to", "ends", box=None, pad_edge=False)
    for each in found["offsets"]:
        shown = (each[n] for n in ("topic", "partition", "start", "next_offset", "end"))
        table.add_row(*("" if v is None else str(v) for v in shown))
    out = console()
    for each in found["tables"]:
        moment = datetime.fromtimestamp(each["frontier_ms"] / 1000, UTC)
        again = ", and to be read again from the oldest change" if each["from_oldest"] else ""
        out.print(f"{each['table']}: published up to {moment.isoformat(' ', 'seconds')}{again}")
    out.print(
        f"{found['requests']} requests, {found['listed']} refreshes that are not settled,"
        f" {found['fingerprints']} fingerprints in {found['lanes']} lanes"
    )
    out.print(table)


@offsets.command(short_help="Write the position to a file.")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for a file that is named by pipeline and time.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many of the pipeline's backups stay in the folder; older ones are removed.",
)
@name_option
@json_option
@click.pass_obj
def backup(
    invocation: Invocation,
    file: Path | None,
    folder: Path | None,
    keep: int | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Write the position to FILE, or to a new file in a folder.

    The workers may run. The file has a checksum, and is complete or not there.
    """
    if (file is None) == (folder is None):
        raise click.UsageError("give a file or --folder")
    if keep is not None and folder is None:
        raise click.UsageError("--keep goes with --folder")
    settings = invocation.settings({"name": name})
    from cdcd.cli.positions import here  # noqa: PLC0415
    from cdcd.transport.position_file import encode  # noqa: PLC0415

    position = asyncio.run(here(settings)).position
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    path = file or (folder or Path()) / f"{settings.name}-{moment}.json"
    _write(path, encode(position))
    removed = _prune(path.parent, settings.name, keep) if keep else []
    audit("offsets backup", settings.name, file=str(path))
    if as_json:
        shown = {"file": str(path), "removed": [str(p) for p in removed]}
        click.echo(json.dumps(shown, indent=2))
        return
    click.echo(f"{path}: {len(position.records)} records, {len(position.offsets)} offsets")
    if removed:
        click.echo(f"removed {len(removed)} older backups")


def _write(path: Path, text: str) -> None:
    """Write a file that is whole or not there."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


def _prune(folder: Path, name: str, keep: int) -> list[Path]:
    """Remove all but the newest backups of a pipeline; gives those that are gone."""
    # The name's own pattern: a pipeline's name may begin with another's.
    stamp = "[0-9]" * 8 + "T" + "[0-9]" * 12 + "Z"
    found = sorted(folder.glob(f"{name}-{stamp}.json"))
    gone = found[:-keep]
    for path in gone:
        path.unlink()
    return gone


@offsets.command(short_help="Go back to a backup.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@stage_option
@_yes_option
@name_option
@json_option
@click.pass_obj
def restore(
    invocation: Invocation,
    file: Path,
    stage: str | None,
    yes: bool,
    name: str | None,
    as_json: bool,
) -> None:
    """Go back to a backup, whole or one stage of it.

    The backup is checked first, against what the logs and topics still keep.
    Requests, refreshes and pauses that came since stay in force.
    """
    settings = invocation.settings({"name": name})
    from cdcd.cli import positions  # noqa: PLC0415
    from cdcd.transport.position_file import decode  # noqa: PLC0415

    try:
        saved = decode(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read") from error
    stages = (stage,) if stage else STAGES

    async def go() -> list[str]:
        now = await positions.here(settings)
        wrong = await positions.faults(settings, saved, now, stages)
        if wrong:
            raise ConfigurationError(
                f"nothing was restored: {'; '.join(wrong)}",
                "another backup, --stage for one side, or a new copy of the tables",
            )
        await positions.refuse_while_running(settings)
        if yes:
            await positions.restore(settings, saved, now, stages)
        return positions.consequences(saved, now, stages)

    words = asyncio.run(go())
    if yes:
        audit("offsets restore", settings.name, file=str(file), stages=list(stages))
    _told(words, yes=yes, as_json=as_json)


@offsets.command(short_help="Begin tables anew.")
@click.argument("patterns", nargs=-1, metavar="[KS.TABLE]...")
@all_option
@stage_option
@_yes_option
@name_option
@json_option
@click.pass_obj
def reset(  # noqa: PLR0913, PLR0917  click passes each option as an argument
    invocation: Invocation,
    patterns: tuple[str, ...],
    everything: bool,
    stage: str | None,
    yes: bool,
    name: str | None,
    as_json: bool,
) -> None:
    """Begin tables anew: at the oldest change of the log, and at the oldest record
    of the topic. --stage does it for one side only. A table whose log no longer
    reaches back to where it stands stops, and asks for a copy.
    """
    if bool(patterns) == everything:
        raise click.UsageError("name tables, or give --all")
    settings = invocation.settings({"name": name})
    from cdcd.cli import positions  # noqa: PLC0415

    stages = (stage,) if stage else STAGES

    async def go() -> list[str]:
        now = await positions.here(settings)
        tables = positions.tables_of(settings, now, patterns or (EVERYTHING,))
        await positions.refuse_while_running(settings)
        gaps = await positions.gaps_of(settings, now, tables, stages)
        words = positions.consequences_of_reset(settings, now, tables, stages, gaps)
        if yes:
            await positions.reset(settings, now, tables, stages, gaps)
        return words

    words = asyncio.run(go())
    if yes:
        audit("offsets reset", settings.name, tables=list(patterns) or ["*"], stages=list(stages))
    _told(words, yes=yes, as_json=as_json)


def _told(words: Sequence[str], *, yes: bool, as_json: bool) -> None:
    """Say what was done, or would be."""
    if as_json:
        click.echo(json.dumps({"done": yes, "consequences": list(words)}, indent=2))
        return
    for line in words or ["nothing changes: the pipeline stands there already"]:
        click.echo(line)
    if not yes and words:
        click.echo("nothing is changed yet: --yes does it")
