"""Try: `cdcd bench`, how fast it is here."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cdcd.bench.picture import picture
from cdcd.bench.profiles import PROFILES, Profile
from cdcd.bench.report import Report
from cdcd.cli.drill import keep_option, yes_option
from cdcd.cli.invocation import Invocation
from cdcd.cli.look import json_option
from cdcd.cli.show import console
from cdcd.config.settings import Settings
from cdcd.drill.place import Place
from cdcd.model.errors import ConfigurationError, ExitCode
from cdcd.ops.audit import audit
from cdcd.ops.logs import redact_text

_MIB = 2**20


@click.command(short_help="Measure how fast it is on these servers.")
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="small",
    show_default=True,
    help="How much: small is over in a minute; large is a busy table; stress doubles the rate "
    "until it is too much.",
)
@click.option(
    "--picture",
    "picture_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg",
    help="Draw each sampled change's latency.",
)
@keep_option
@yes_option
@json_option
@click.pass_obj
def bench(
    invocation: Invocation,
    profile: str,
    picture_file: Path | None,
    keep: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Measure how fast a pipeline is on the servers that the settings name.

    A backlog is written and caught up with, then changes come at a steady rate, and
    some of them are timed from their acknowledged write to their row in PostgreSQL.
    Table, pipeline and worker are its own and are taken away at the end. The other
    users of these servers feel the load: begin with the small profile.

    \b
    Exit code 0: measured. 3: could not go on.
    """  # noqa: D301  click's mark for text to leave as it is
    # Imported late, so that --help needs no client library.
    from cdcd.bench.ground import new_place  # noqa: PLC0415
    from cdcd.bench.run import bench as run  # noqa: PLC0415

    chosen, place = PROFILES[profile], new_place()
    settings = invocation.settings({"name": place.pipeline, "postgres.target_schema": place.schema})
    names = {"pipeline": place.pipeline, "table": place.full_name, "schema": place.schema}
    if not yes:
        if as_json:
            click.echo(json.dumps({"profile": profile, **names, "done": False}))
        else:
            _preview(console(), chosen, place, settings)
        return ExitCode.DONE
    audit("bench", place.pipeline, profile=profile)
    with Meter(quiet=as_json) as tell:
        report = asyncio.run(run(settings, chosen, place, invocation.file, tell, keep=keep))
    if picture_file is not None:
        _draw(report, picture_file)
    if as_json:
        click.echo(json.dumps({**report.as_json(), **names, "done": True}, indent=2))
    else:
        _show(console(), report)
    return ExitCode.DONE


class Meter:
    """Shows what is going on: a bar on a terminal, a line for each part elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._progress: Progress | None = None
        self._said = ""

    def __enter__(self) -> Callable[[str, float | None], None]:
        out = Console(stderr=True)
        if out.is_terminal and not self._quiet:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._progress = Progress(*columns, console=out, transient=True)
            self._progress.start()
        return self._tell

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _tell(self, what: str, share: float | None) -> None:
        is_new, self._said = what != self._said, what
        if self._progress is None:
            if is_new and not self._quiet:
                click.echo(what, err=True)
            return
        if is_new:
            for task in self._progress.task_ids:
                self._progress.remove_task(task)
            self._progress.add_task(what, total=None if share is None else 1.0)
        if share is not None:
            self._progress.update(self._progress.task_ids[-1], completed=share)


def _draw(report: Report, file: Path) -> None:
    try:
        file.write_text(picture(report), "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None


def _preview(out: Console, profile: Profile, place: Place, settings: Settings) -> None:
    """What it would make, and how much it would write."""
    scylla, kafka = ",".join(settings.scylla.hosts), settings.kafka.bootstrap_servers
    postgres = redact_text(settings.postgres.dsn.get_secret_value())
    steps = profile.steps
    rates = f"{steps[0].rate_per_second:,} changes/s for {steps[0].seconds} s"
    if len(steps) > 1:
        rates += f", then twice as many, up to {steps[-1].rate_per_second:,}, until it is too much"
    backlog = f"a backlog of {profile.backlog_changes:,} changes"
    lines = [
        f"bench {profile.name}, which {profile.does}: {backlog}, then {rates}",
        f"  ScyllaDB    {scylla}: table {place.full_name} is made, written to, and dropped",
        f"  Kafka       {kafka}: topics and groups {place.pipeline}.*",
        f"  registry    {settings.registry.url}: the subjects of these topics",
        f"  PostgreSQL  {postgres}: schema {place.schema}, and this pipeline's rows in schema cdcd",
        "  here        one cdcd run, whose processor time and memory are measured",
        "nothing is done yet: --yes measures",
    ]
    for line in lines:
        out.print(escape(line), soft_wrap=True)


def _show(out: Console, report: Report) -> None:
    caught = None if report.caught is None else report.caught.as_json()
    if caught:
        out.print(
            f"backlog: {caught['changes']:,} changes in {caught['seconds']:g} s,"
            f" [bold]{caught['changes_per_second']:,} changes/s[/]{_cpu(caught)};"
            f" the worker was ready {caught['start_seconds']:g} s after its start"
        )
    table = Table(box=None, pad_edge=False)
    for title in ("wanted/s", "written/s", "half within", "95 of 100", "99 of 100", "all", ""):
        table.add_column(title, justify="right")
    for each in report.held:
        step = each.as_json()
        waits = [step[f"{name}_seconds"] for name in ("p50", "p95", "p99", "max")]
        table.add_row(
            f"{step['rate_per_second']:,}",
            f"{step['written_per_second']:,}",
            *("-" if wait is None else f"{wait:.3f} s" for wait in waits),
            "" if each.kept_up else "[yellow]too much[/]",
        )
    out.print(table)
    memory = "" if report.peak_memory is None else f"{report.peak_memory // _MIB} MiB of memory, "
    out.print(f"{memory}{report.cores} cores here, load {report.load:g} before it began")


def _cpu(caught: dict[str, object]) -> str:
    each = caught["cpu_us_per_change"]
    return "" if each is None else f", {each} µs of processor each"
