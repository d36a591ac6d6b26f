"""Try: `cdcd drill`, trouble that is made on purpose, and what came of it."""

import asyncio
import json
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from cdcd.cli.invocation import Invocation
from cdcd.cli.look import json_option
from cdcd.cli.show import console
from cdcd.config.settings import Settings
from cdcd.drill.kinds import KINDS, Kind
from cdcd.drill.needs import meet
from cdcd.drill.outcome import Outcome
from cdcd.drill.place import Place
from cdcd.drill.stack import FILE
from cdcd.model.errors import ExitCode
from cdcd.ops.audit import audit
from cdcd.ops.logs import redact_text

DIFFERENT_SHOWN_MAX = 20


keep_option = click.option("--keep", is_flag=True, help="Leave table, topics and rows there.")
yes_option = click.option(
    "--yes", is_flag=True, help="Do it; without, it is only said what would be done."
)


@click.command(short_help="Make trouble on purpose, and see that nothing is lost.")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="How often.")
@click.option(
    "--rate",
    type=click.IntRange(1, 100_000),
    default=200,
    show_default=True,
    metavar="N",
    help="Changes that are written each second meanwhile.",
)
@click.option(
    "--stack",
    type=click.Path(path_type=Path),
    default=FILE,
    show_default=True,
    metavar="FILE",
    help="The local stack, for kinds that disturb servers.",
)
@keep_option
@yes_option
@json_option
@click.pass_obj
def drill(  # noqa: PLR0913, PLR0917  click passes each option as an argument
    invocation: Invocation,
    kind: str,
    rounds: int,
    rate: int,
    stack: Path,
    keep: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Make trouble on purpose while changes are written, and see that nothing is lost.

    A drill has a table, a pipeline and workers of its own on the settings' servers,
    and takes them away; other pipelines are not touched. Kinds that disturb servers
    are for the local stack alone. In the end the topic has each log row once, and the
    target the source's rows. Recoveries are timed.

    \b
    Exit code 0: nothing lost or twice. 1: something was. 3: could not go on.
    """  # noqa: D301  click's mark for text to leave as it is
    chosen = KINDS[kind]
    place = Place.new(chosen)
    settings = invocation.settings({"name": place.pipeline, "postgres.target_schema": place.schema})
    local = meet(chosen, stack, settings)
    names = {"pipeline": place.pipeline, "table": place.full_name, "schema": place.schema}
    if not yes:
        if as_json:
            click.echo(json.dumps({"drill": kind, "rounds": rounds, **names, "done": False}))
        else:
            _preview(console(), chosen, place, settings, rounds)
        return ExitCode.DONE
    # Imported late, so that --help needs no client library.
    from cdcd.drill.ground import Request  # noqa: PLC0415
    from cdcd.drill.run import drill as run  # noqa: PLC0415

    audit("drill", place.pipeline, kind=kind, rounds=rounds)
    request = Request(chosen, place, rounds, rate, invocation.file, keep, local)
    outcome = asyncio.run(run(settings, request, lambda text: click.echo(text, err=True)))
    if as_json:
        click.echo(json.dumps({**outcome.as_json(), **names, "done": True}, indent=2))
    else:
        _show(console(), outcome)
    return outcome.exit_code


def _preview(out: Console, kind: Kind, place: Place, settings: Settings, rounds: int) -> None:
    """What it would make, and where."""
    scylla, kafka = ",".join(settings.scylla.hosts), settings.kafka.bootstrap_servers
    disturbed = "servers of the local stack are" if kind.needs_stack else "nothing else is"
    postgres = redact_text(settings.postgres.dsn.get_secret_value())
    lines = [
        f"drill {kind.name}, {rounds} rounds, each of which {kind.does}",
        f"  ScyllaDB    {scylla}: table {place.full_name} is made, written to, and dropped",
        f"  Kafka       {kafka}: topics and groups {place.pipeline}.*",
        f"  registry    {settings.registry.url}: the subjects of these topics",
        f"  PostgreSQL  {postgres}: schema {place.schema}, and this pipeline's rows in schema cdcd",
        f"  here        {kind.workers} x cdcd run, and {disturbed} disturbed",
        "nothing is done yet: --yes holds the drill",
    ]
    for line in lines:
        out.print(escape(line), soft_wrap=True)


def _show(out: Console, outcome: Outcome) -> None:
    """The verdict in a few lines."""
    verdict = outcome.verdict
    rounds = len(outcome.recoveries_seconds)
    out.print(
        f"{outcome.drill}: {rounds} rounds, {verdict.changes} changes,"
        f" {verdict.lost} lost, {verdict.doubled} twice, {len(verdict.different)} rows different"
    )
    for line in verdict.different[:DIFFERENT_SHOWN_MAX]:
        out.print(f"  {escape(line)}", soft_wrap=True)
    if rounds:
        shares = (("half", 0.5), ("95 of 100", 0.95), ("all", 1.0))
        times = [f"{title} within {outcome.recovery_seconds(share)} s" for title, share in shares]
        out.print(f"recovered since {KINDS[outcome.drill].timed}: {', '.join(times)}")
    if outcome.stuck:
        out.print(f"[red]{escape(outcome.stuck)}[/]", soft_wrap=True)
