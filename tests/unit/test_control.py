"""What operators tell a pipeline: the set of tables and its pauses, edited as values."""

import pytest

from cdcd.model.control import (
    Control,
    Pause,
    paused,
    resumed,
    with_tables,
    without_tables,
)
from cdcd.model.errors import ConfigurationError

PAIR = Control(("ks.a", "ks.b"))
STAGES = ("source", "sink")


def test_names_and_globs_take_tables_in() -> None:
    """A pipeline wants what one of its patterns matches, and nothing else."""
    control = Control(("ks.a", "shop.*"))
    assert control.wants("ks.a")
    assert control.wants("shop.orders")
    assert not control.wants("ks.ab")


def test_tables_are_added_once_and_sorted() -> None:
    """The set has no order and no doubles."""
    assert with_tables(PAIR, ["ks.b", "a.*"]).tables == ("a.*", "ks.a", "ks.b")


def test_what_is_no_table_is_not_added() -> None:
    """A name without a keyspace is a mistake, and a glob without one is not."""
    with pytest.raises(ConfigurationError, match=r"users is no table's name"):
        with_tables(PAIR, ["users"])
    assert with_tables(PAIR, ["*"]).tables == ("*", "ks.a", "ks.b")


def test_tables_are_removed_as_they_stand_in_the_set() -> None:
    """A table that a glob takes in cannot be taken out of it; the hint names the glob."""
    assert without_tables(PAIR, ["ks.a"]).tables == ("ks.b",)
    with pytest.raises(ConfigurationError, match=r"the set has no ks\.c") as caught:
        without_tables(Control(("ks.*",)), ["ks.c"])
    assert "ks.* takes it in" in caught.value.hint


def test_the_last_table_stays() -> None:
    """A pipeline without tables would take any set at its next start."""
    with pytest.raises(ConfigurationError, match="keeps at least one"):
        without_tables(PAIR, ["ks.a", "ks.b"])


def test_a_pause_holds_the_stages_that_it_names() -> None:
    """A pause of the sink leaves the source going, and other tables too."""
    control = paused(PAIR, ["ks.a"], ["sink"], 1000, "me@here")
    assert control.pause_of("ks.a", "sink") == Pause("ks.a", "sink", 1000, "me@here")
    assert control.pause_of("ks.a", "source") is None
    assert control.pause_of("ks.b", "sink") is None


@pytest.mark.parametrize("stage", STAGES)
def test_a_table_runs_unless_it_is_paused_itself(stage: str) -> None:
    """A pause of either stage holds its own tables, and those of nobody are not running."""
    control = paused(PAIR, ["ks.a"], [stage], 1000, "me@here")
    assert not control.is_running("ks.a")
    assert control.is_running("ks.b")
    assert not control.is_running("ks.c")


def test_a_second_pause_keeps_the_first_ones_time() -> None:
    """Who paused a table first, and when, is not overwritten; of several the longest is shown."""
    control = paused(PAIR, ["ks.a"], STAGES, 1000, "me@here")
    again = paused(paused(control, ["ks.a"], STAGES, 5000, "you@there"), ["*"], STAGES, 9, "x@y")
    assert [p.since_ms for p in again.pauses if p.pattern == "ks.a"] == [1000, 1000]
    longest = again.pause_of("ks.a", "source")
    assert longest is not None
    assert longest.pattern == "*"


def test_an_unknown_table_is_not_paused() -> None:
    """A typo in a table's name does not look like success."""
    with pytest.raises(ConfigurationError, match=r"does not replicate ks\.x"):
        paused(PAIR, ["ks.x"], STAGES, 0, "me@here")


def test_resume_ends_what_it_names() -> None:
    """Only the pauses of this pattern and these stages end; `*` ends all."""
    control = paused(PAIR, ["ks.a", "ks.b"], STAGES, 0, "me@here")
    left = resumed(control, ["ks.a"], ["sink"])
    assert left.pause_of("ks.a", "sink") is None
    assert left.pause_of("ks.a", "source") is not None
    assert left.pause_of("ks.b", "sink") is not None
    assert resumed(control, ["*"], STAGES) == PAIR


def test_resume_names_the_pause_that_would_stay() -> None:
    """A table that a glob holds is not resumed by its name, and the error says by what it is."""
    control = paused(PAIR, ["ks.*"], STAGES, 0, "me@here")
    with pytest.raises(ConfigurationError, match=r"ks\.a is paused by ks\.\*") as caught:
        resumed(control, ["ks.a"], STAGES)
    assert caught.value.hint == "cdcd resume 'ks.*'"
