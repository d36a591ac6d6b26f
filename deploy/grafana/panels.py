"""What a panel is, as values, and the usual queries.

A query is plain PromQL; `dashboards.py` puts the page's selection behind each of cdcd's metrics.
"""

from dataclasses import dataclass

RATE = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression; the legend may have labels in double braces."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number; it turns yellow and red past two bounds, which fall where `low` is bad."""

    title: str
    what: str
    query: str
    unit: str = "short"
    bounds: tuple[float, float] | None = None
    low: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """Lines over time."""

    title: str
    what: str
    queries: tuple[Query, ...]
    unit: str = "short"


@dataclass(frozen=True, slots=True)
class Listing:
    """A line for each table, with a column for each query; `columns` are titles and units."""

    title: str
    what: str
    queries: tuple[Query, ...]
    columns: tuple[tuple[str, str], ...]


Panel = Figure | Graph | Listing


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels under it."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard; a page of one table selects it."""

    uid: str
    title: str
    what: str
    rows: tuple[Row, ...]
    one_table: bool = False


def rate(metric: str, by: str, legend: str = "") -> Query:
    """A counter's pace, in a second."""
    return Query(f"sum by ({by}) (rate({metric}[{RATE}]))", legend or f"{{{{{by}}}}}")


def quantiles(metric: str) -> tuple[Query, ...]:
    """Half of a histogram's values, 95 and 99 of 100 are below these."""
    return tuple(
        Query(quantile(metric, share), f"{share * 100:g} %") for share in (0.5, 0.95, 0.99)
    )


def quantile(metric: str, share: float) -> str:
    """What this share of a histogram's values is below."""
    return f"histogram_quantile({share:g}, sum by (le) (rate({metric}_bucket[{RATE}])))"


def mean(metric: str) -> Query:
    """The mean of a histogram's values, by worker."""
    of = f"sum by (instance) (rate({metric}"
    return Query(f"{of}_sum[{RATE}])) / {of}_count[{RATE}]))", "{{instance}}")


def latency(title: str, what: str, metric: str) -> Graph:
    """How long changes take on one way."""
    return Graph(title, f"{what} Half of the changes, 95 and 99 of 100.", quantiles(metric), "s")
