"""Makes `docs/METRICS.md` from the list of metrics, and from the alert rules of the source tree
that it is run in: `python -m cdcd.ops.metrics_page`.
"""

import re
import sys
from pathlib import Path

from cdcd.ops.metrics import LATENCY_SECONDS, Metrics

_HEAD = """# Metrics

`GET /metrics` on the daemon's port, in Prometheus' text format. Units are base units: seconds,
rows, changes. `table` is `keyspace.table`. Latencies compare the clocks of different machines, so
they are as good as these (`cdcd check` compares them).

## Set up the scrape

```yaml
scrape_configs:
  - job_name: cdcd
    static_configs: [{targets: ["worker1:8080", "worker2:8080"]}]
```

Every worker is a target of its own. `http.host` is loopback unless set: set it to an address that
Prometheus reaches, and mind [who else does](SECURITY.md#threats). The job must be called `cdcd`,
for CdcdDown asks for that name. In the chart `monitoring.serviceMonitor` does all of this.

## The metrics

| metric | kind | labels | what it is |
|---|---|---|---|
"""

_ALERTS_HEAD = f"""
Bounds of the latency histograms, in seconds: {", ".join(f"{s:g}" for s in LATENCY_SECONDS)}.

## The alerts

Of `deploy/prometheus/cdcd.rules.yml`, with the metrics that they look at. `critical` pages,
`warning` can wait for the morning. What to do is behind the names; what to promise is in
[OBJECTIVES](OBJECTIVES.md), and [the dashboards](DEPLOY.md#dashboards) show every metric.

| alert | severity | after | looks at |
|---|---|---|---|
"""

_FOOT = """
This page is made from `cdcd/ops/metrics.py` and the rules with `python -m cdcd.ops.metrics_page`.
"""

_RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "cdcd.rules.yml"
_RULE = re.compile(
    r"^ *- alert: (?P<name>\w+)\n(?P<body>.*?)^ *labels: \{ severity: (?P<severity>\w+) \}$",
    re.DOTALL | re.MULTILINE,
)
_METRIC = re.compile(r"\b(?:cdcd_\w+|up)\b")


def page() -> str:
    """The page's text."""
    rows = [
        f"| `{line.name}` | {line.kind} | {', '.join(line.labels)} | {line.help_text} |\n"
        for line in Metrics().lines
    ]
    alerts = [_alert(found) for found in _RULE.finditer(_RULES.read_text(encoding="utf-8"))]
    return "".join([_HEAD, *rows, _ALERTS_HEAD, *alerts, _FOOT])


def _alert(rule: re.Match[str]) -> str:
    name, body = rule["name"], re.sub(r"^ *#.*\n", "", rule["body"], flags=re.MULTILINE)
    waits = re.search(r"^ *for: (\w+)$", body, re.MULTILINE)
    metrics = ", ".join(f"`{metric}`" for metric in dict.fromkeys(_METRIC.findall(body)))
    after = waits[1] if waits else "at once"
    return f"| [{name}](RUNBOOK.md#{name.lower()}) | {rule['severity']} | {after} | {metrics} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
