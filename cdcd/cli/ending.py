"""How a command ends that did not end well: a line or two for people, and the exit code.

Tracebacks are for the developers of cdcd: they go to a file, and to the log at level debug.
"""

import os
import tempfile
import traceback
from pathlib import Path

import click

from cdcd.cli.invocation import Invocation
from cdcd.model.errors import ExitCode, exit_code
from cdcd.ops.logs import get_logger, named_errors, redact_text

INTERRUPTED = 128 + 2  # what shells give for a program ended by SIGINT

log = get_logger()


def report(error: BaseException, invocation: Invocation) -> int:
    """Say on stderr, or in the log where the command logs, what happened; gives the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else ExitCode.INVARIANT
    if _is_interrupt(error):
        click.echo("cdcd: interrupted", err=True)
        return INTERRUPTED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return ExitCode.CONFIGURATION
    if isinstance(error, click.ClickException):
        two_lines(_sentence(error), _usage_hint(error))
        return ExitCode.CONFIGURATION
    named = named_errors(error)
    if not named:
        return _report_bug(error, invocation)
    code = max(exit_code(e) for e in named)
    if invocation.ends_in_log:
        log.error("stopped", exit_code=int(code), exc_info=error)
        return code
    for each in dict.fromkeys((e.message, e.hint) for e in named):
        two_lines(*each)
    return code


def _report_bug(error: BaseException, invocation: Invocation) -> int:
    text = redact_text("".join(traceback.format_exception(error)))
    message = f"unexpected {type(error).__name__}, which is a bug in cdcd"
    file = _crash_file(text)
    hint = f"the details are in {file or 'what --verbose shows'}; please report them"
    if invocation.ends_in_log:
        # Where no file can be written the log is the only place that lasts.
        details = {} if file else {"exception": text}
        code = int(ExitCode.INVARIANT)
        log.critical("stopped", error=message, hint=hint, exit_code=code, **details)
    else:
        two_lines(message, hint)
    if invocation.verbose:
        click.echo(text, err=True)
    return ExitCode.INVARIANT


def _crash_file(text: str) -> str:
    """Write the text where only this user reads it; gives its path, or nothing without room."""
    try:
        handle, name = tempfile.mkstemp(prefix="cdcd-crash-", suffix=".txt")
        with os.fdopen(handle, "w") as file:
            file.write(text)
        return str(Path(name))
    except OSError:
        return ""


def two_lines(message: str, hint: str) -> None:
    """Say on stderr what happened and, where there is something, what to do about it."""
    click.echo(f"cdcd: {redact_text(message)}", err=True)
    if hint:
        click.echo(f"  {redact_text(hint)}", err=True)


def _sentence(error: click.ClickException) -> str:
    return " ".join(error.format_message().split())


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "cdcd"
    return f"see '{path} --help'"


def _is_interrupt(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_interrupt, error.exceptions))
    return isinstance(error, KeyboardInterrupt | click.Abort)
