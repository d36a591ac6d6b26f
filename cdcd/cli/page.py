"""Makes `docs/CLI.md` from the commands' help texts: `python -m cdcd.cli.page`."""

import sys

import click

from cdcd.cli.main import SECTIONS, cli
from cdcd.model.errors import ExitCode

_MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.FOUND: "done, and something was found",
    ExitCode.CONFIGURATION: "usage or settings: a restart does not mend it",
    ExitCode.OUTSIDE: "could not go on, because of something outside or a stalled stage: restart",
    ExitCode.INVARIANT: "an invariant broke, which is a bug: do not restart blindly",
}

_HEAD = """# The command line

Failures are a line or two on stderr: what happened, and what to do about it. A bug's traceback goes
to a file that only you can read, and to stderr with `--verbose`. `cdcd run` writes its last words
to its log, so that they are found where the others are.

| exit code | meaning |
|---|---|
"""

_AGAIN = """
After `cdcd run`, systemd's unit goes by these; Kubernetes and compose start a worker again whatever
its code: [what to do then](RUNBOOK.md#cdcddown).
"""

_FOOT = """
This page is made from the commands' help texts with `python -m cdcd.cli.page`.
"""


def page() -> str:
    """The page's text."""
    codes = [f"| {int(code)} | {_MEANINGS[code]} |\n" for code in ExitCode]
    parts = [_HEAD, *codes, _AGAIN, _help(cli, "cdcd", 2, deep=False)]
    for title, commands in SECTIONS.items():
        parts.append(f"\n## {title}\n")
        parts += [_help(command, f"cdcd {command.name}", 3) for command in commands]
    return "".join([*parts, _FOOT])


def _help(command: click.Command, path: str, depth: int, *, deep: bool = True) -> str:
    context = click.Context(command, info_name=path, terminal_width=80, color=False)
    context.help_option_names = ["-h", "--help"]
    text = f"\n{'#' * depth} `{path}`\n\n```text\n{command.get_help(context)}\n```\n"
    if deep and isinstance(command, click.Group):
        commands = command.commands.items()
        text += "".join(_help(each, f"{path} {name}", depth + 1) for name, each in commands)
    return text


if __name__ == "__main__":
    sys.stdout.write(page())
