"""What the dashboards show. Every metric of `docs/METRICS.md` is in a panel, which a test holds."""

from comparisons import comparisons
from copies import copies
from panels import (
    RATE,
    Figure,
    Graph,
    Listing,
    Page,
    Query,
    Row,
    latency,
    mean,
    quantile,
    quantiles,
    rate,
)

_LATENCIES = Row(
    "Latency",
    (
        latency(
            "ScyllaDB to Kafka",
            "From the write to the commit in Kafka.",
            "cdcd_scylla_to_kafka_seconds",
        ),
        latency(
            "Kafka to PostgreSQL",
            "From the record to the committed row.",
            "cdcd_kafka_to_postgres_seconds",
        ),
        latency(
            "End to end",
            "From the write in ScyllaDB to the row in PostgreSQL.",
            "cdcd_end_to_end_seconds",
        ),
    ),
)


def _age(metric: str, by: str) -> Query:
    """How far a time that moves on is behind the clock."""
    return Query(f"time() - min by ({by}) ({metric} > 0)", f"{{{{{by}}}}}")


def _correctness(by: str) -> Row:
    """What says whether the rows are right; `by` names the lines."""
    legend = f"{{{{{by}}}}}"
    return Row(
        "Are the rows right?",
        (
            Graph(
                "Late rows",
                "Log rows that became visible behind the frontier, in a second.",
                (rate("cdcd_late_rows_total", by),),
            ),
            Graph(
                "How late",
                "From a late row's time until it was found, at most.",
                quantiles("cdcd_lateness_seconds"),
                "s",
            ),
            Graph(
                "Not settled yet",
                "How far back the log was last read again for late rows.",
                (_age("cdcd_settled_timestamp_seconds", by),),
                "s",
            ),
            Graph(
                "Not audited yet",
                "How far back the log was last read by the audit.",
                (_age("cdcd_audited_timestamp_seconds", by),),
                "s",
            ),
            Graph(
                "Dead letters that wait",
                "Changes that PostgreSQL refused and nobody has replayed or dropped.",
                (Query(f"max by ({by}) (cdcd_dead_letters)", legend),),
            ),
            Graph(
                "Refused changes",
                "Changes that became dead letters, in a second, by reason.",
                (rate("cdcd_rejected_changes_total", "reason"),),
            ),
            Graph(
                "Left out on purpose",
                "Changes that the settings leave out, in a second, by reason.",
                (rate("cdcd_dropped_changes_total", "reason"),),
            ),
        ),
    )


_STATE = Row(
    "Now",
    (
        Figure(
            "Workers",
            "Daemons that Prometheus reaches.",
            'sum(up{job=~"$job", instance=~"$instance"})',
            bounds=(2, 1),
            low=True,
        ),
        Figure(
            "Tables that run",
            "As the worker sees it that sees most.",
            'max(cdcd_tables{state="running"})',
        ),
        Figure(
            "Tables that stand",
            "Stopped, or in need of a new copy: cdcd status --watch says why.",
            'sum(max by (state) (cdcd_tables{state=~"stopped|needs_snapshot"}))',
            bounds=(1, 1),
        ),
        Figure(
            "Largest lag",
            "How old what the target shows can be.",
            "max(cdcd_lag_seconds)",
            "s",
            bounds=(10, 60),
        ),
        Figure(
            "End to end",
            "95 of 100 changes take no longer.",
            quantile("cdcd_end_to_end_seconds", 0.95),
            "s",
            bounds=(2, 5),
        ),
        Figure(
            "Until the log forgets",
            "The least time before a log forgets changes that were not read.",
            "min(cdcd_log_headroom_seconds)",
            "s",
            bounds=(12 * 3600, 6 * 3600),
            low=True,
        ),
    ),
)

_TABLES = Row(
    "Tables",
    (
        Listing(
            "Tables",
            "A name leads to the table's own page.",
            (
                Query("max by (table) (cdcd_lag_seconds)"),
                Query("sum by (table) (cdcd_lag_records)"),
                Query(f"sum by (table) (rate(cdcd_published_changes_total[{RATE}]))"),
                Query(f"sum by (table) (rate(cdcd_applied_rows_total[{RATE}]))"),
                Query("min by (table) (cdcd_log_headroom_seconds)"),
                Query("min by (table) (cdcd_topic_headroom_seconds)"),
            ),
            (
                ("lag", "s"),
                ("waiting", "short"),
                ("published/s", "short"),
                ("applied/s", "short"),
                ("log forgets in", "s"),
                ("topic forgets in", "s"),
            ),
        ),
    ),
)

_FLOW = Row(
    "Flow",
    (
        Graph(
            "Published",
            "Changes committed in Kafka, in a second.",
            (rate("cdcd_published_changes_total", "table"),),
        ),
        Graph(
            "Applied",
            "Changes committed in PostgreSQL, in a second.",
            (rate("cdcd_applied_rows_total", "table"),),
        ),
        Graph(
            "Lag",
            "How old what the target shows can be.",
            (Query("max by (table) (cdcd_lag_seconds)", "{{table}}"),),
            "s",
        ),
    ),
)

_WORK = Row(
    "Work of each stage",
    (
        Graph(
            "Stages that run",
            "0 while a stage starts or tries again.",
            (Query("min by (instance, stage) (cdcd_stage_running)", "{{instance}} {{stage}}"),),
        ),
        Graph(
            "Tries that failed",
            "Repeated tries, in a second.",
            (
                Query(
                    f"sum by (instance, stage) (rate(cdcd_retries_total[{RATE}]))",
                    "{{instance}} {{stage}}",
                ),
            ),
        ),
        Graph(
            "Lanes",
            "Slices of the ring that each worker reads.",
            (Query("max by (instance) (cdcd_lanes)", "{{instance}}"),),
        ),
        Graph(
            "Kafka transactions",
            "In a second, by how they ended.",
            (rate("cdcd_transactions_total", "outcome"),),
        ),
        Graph(
            "Kafka transaction's time",
            "Begin to commit.",
            quantiles("cdcd_publish_seconds"),
            "s",
        ),
        Graph(
            "How busy the source's commits are",
            "The share of time in which a Kafka transaction is open.",
            (
                Query(
                    f"sum by (instance) (rate(cdcd_publish_seconds_sum[{RATE}]))",
                    "{{instance}}",
                ),
            ),
            "percentunit",
        ),
        Graph(
            "PostgreSQL transaction's time",
            "Begin to commit.",
            quantiles("cdcd_batch_seconds"),
            "s",
        ),
        Graph(
            "Changes in a PostgreSQL transaction",
            "The mean: near sink.batch_rows_max the sink is at its limit.",
            (mean("cdcd_batch_rows"),),
        ),
        Graph(
            "PostgreSQL transactions at once",
            "How many are open in the mean: up to postgres.pool_connections_max.",
            (
                Query(
                    f"sum by (instance) (rate(cdcd_batch_seconds_sum[{RATE}]))",
                    "{{instance}}",
                ),
            ),
        ),
        Graph(
            "Lease of the PostgreSQL login",
            "How long the login from Vault is good for, if it is not renewed.",
            (Query("min by (instance) (cdcd_login_lease_seconds > 0)", "{{instance}}"),),
            "s",
        ),
        Graph(
            "Certificates",
            "How long the certificates of each setting are good for.",
            (
                Query(
                    "min by (setting) (cdcd_certificate_expiry_timestamp_seconds) - time()",
                    "{{setting}}",
                ),
            ),
            "s",
        ),
        Graph(
            "Spans of traces",
            "In a second: made, taken by the collector, and refused by it.",
            (rate("cdcd_spans_total", "outcome"),),
        ),
        Graph(
            "Versions",
            "Workers of each version.",
            (Query("count by (version) (cdcd_build_info)", "{{version}}"),),
        ),
    ),
)

OVERVIEW = Page(
    "cdcd-overview",
    "cdcd: overview",
    "All tables and workers of a pipeline.",
    (
        _STATE,
        _TABLES,
        _FLOW,
        _LATENCIES,
        _WORK,
        _correctness("table"),
        comparisons("table"),
        copies("table"),
    ),
)

TABLE = Page(
    "cdcd-table",
    "cdcd: one table",
    "One table, by worker.",
    (
        Row(
            "Now",
            (
                Figure(
                    "Lag",
                    "How old what the target shows can be.",
                    "max(cdcd_lag_seconds)",
                    "s",
                    bounds=(10, 60),
                ),
                Figure("Waiting", "Records to be applied.", "sum(cdcd_lag_records)"),
                Figure(
                    "Until the log forgets",
                    "How long until it forgets changes that were not read.",
                    "min(cdcd_log_headroom_seconds)",
                    "s",
                    bounds=(12 * 3600, 6 * 3600),
                    low=True,
                ),
                Figure(
                    "Until the topic forgets",
                    "How long until Kafka forgets records that were not applied.",
                    "min(cdcd_topic_headroom_seconds)",
                    "s",
                    bounds=(12 * 3600, 6 * 3600),
                    low=True,
                ),
                Figure(
                    "Published up to",
                    "Everything older is in Kafka.",
                    "1000 * min(cdcd_frontier_timestamp_seconds)",
                    "dateTimeAsIso",
                ),
                Figure(
                    "Dead letters",
                    "Changes that PostgreSQL refused and that wait.",
                    "max(cdcd_dead_letters)",
                    bounds=(1, 1),
                ),
            ),
        ),
        Row(
            "Flow",
            (
                Graph(
                    "Published",
                    "Changes committed in Kafka, in a second.",
                    (rate("cdcd_published_changes_total", "instance"),),
                ),
                Graph(
                    "Applied",
                    "Changes committed in PostgreSQL, in a second.",
                    (rate("cdcd_applied_rows_total", "instance"),),
                ),
                Graph(
                    "Lag",
                    "How old what the target shows can be.",
                    (Query("max by (instance) (cdcd_lag_seconds)", "{{instance}}"),),
                    "s",
                ),
                Graph(
                    "Behind the clock",
                    "How far the frontier of each worker's lanes is behind.",
                    (Query("max by (instance) (cdcd_frontier_age_seconds)", "{{instance}}"),),
                    "s",
                ),
                Graph(
                    "Waiting",
                    "Records that each worker has yet to apply.",
                    (Query("sum by (instance) (cdcd_lag_records)", "{{instance}}"),),
                ),
                Graph(
                    "Until it is forgotten",
                    "By the log, what was not read; by the topic, what was not applied.",
                    (
                        Query("min(cdcd_log_headroom_seconds)", "log"),
                        Query("min(cdcd_topic_headroom_seconds)", "topic"),
                    ),
                    "s",
                ),
            ),
        ),
        _LATENCIES,
        _correctness("instance"),
        comparisons("instance"),
        copies("instance"),
    ),
    one_table=True,
)

PAGES = (OVERVIEW, TABLE)
