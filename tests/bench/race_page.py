"""The race's page and picture, from its document: docs/RACE.md and docs/race.svg.

python -m tests.bench.race_page
"""

import json
from html import escape
from typing import Any

from tests.bench.race import OUTPUT
from tests.stack import ROOT

_ARMS = {"cdcd": "cdcd", "connect": "Debezium's JDBC sink on Kafka Connect"}
_ROWS = {
    "changes_per_second": "Changes/s",
    "cpu_us_per_change": "CPU of the process, µs for each change",
    "peak_mb": "Peak memory, MB",
    "rows_that_differ": "Rows that differ from the source",
}
_COLOURS = {"cdcd": "#1a7f5a", "connect": "#8a8f98"}
_WIDTH, _BAR, _GAP, _LEFT = 640, 18, 6, 10

_PAGE = """\
# The race

`make race` runs cdcd against what it replaces, on one machine, in one run, on the same log, broker
and PostgreSQL. `make race-page` makes this page of what it found.

## Kafka to PostgreSQL

{changes:,} changes of the reference work (eight columns, 50,000 keys; half inserts, four in ten
updates of three columns, one in ten deletes) in one partition. Each arm ran {rounds} times in turn
on {cores} cores that the servers share, at a load of {load}. A run is measured between two marks in
the topic, behind {warm_up:,} changes of warm-up; Java gets these again and again, up to
{warm_up_of_java:,}, to compile what it runs most. Memory is the peak of the whole run.

{table}

cdcd's rate is **{sink}** times Debezium's; Debezium's CPU is **{cpu}** times cdcd's, its memory
**{memory}** times. The largest difference between two runs of one arm was {noise:.0%} of its rate:
less says nothing, and where others use the cores too, rates say little at all.

![Changes a second, CPU and memory of both](race.svg)

What is fair about it, and what is not:

- Both apply the same changes in the same order, each run to an empty database of its own.
- cdcd reads its own records. Debezium's sink gets flat whole rows and tombstones in Avro, which is
  what its flattening transform leaves, in fewer bytes: ScyllaDB's own connector does not give it
  whole rows, and partial ones would make it write nulls where nothing was changed. So the work of
  merging a partial update is cdcd's alone.
- Debezium's sink runs with the settings that were best here: one task, upserts merged by key in
  batches of 3,000, fetches of 6,000, rewritten batches, {heap} of heap. It makes its table itself.
- The work decides much: of upserts alone, a million of them on an idle machine, Debezium's sink was
  measured at 46,000 changes/s and 15 µs. Here one change in ten is a delete.

## What did not run

{not_run}
"""


def table(found: dict[str, Any]) -> str:
    """The arms side by side."""
    arms = [arm for arm in _ARMS if (found[arm] or {}).get("sink")]
    lines = ["| | " + " | ".join(_ARMS[arm] for arm in arms) + " |", "|---" * (len(arms) + 1) + "|"]
    for name, title in _ROWS.items():
        cells = " | ".join(_number(found[arm]["sink"][name]) for arm in arms)
        lines.append(f"| {title} | {cells} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{round(value):,}" if value >= 100 else f"{value:g}"


def page(found: dict[str, Any]) -> str:
    """The page."""
    ratio = found["ratio"]
    return _PAGE.format(
        changes=found["between_marks"],
        rounds=found["rounds"],
        cores=found["cores"],
        load=found["load"],
        warm_up=found["warm_up"],
        warm_up_of_java=found["warm_up_of_java"],
        heap=found["connect_heap"],
        table=table(found),
        sink=ratio["sink"],
        cpu=ratio["cpu"],
        memory=ratio["memory"],
        noise=found["noise"],
        not_run="\n".join(f"- {arm}: {why}." for arm, why in found["not_run"].items()),
    )


def picture(found: dict[str, Any]) -> str:
    """Bars, each group to its own scale."""
    parts: list[str] = []
    y = _GAP
    for name, title in list(_ROWS.items())[:3]:
        y += _BAR
        parts.append(f'<text x="{_LEFT}" y="{y - 4}" font-weight="bold">{escape(title)}</text>')
        values = {arm: found[arm]["sink"][name] for arm in _ARMS if (found[arm] or {}).get("sink")}
        for arm, value in values.items():
            long = max(round(value / max(values.values()) * (_WIDTH - 260)), 1)
            parts.append(
                f'<rect x="{_LEFT}" y="{y}" width="{long}" height="{_BAR}" fill="{_COLOURS[arm]}"/>'
                f'<text x="{_LEFT + long + 6}" y="{y + 13}">'
                f"{_number(value)} {escape(_SHORT[arm])}</text>"
            )
            y += _BAR + _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + _GAP}"'
        ' font-family="sans-serif" font-size="13">\n'
        f'<rect width="{_WIDTH}" height="{y + _GAP}" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


_SHORT = {"cdcd": "cdcd", "connect": "Debezium on Connect"}


def main() -> None:
    """Write both."""
    found = json.loads(OUTPUT.read_text("utf-8"))
    (ROOT / "docs" / "RACE.md").write_text(page(found), "utf-8")
    (ROOT / "docs" / "race.svg").write_text(picture(found), "utf-8")


if __name__ == "__main__":
    main()
