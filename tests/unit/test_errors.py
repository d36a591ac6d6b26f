"""Which of several failures speaks for all of them, and what a failure says."""

import pytest

from cdcd.model.errors import (
    CdcdError,
    ConfigurationError,
    ExitCode,
    Fatal,
    InvariantBroken,
    TableStopped,
    Transient,
    leading,
)

UNEXPECTED = KeyError("a bug")
INVARIANT = InvariantBroken("broken")
OUTSIDE = Fatal("away")
CONFIGURATION = ConfigurationError("wrong")
TRANSIENT = Transient("busy")
BY_RANK: list[Exception] = [UNEXPECTED, INVARIANT, OUTSIDE, CONFIGURATION, TRANSIENT]


@pytest.mark.parametrize("above", range(len(BY_RANK) - 1))
def test_the_worst_failure_leads(above: int) -> None:
    """What nobody expected leads, then what is fatal by its exit code, then the rest."""
    pair = BY_RANK[above : above + 2]
    for order in (pair, pair[::-1]):
        assert leading(ExceptionGroup("", order)) is pair[0]


def test_groups_inside_of_groups_are_searched() -> None:
    """A failure leads however deep its group is."""
    inner = ExceptionGroup("", [TRANSIENT, ExceptionGroup("", [INVARIANT])])
    assert leading(ExceptionGroup("", [CONFIGURATION, inner])) is INVARIANT


def test_of_equals_the_first_leads() -> None:
    """Of failures of one rank the first of the outermost leads."""
    other = Transient("other")
    assert leading(ExceptionGroup("", [ExceptionGroup("", [other]), TRANSIENT])) is TRANSIENT
    assert leading(ExceptionGroup("", [other, TRANSIENT])) is other


@pytest.mark.parametrize(
    ("error", "code"),
    [(OUTSIDE, ExitCode.OUTSIDE), (CONFIGURATION, ExitCode.CONFIGURATION), (INVARIANT, 4)],
)
def test_fatal_failures_have_exit_codes(error: Fatal, code: int) -> None:
    """Each kind of fatal failure has the exit code that tells the supervisor what it is."""
    assert error.exit_code == code


def test_a_failure_says_what_to_do() -> None:
    """The hint follows the message in brackets, and without a hint there are none."""
    assert str(CdcdError("it broke", "mend it")) == "it broke (mend it)"
    assert str(CdcdError("it broke")) == "it broke"


def test_a_stopped_table_is_named() -> None:
    """The failure of one table begins with the table's name."""
    stopped = TableStopped("ks.t", "its log is gone", "copy it", needs_snapshot=True)
    assert str(stopped) == "ks.t: its log is gone (copy it)"
    assert (stopped.table, stopped.needs_snapshot) == ("ks.t", True)
