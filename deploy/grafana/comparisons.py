"""What the dashboards show of comparisons with the source."""

from panels import Graph, Query, Row, rate


def comparisons(by: str) -> Row:
    """What comparisons with the source have found; `by` names the lines."""
    legend = f"{{{{{by}}}}}"
    return Row(
        "Compared with the source",
        (
            Graph(
                "Verified in the last day",
                "The share of rows that continuous verification has compared.",
                (Query(f"min by ({by}) (cdcd_verified_share)", legend),),
                "percentunit",
            ),
            Graph(
                "Verification's pace",
                "Rows compared in a second.",
                (rate("cdcd_verified_rows_total", by),),
            ),
            Graph(
                "Differences and repairs",
                "Rows found different, and refreshes asked for, in an hour.",
                (
                    Query("sum by (kind) (increase(cdcd_differences_total[1h]))", "{{kind}}"),
                    Query("sum(increase(cdcd_repairs_total[1h]))", "repairs"),
                ),
            ),
            Graph(
                "Left different by reconcile",
                "Rows that differed at the end of the latest comparison of a table.",
                (Query(f"max by ({by}) (cdcd_reconcile_wrong_rows)", legend),),
            ),
            Graph(
                "Since the last comparison",
                "How long ago all rows of a table were compared by cdcd reconcile.",
                (Query(f"time() - max by ({by}) (cdcd_reconcile_timestamp_seconds)", legend),),
                "s",
            ),
        ),
    )
