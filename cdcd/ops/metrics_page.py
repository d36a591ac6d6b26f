"""Makes `docs/METRICS.md` from the list of metrics: `python -m cdcd.ops.metrics_page`."""

import sys

from cdcd.ops.metrics import LATENCY_SECONDS, Metrics

_HEAD = """# Metrics

`GET /metrics` on the daemon's port, in Prometheus' text format. Units are base units: seconds,
rows, changes. `table` is `keyspace.table`. Latencies compare the clocks of different machines, so
they are as good as these (`cdcd check` compares them).

| metric | kind | labels | what it is |
|---|---|---|---|
"""

_FOOT = f"""
Bounds of the latency histograms, in seconds: {", ".join(f"{s:g}" for s in LATENCY_SECONDS)}.

This page is made from `cdcd/ops/metrics.py` with `python -m cdcd.ops.metrics_page`.
"""


def page() -> str:
    """The page's text."""
    rows = [
        f"| `{line.name}` | {line.kind} | {', '.join(line.labels)} | {line.help_text} |\n"
        for line in Metrics().lines
    ]
    return _HEAD + "".join(rows) + _FOOT


if __name__ == "__main__":
    sys.stdout.write(page())
