"""Completion of commands and options in shells.

A shell asks by running `cdcd` with a variable set; `cdcd completion` prints what makes it ask.
"""

import os

import click
from click.shell_completion import get_completion_class, shell_complete

SHELLS = ("bash", "fish", "zsh")

_VARIABLE = "_CDCD_COMPLETE"


def answer(cli: click.Command) -> int | None:
    """Print the answer when a shell asks for one, and give the exit code; None when none does."""
    asked = os.environ.get(_VARIABLE)
    return shell_complete(cli, {}, "cdcd", _VARIABLE, asked) if asked else None


@click.command(short_help="Print what makes a shell complete cdcd.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete cdcd's commands and options.

    \b
    bash  in ~/.bashrc: eval "$(cdcd completion bash)"
    fish  cdcd completion fish > ~/.config/fish/completions/cdcd.fish
    zsh   in ~/.zshrc, behind compinit: eval "$(cdcd completion zsh)"
    """  # noqa: D301  click's mark for text to leave as it is
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    click.echo(kind(context.find_root().command, {}, "cdcd", _VARIABLE).source())
