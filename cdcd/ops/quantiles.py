"""Quantiles: of numbers, and of the histograms that a daemon exports. Pure."""

import math
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence

# Upper bound in seconds, infinite for the last one, to the count of values up to it.
Buckets = Mapping[float, float]

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value that the given share of them does not exceed; None of no values."""
    if not values:
        return None
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def buckets_of(exposition: str, metric: str, table: str) -> dict[float, float]:
    """The cumulative buckets of one table's histogram in the text that Prometheus scrapes."""
    found: dict[float, float] = {}
    for line in exposition.splitlines():
        if not line.startswith(f"{metric}_bucket{{"):
            continue
        text, _, count = line.rpartition(" ")
        labels = dict(_LABEL.findall(text))
        if labels.get("table") == table:
            found[float(labels["le"])] = float(count)
    return found


def between(before: Buckets, after: Buckets) -> dict[float, float]:
    """What came in from one look at a histogram to the next."""
    return {bound: max(count - before.get(bound, 0.0), 0.0) for bound, count in after.items()}


def together(first: Buckets, second: Buckets) -> dict[float, float]:
    """The histogram of two daemons' values."""
    return {bound: first.get(bound, 0.0) + second.get(bound, 0.0) for bound in {**first, **second}}


def bucket_quantile(buckets: Buckets, share: float) -> float | None:
    """The quantile as Prometheus' `histogram_quantile` has it: evenly spread within a bucket, and
    the last finite bound for what is past it. None of an empty histogram.
    """
    bounds = sorted(buckets)
    counts = [buckets[bound] for bound in bounds]
    if not counts or counts[-1] <= 0:
        return None
    rank = share * counts[-1]
    at = bisect_left(counts, rank)
    if math.isinf(bounds[at]):
        return bounds[at - 1] if at else None
    low, below = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0.0)
    inside = counts[at] - below
    return low + (bounds[at] - low) * ((rank - below) / inside if inside else 1.0)
