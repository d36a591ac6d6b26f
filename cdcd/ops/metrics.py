"""The one list of metrics, in base units, and the registry that `/metrics` serves.

Stages never see this module: they report to `cdcd.ops.board`, which counts here.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from cdcd import __version__

# The time at which each counter was made says nothing that `cdcd_build_info` does not.
disable_created_metrics()

LATENCY_SECONDS = (0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 1800, 7200)
WORK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCH_ROWS = (1, 10, 50, 100, 250, 500, 1000, 2000, 3000, 4000, 5000, 10_000)


class Latencies(Collector):
    """A histogram by table that takes a whole batch of values at once.

    The client library's own takes a lock and a walk over the buckets for each value, which is
    too much work for each change.
    """

    def __init__(self, name: str, help_text: str) -> None:
        self.name = name
        self.help_text = help_text
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, table: str, since: Iterable[int], until: int, per_second: int) -> None:
        """Count how long it took from each time until one, both in ticks of which so many are a
        second. What seems to begin later, by clocks that differ, took no time.
        """
        counts = self._counts.setdefault(table, [0] * (len(LATENCY_SECONDS) + 1))
        # Sorted, those of a bucket lie side by side, the oldest first.
        times = sorted(since)
        rest = len(times)
        for bucket, bound in enumerate(LATENCY_SECONDS):
            older = bisect_left(times, until - bound * per_second, 0, rest)
            counts[bucket] += rest - older
            rest = older
        counts[-1] += rest
        begun = bisect_right(times, until)
        ticks = begun * until - sum(times[:begun])
        self._sums[table] = self._sums.get(table, 0.0) + ticks / per_second

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """The family without values, so that the registry knows its name."""
        return [HistogramMetricFamily(self.name, self.help_text, labels=["table"])]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family with its values now."""
        family = HistogramMetricFamily(self.name, self.help_text, labels=["table"])
        for table, counts in self._counts.items():
            buckets, total = [], 0
            for bound, count in zip((*LATENCY_SECONDS, None), counts, strict=True):
                total += count
                buckets.append(("+Inf" if bound is None else str(float(bound)), float(total)))
            family.add_metric([table], buckets, self._sums[table])
        yield family


@dataclass(frozen=True, slots=True)
class Line:
    """One metric as `docs/METRICS.md` lists it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help_text: str


class Metrics:
    """Every metric of a worker, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.lines: list[Line] = []
        info = Info("cdcd_build", "The running version.", registry=self.registry)
        info.info({"version": __version__})
        self.lines.append(Line("cdcd_build_info", "info", ("version",), "The running version."))

        self._source()
        self._sink()
        self._verification()
        self.retries = self._counter(
            "cdcd_retries", "Tries that failed and were repeated.", "stage"
        )
        self.spans = self._counter(
            "cdcd_spans",
            "Spans made, taken by the collector, refused by it. The rest waits, or is lost.",
            "outcome",
        )
        for outcome in ("made", "taken", "refused"):
            self.spans.labels(outcome)
        self.certificate_expiry = self._gauge(
            "cdcd_certificate_expiry_timestamp_seconds",
            "When certificates of a file end: the first of those shown, the last of those trusted.",
            "setting",
        )
        self.tables = self._gauge("cdcd_tables", "Tables by state.", "state")
        self.stages = self._gauge(
            "cdcd_stage_running", "1 while the stage runs, 0 while it starts or retries.", "stage"
        )

    def _source(self) -> None:
        self.published = self._counter("cdcd_published_changes", "Changes published.", "table")
        self.transactions = self._counter(
            "cdcd_transactions", "Kafka transactions by outcome: committed, aborted.", "outcome"
        )
        self.publish_seconds = self._histogram(
            "cdcd_publish_seconds", "One Kafka transaction, begin to commit.", WORK_SECONDS
        )
        self.scylla_to_kafka = self._latencies(
            "cdcd_scylla_to_kafka_seconds", "From the write in ScyllaDB to the commit in Kafka."
        )
        self.frontier_seconds = self._gauge(
            "cdcd_frontier_timestamp_seconds",
            "Everything older has been published; the oldest of this worker's lanes.",
            "table",
        )
        self.frontier_age_seconds = self._gauge(
            "cdcd_frontier_age_seconds", "How far the frontier is behind the clock.", "table"
        )
        self.late = self._counter(
            "cdcd_late_rows",
            "Log rows that became visible behind the frontier, by the pass that found them: 1, 2,"
            " audit.",
            "table",
            "pass",
        )
        self.lateness = self._latencies(
            "cdcd_lateness_seconds", "From a late row's time until it was found, at most."
        )
        self.settled_seconds = self._gauge(
            "cdcd_settled_timestamp_seconds",
            "Everything older was read again after the settle delays and is complete.",
            "table",
        )
        self.audited_seconds = self._gauge(
            "cdcd_audited_timestamp_seconds",
            "Everything older was read a last time by the audit, hours later.",
            "table",
        )
        self.headroom_seconds = self._gauge(
            "cdcd_log_headroom_seconds",
            "How long until the log forgets changes that have not been read.",
            "table",
        )
        self.copied = self._counter("cdcd_copied_rows", "Rows that copies published.", "table")
        self.copy_share = self._gauge(
            "cdcd_copy_done_ratio", "How much of a table's copy is done, in this worker.", "table"
        )
        self.copy_seconds = self._gauge(
            "cdcd_copy_remaining_seconds", "How long the table's copy may still take.", "table"
        )
        self.lanes = self._gauge("cdcd_lanes", "Lanes that this worker reads.")

    def _sink(self) -> None:
        self.applied = self._counter("cdcd_applied_rows", "Changes applied.", "table")
        self.batch_rows = self._histogram(
            "cdcd_batch_rows", "Changes in one PostgreSQL transaction.", BATCH_ROWS
        )
        self.batch_seconds = self._histogram(
            "cdcd_batch_seconds", "One PostgreSQL transaction, begin to commit.", WORK_SECONDS
        )
        self.kafka_to_postgres = self._latencies(
            "cdcd_kafka_to_postgres_seconds", "From the record in Kafka to the row in PostgreSQL."
        )
        self.end_to_end = self._latencies(
            "cdcd_end_to_end_seconds", "From the write in ScyllaDB to the row in PostgreSQL."
        )
        self.lag_seconds = self._gauge(
            "cdcd_lag_seconds", "How old what the target shows can be.", "table"
        )
        self.lag_records = self._gauge(
            "cdcd_lag_records", "Records that this worker has yet to apply.", "table"
        )
        self.login_seconds = self._gauge(
            "cdcd_login_lease_seconds",
            "How long the login leased from Vault is good for, if it is not renewed.",
        )
        self.topic_headroom_seconds = self._gauge(
            "cdcd_topic_headroom_seconds",
            "How long until Kafka forgets records that this worker has not applied.",
            "table",
        )
        self.dropped = self._counter(
            "cdcd_dropped_changes",
            "Changes that the sink left out on purpose, by reason: late, whose row is refreshed.",
            "table",
            "reason",
        )
        self.rejected = self._counter(
            "cdcd_rejected_changes",
            "Changes that became dead letters, by reason: unstorable, data, constraint, trigger, "
            "limit.",
            "table",
            "reason",
        )
        self.dead_letters = self._gauge(
            "cdcd_dead_letters", "Dead letters that wait, of all workers.", "table"
        )

    def _verification(self) -> None:
        self.verified = self._counter(
            "cdcd_verified_rows", "Rows that continuous verification has compared.", "table"
        )
        self.verified_share = self._gauge(
            "cdcd_verified_share",
            "Share of the rows in this worker's lanes that was verified in the last day.",
            "table",
        )
        self.differences = self._counter(
            "cdcd_differences",
            "Rows that verification found missing, extra or different in the target.",
            "table",
            "kind",
        )
        self.repairs = self._counter(
            "cdcd_repairs", "Refreshes that verification has asked for.", "table"
        )
        self.wrong_rows = self._gauge(
            "cdcd_reconcile_wrong_rows",
            "Rows that the latest `cdcd reconcile` left different; NaN where it did not see all.",
            "table",
        )
        self.reconciled_seconds = self._gauge(
            "cdcd_reconcile_timestamp_seconds",
            "When the latest `cdcd reconcile` of all of the table's rows ended.",
            "table",
        )

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        self.lines.append(Line(f"{name}_total", "counter", labels, help_text))
        return Counter(name, help_text, labels, registry=self.registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        self.lines.append(Line(name, "gauge", labels, help_text))
        return Gauge(name, help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        self.lines.append(Line(name, "histogram", (), help_text))
        return Histogram(name, help_text, registry=self.registry, buckets=buckets)

    def _latencies(self, name: str, help_text: str) -> Latencies:
        self.lines.append(Line(name, "histogram", ("table",), help_text))
        made = Latencies(name, help_text)
        self.registry.register(made)
        return made

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)
