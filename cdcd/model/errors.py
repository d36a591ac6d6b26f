"""The kinds of failure, and who decides between them.

Each client library has one function, in its door module, that turns the library's exceptions into
one of these. A rejected change is not an exception but a value (see `cdcd.sink`), because a batch
goes on without it.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its supervisor; `docs/CLI.md` says it to people."""

    DONE = 0
    FOUND = 1
    CONFIGURATION = 2
    OUTSIDE = 3
    INVARIANT = 4


class CdcdError(Exception):
    """Any failure that cdcd itself names: one sentence for people, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class Transient(CdcdError):
    """Something outside is away or busy; the same call may succeed later."""


class Fatal(CdcdError):
    """The process cannot go on. `exit_code` tells the supervisor whether a restart may help."""

    exit_code = ExitCode.OUTSIDE


class ConfigurationError(Fatal):
    """What the user asked for cannot be done; a restart will not change that."""

    exit_code = ExitCode.CONFIGURATION


class Fenced(ConfigurationError):
    """Another client has this one's name, or a request of an earlier life of this one came late."""


class InvariantBroken(Fatal):
    """State that cannot be: going on could lose or double changes."""

    exit_code = ExitCode.INVARIANT


def exit_code(error: CdcdError) -> ExitCode:
    """What a failure tells the supervisor; one that may pass says so with 3."""
    return error.exit_code if isinstance(error, Fatal) else ExitCode.OUTSIDE


class TableStopped(CdcdError):
    """One table cannot go on; the others do.

    `needs_snapshot` is true where changes may be missing, so that only a new copy of the table
    makes its target right again.
    """

    def __init__(
        self, table: str, message: str, hint: str = "", *, needs_snapshot: bool = False
    ) -> None:
        super().__init__(f"{table}: {message}", hint)
        self.table = table
        self.needs_snapshot = needs_snapshot


def leading(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one failure that speaks for a group of tasks that ended together.

    What nobody expected comes first, then what is fatal by its exit code, then the rest.
    """
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending += error.exceptions
        else:
            leaves.append(error)

    def rank(error: BaseException) -> int:
        if isinstance(error, Fatal):
            return -int(error.exit_code)
        return 0 if isinstance(error, CdcdError) else -len(ExitCode)

    return min(leaves, key=rank)
