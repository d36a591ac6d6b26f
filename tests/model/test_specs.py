"""The design as TLA+: clean with all of its rules, and broken without any one of them.

`make model` explores bigger configurations.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.model.tlc import SPECS, check, configuration, verdict

QUICK = {"Asks": "0", "Crashes": "0"}
CRASHING = {"Asks": "0"}
SNAPSHOT = {"Asks": "0", "Crashes": "0", "Snapshot": "TRUE"}

CLEAN: list[tuple[str, dict[str, str]]] = [
    ("Settling", {}),
    ("Settling", SNAPSHOT),
    ("Lanes", {}),
    ("TakeOver", {}),
    ("Sink", {}),
    ("Requests", {}),
]
BIGGER: list[tuple[str, dict[str, str]]] = [
    ("Settling", {"Writes": "3", "Crashes": "0"}),
    ("Settling", {"Asks": "2", "Crashes": "2"}),
    ("Settling", {"Asks": "1", "Crashes": "1", "Snapshot": "TRUE"}),
    ("Lanes", {"Writes": "3", "Times": "4", "Asks": "2"}),
    ("TakeOver", {"Owners": "4"}),
    ("Sink", {"Records": "4", "Crashes": "2"}),
    ("Requests", {"Skew": "3", "Others": "3"}),
]

# Rule, specification, the guards that are taken away, the property that is then broken, and sizes
# that suffice to see it.
OFF: list[tuple[int, str, tuple[str, ...], str, dict[str, str]]] = [
    (1, "Lanes", ("LaneOfPartition",), "InOrder", {}),
    (2, "Settling", ("LaneStops",), "Converges", QUICK),
    (2, "Settling", ("CauseIsSaved",), "Converges", CRASHING),
    (3, "Settling", ("WholeScope",), "Converges", QUICK),
    (3, "Settling", ("TiesRefreshed",), "Converges", QUICK),
    (3, "Settling", ("ClearFirst",), "Converges", QUICK),
    (4, "Settling", ("Repeated",), "Converges", QUICK),
    (4, "Settling", ("ListIsSaved",), "Converges", CRASHING),
    (5, "Settling", ("Delayed",), "Converges", QUICK),
    (5, "Settling", ("DelayedAlways",), "Converges", QUICK),
    (6, "Settling", ("Assumption",), "NoLoss", QUICK),
    (7, "Lanes", ("FreshList",), "NoLoss", {}),
    (7, "Lanes", ("LateGeneration",), "NoLoss", {}),
    (7, "Lanes", ("OldStreams",), "NoLoss", {}),
    (8, "TakeOver", ("StableOffsets",), "Fenced", {}),
    (8, "TakeOver", ("HighWatermark",), "NoDuplicate", {}),
    (8, "TakeOver", ("NamesLanes",), "NoDuplicate", {}),
    (9, "Settling", ("PrintsAreSaved",), "NoDuplicate", CRASHING),
    (9, "Settling", ("ReadBack",), "NoDuplicate", CRASHING),
    (10, "Sink", ("AsksFirst",), "EmptiedAreAsked", {}),
    (11, "Requests", ("OwnIds",), "ExpiredAreGone", {}),
    (11, "Requests", ("AsksAgain",), "ExpiredAreGone", {}),
    (12, "Settling", ("StartUnsettled",), "Converges", SNAPSHOT),
    (13, "Sink", ("SkipsLate",), "NeverBack", {}),
]
# What the rules of section 3b take for granted.
OFF_TOO = [
    ("Sink", ("ComparesOffsets",), "InOrderOnce"),
    ("Sink", ("OneTransaction",), "InOrderOnce"),
]
RULES = range(1, 14)
IS_BIG = os.environ.get("CDCD_TEST_MODEL") == "big"


def _without(guards: tuple[str, ...], sizes: dict[str, str]) -> dict[str, str]:
    return sizes | dict.fromkeys(guards, "FALSE")


@pytest.mark.timeout(36_000 if IS_BIG else 900)
@pytest.mark.parametrize(
    ("spec", "sizes"),
    CLEAN + (BIGGER if IS_BIG else []),
    ids=lambda v: v if isinstance(v, str) else "-".join(v.values()) or "as-written",
)
def test_clean_with_all_rules(
    spec: str,
    sizes: dict[str, str],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """With all rules no reachable state breaks a property, and every run comes to rest."""
    found = check(spec, sizes, tmp_path, workers=2 if IS_BIG else 1)
    record_property("explored", f"{spec} {sizes or ''}: {found.states:,} states")
    assert found.broken is None, found.trace


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("rule", "spec", "guards", "broken", "sizes"),
    OFF,
    ids=[f"{rule}-{'-'.join(guards)}" for rule, _, guards, _, _ in OFF],
)
def test_each_rule_is_needed(
    rule: int,
    spec: str,
    guards: tuple[str, ...],
    broken: str,
    sizes: dict[str, str],
    tmp_path: Path,
) -> None:
    """Without a part of a rule there is a run that breaks the property that the rule guards."""
    assert check(spec, _without(guards, sizes), tmp_path).broken == broken


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("spec", "guards", "broken"), OFF_TOO, ids=[g[1][0] for g in OFF_TOO])
def test_what_the_sink_rests_on(
    spec: str, guards: tuple[str, ...], broken: str, tmp_path: Path
) -> None:
    """Without the compare-and-set, or with two transactions, a record is applied twice."""
    assert check(spec, _without(guards, {}), tmp_path).broken == broken


@pytest.mark.timeout(600)
def test_the_flush_before_the_offsets_backs_the_stable_offsets(tmp_path: Path) -> None:
    """Rule 8: the flush is a second guard, which doubles nothing where the first one fails."""
    guards = _without(("StableOffsets", "FlushesFirst"), {})
    found = check("TakeOver", guards, tmp_path, properties=("NoDuplicate",))
    first = check(
        "TakeOver", _without(("StableOffsets",), {}), tmp_path, properties=("NoDuplicate",)
    )
    assert (found.broken, first.broken) == ("NoDuplicate", None)


def test_every_rule_is_switched_off_once() -> None:
    """Each of the thirteen rules has a guard that a test takes away, and each guard a test."""
    assert {rule for rule, *_ in OFF} == set(RULES)
    guards = {(spec, guard) for _, spec, off, _, _ in OFF for guard in off}
    guards |= {(spec, guard) for spec, off, _ in OFF_TOO for guard in off}
    guards.add(("TakeOver", "FlushesFirst"))
    written = {
        (path.stem, line.split()[0])
        for path in SPECS.glob("*.cfg")
        for line in path.read_text().splitlines()
        if line.endswith("= TRUE")
    }
    assert guards == written


def test_an_unknown_constant_is_refused() -> None:
    """A guard that a configuration does not have cannot be switched off without a notice."""
    with pytest.raises(ValueError, match="no constant Nonsense"):
        configuration("CONSTANTS\n    A = TRUE\n", {"Nonsense": "FALSE"})


def test_a_run_that_is_no_answer_is_an_error() -> None:
    """A specification that TLC cannot read is neither clean nor broken."""
    with pytest.raises(RuntimeError, match="ended with 150"):
        verdict(150, "Parse error")
