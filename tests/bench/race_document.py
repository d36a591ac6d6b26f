"""The race's document: what the runs of all arms come to. Pure.

`{"cdcd": {…}, "connect": {…}, "rust": {…}, "ratio": {…}, "noise": …}`. Under an arm are the parts
of the road that it ran: `sink` (Kafka to PostgreSQL), `reading` (log to decoded changes), `source`
(log to Kafka), `catch_up` (the whole road, a waiting log) and `steady` (the whole road, a steady
rate). A part's figures are the medians of its runs. What was not measured is None.
"""

import statistics
from typing import Any

# Runs of one part, by arm.
Runs = dict[str, list[dict[str, Any]]]

ARMS = ("cdcd", "connect", "rust")


def document(parts: dict[str, Runs]) -> dict[str, Any]:
    """The document's shape, of the runs by part and arm."""
    found: dict[str, Any] = {
        arm: {part: middle(runs[arm]) for part, runs in parts.items() if runs.get(arm)} or None
        for arm in ARMS
    }
    rates, waits = (
        {
            f"{arm} {part}": spread(each, figure)
            for part, runs in parts.items()
            for arm, each in runs.items()
            if len(each) > 1 and (part == "steady") is is_steady
        }
        # At a steady rate it is the waits that vary.
        for figure, is_steady in (("changes_per_second", False), ("p95_seconds", True))
    )
    return {
        **found,
        "ratio": ratios(found),
        "noise": max(rates.values(), default=None),
        "noise_of": rates | waits,
        "runs": parts,
    }


def ratios(found: dict[str, Any]) -> dict[str, float | None]:
    """How many times better cdcd is; below 1 it is worse. `source` is the reading half's rate
    against the official Rust client's; `cpu` and `memory` are the sink half's against Connect's;
    `catch_up` and `p95` are the whole road's against Connect's.
    """

    def ratio(part: str, figure: str, other: str, *, more_is_better: bool = False) -> float | None:
        ours, theirs = [(found[arm] or {}).get(part) for arm in ("cdcd", other)]
        if ours is None or theirs is None:
            return None
        a, b = ours[figure], theirs[figure]
        over, under = (a, b) if more_is_better else (b, a)
        return round(over / under, 2) if under else None

    rate, cpu = "changes_per_second", "cpu_us_per_change"
    return {
        "catch_up": ratio("catch_up", rate, "connect", more_is_better=True),
        "source": ratio("reading", rate, "rust", more_is_better=True),
        "sink": ratio("sink", rate, "connect", more_is_better=True),
        "p95": ratio("steady", "p95_seconds", "connect"),
        "cpu": ratio("sink", cpu, "connect"),
        "memory": ratio("sink", "peak_mb", "connect"),
        "source_cpu": ratio("reading", cpu, "rust"),
        "source_memory": ratio("reading", "peak_mb", "rust"),
        "to_kafka": ratio("source", rate, "connect", more_is_better=True),
        "to_kafka_cpu": ratio("source", cpu, "connect"),
    }


# What is missing or wrong in one run is not lost in a median.
_WORST = ("rows_that_differ", "not_seen")


def middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure; of differences the most."""
    found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    worst = {name: max(run[name] for run in runs) for name in _WORST if name in runs[0]}
    return found | worst


def spread(runs: list[dict[str, Any]], figure: str) -> float:
    """The widest difference between two runs of one arm, as a share of their mean."""
    values = [run[figure] for run in runs]
    return round((max(values) - min(values)) / statistics.mean(values), 3)
