"""The command line: what `cdcd` takes, and how it ends."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from cdcd import __version__
from cdcd.cli.backfill import backfill
from cdcd.cli.bench import bench
from cdcd.cli.certs import certs
from cdcd.cli.completion import answer, completion
from cdcd.cli.control import pause, resume, tables
from cdcd.cli.dlq import dlq
from cdcd.cli.drill import drill
from cdcd.cli.ending import report
from cdcd.cli.invocation import Invocation
from cdcd.cli.latency import latency
from cdcd.cli.look import check, config, status
from cdcd.cli.offsets import offsets
from cdcd.cli.plan import plan
from cdcd.cli.reconcile import reconcile
from cdcd.cli.run import run
from cdcd.config.origin import file_of
from cdcd.model.errors import ExitCode

SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Run": (run, backfill, tables, pause, resume),
    "Look, changes nothing": (plan, check, status, latency, config, completion),
    "Repair": (reconcile, dlq, offsets),
    "Try": (bench, drill, certs),
}


class CourageGroup(click.Group):
    """Lists commands by how much courage they take."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section for each group."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(c.name or "", c.get_short_help_str(formatter.width)) for c in commands]
                )


@click.group(cls=CourageGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    "file",
    type=click.Path(path_type=Path),
    envvar="CDCD_CONFIG",
    metavar="FILE",
    help="TOML file with settings (CDCD_CONFIG); else cdcd.toml, if it is here.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log at level debug.")
@click.version_option(__version__, message="cdcd %(version)s")
@click.pass_obj
def cli(invocation: Invocation, file: Path | None, verbose: bool) -> None:
    """Streams ScyllaDB's change log through Kafka into PostgreSQL, exactly once.

    \b
    Settings: flag before environment (CDCD_SCYLLA__PORT) before file.
    Exit codes: 0 done; 1 done, and something was found; 2 usage or settings;
    3 something outside is away, try again; 4 an invariant broke.
    """  # noqa: D301  click's mark for text to leave as it is
    # Once: what is read again later, on SIGHUP, is the same file.
    invocation.file, invocation.verbose = file_of(file), verbose


for _commands in SECTIONS.values():
    for _command in _commands:
        cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code. Nothing escapes as a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    invocation = Invocation()
    completed = answer(cli)
    if completed is not None:
        return completed
    try:
        with cli.make_context("cdcd", given, obj=invocation) as context:
            code = cli.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except BaseException as error:  # noqa: BLE001  the last line of defence; nothing goes on after it
        return report(error, invocation)
    return code if isinstance(code, int) else ExitCode.DONE
