"""Run: commands that move data."""

import asyncio

import click

from cdcd.cli.invocation import Invocation

STAGES = {
    "all": frozenset({"source", "sink"}),
    "source": frozenset({"source"}),
    "sink": frozenset({"sink"}),
}


@click.command(short_help="Follow the change logs of tables until stopped.")
@click.option(
    "--table",
    "patterns",
    multiple=True,
    metavar="KS.TABLE",
    help="Table to replicate; repeatable. * and ? stand for any name: 'ks.*'."
    " None: those that the pipeline has.",
)
@click.option("--name", metavar="NAME", help="The pipeline; other tables need another name.")
@click.option("--instance", metavar="NAME", help="This worker among the pipeline's workers.")
@click.option(
    "--stage",
    type=click.Choice(list(STAGES)),
    default="all",
    show_default=True,
    help="Read ScyllaDB, write PostgreSQL, or both.",
)
@click.option(
    "--start",
    type=click.Choice(["snapshot", "log", "now"]),
    default="snapshot",
    show_default=True,
    help="How a new table begins: with a copy, at the oldest change kept, or now.",
)
@click.option("--http-port", type=int, metavar="PORT", help="Port of /readyz; 0 takes a free one.")
@click.pass_obj
def run(  # noqa: PLR0913, PLR0917  click passes each option as an argument
    invocation: Invocation,
    patterns: tuple[str, ...],
    name: str | None,
    instance: str | None,
    stage: str,
    start: str,
    http_port: int | None,
) -> None:
    """Follow the change logs of tables until stopped.

    The first SIGTERM or Ctrl-C finishes what is in flight, the second stops at once.
    A restarted worker goes on where it was. SIGHUP reads the log's settings anew.
    """
    flags = {"name": name, "instance": instance, "http.port": http_port}
    settings = invocation.settings(flags, leased=False)
    # Imported late, so that --help and the other commands need no client library.
    from cdcd.pipeline import Renewal, RunRequest  # noqa: PLC0415
    from cdcd.pipeline import run as run_pipeline  # noqa: PLC0415

    invocation.ends_in_log = True
    request = RunRequest(patterns, STAGES[stage], start)
    renewal = Renewal(lambda: invocation.changed(flags), lambda: invocation.reload(flags))
    asyncio.run(run_pipeline(settings, request, renewal))
