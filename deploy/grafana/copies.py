"""What the dashboards show of copies."""

from panels import Graph, Query, Row, rate


def copies(by: str) -> Row:
    """How far copies are; `by` names the lines."""
    legend = f"{{{{{by}}}}}"
    return Row(
        "Copies",
        (
            Graph(
                "Done",
                "How much of a table's copy is done, by the worker that is least far.",
                (Query(f"min by ({by}) (cdcd_copy_done_ratio)", legend),),
                "percentunit",
            ),
            Graph(
                "Copied rows",
                "Rows that copies published in a second.",
                (rate("cdcd_copied_rows_total", by),),
            ),
            Graph(
                "Copies' time left",
                "How long copies may still take.",
                (Query(f"max by ({by}) (cdcd_copy_remaining_seconds)", legend),),
                "s",
            ),
        ),
    )
