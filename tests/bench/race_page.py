"""The race's page and picture, from its document: docs/RACE.md and docs/race.svg.

python -m tests.bench.race_page
"""

import json
import re
import textwrap
from html import escape
from typing import Any

from tests.bench.race_document import ARMS
from tests.bench.race_text import (
    AIMS,
    AIMS_HEAD,
    HEAD,
    IDLE,
    LIMITED,
    LIMITS_HEAD,
    PARTS,
    PROFILE,
    Part,
)
from tests.stack import ROOT

DOCUMENT = ROOT / ".local" / "race.json"
LIMITS = ROOT / ".local" / "limits.json"

FIGURES = {
    "changes_per_second": "Changes/s",
    "p50_seconds": "Write to visible row, p50, s",
    "p95_seconds": "p95, s",
    "p99_seconds": "p99, s",
    "cpu_us_per_change": "CPU of the process, µs for each change",
    "start_up_cpu_seconds": "CPU of its start, not in the line above, s",
    "peak_mb": "Peak memory, MB",
    "cores": "Cores that it kept busy",
    "other_cores": "Cores that all else kept busy, the servers above all",
    "rows_that_differ": "Rows that differ from the source",
    "changes_missing": "Changes that are not in the topic",
    "not_seen": "Changes that nobody saw",
}
_BARS = ("changes_per_second", "cpu_us_per_change", "peak_mb")
_COLOURS = {"cdcd": "#1a7f5a", "connect": "#8a8f98", "rust": "#b5651d"}
_COLUMNS = 100
_WIDTH, _BAR, _GAP, _LEFT, _LABEL = 640, 18, 6, 10, 260


def page(found: dict[str, Any], limits: dict[str, Any] | None = None) -> str:
    """The page: the parts that ran, what is beside them, and what did not run."""
    noise = found["noise"]
    told = found | {"noise": "not known" if noise is None else f"{noise:.0%}"}
    texts = [prose(HEAD, told)]
    texts += [_section(name, part, told) for name, part in PARTS.items() if found["cdcd"].get(name)]
    if found["idle"]:
        texts.append(prose(IDLE, found["idle"]))
    texts += [prose(AIMS_HEAD, {}), aims_table(found)]
    if limits is not None:
        texts += [prose(LIMITS_HEAD, limits), limits_table(found, limits)]
    if found["not_run"]:
        lines = (f"- {arm}: {why}." for arm, why in found["not_run"].items())
        texts += ["## What did not run", *map(_wrapped, lines)]
    texts.append(prose(PROFILE, {}))
    return "\n\n".join(texts) + "\n"


def _section(name: str, part: Part, found: dict[str, Any]) -> str:
    texts = [f"## {part.title}", prose(part.text, found), table(name, part, found)]
    ratio = found["ratio"]
    said = [
        line.format(ratio=ratio[key]) for key, line in part.ratios.items() if ratio[key] is not None
    ]
    if noise := _noise(name, found):
        said.append(noise)
    if said:
        texts.append(_wrapped(" ".join(said)))
    texts += ["What is fair about it, and what is not:", prose(part.fair, found)]
    return "\n\n".join(texts)


def _noise(name: str, found: dict[str, Any]) -> str:
    shares = {arm: found["noise_of"].get(f"{arm} {name}") for arm in ARMS}
    told = [f"{arm} {share:.0%}" for arm, share in shares.items() if share is not None]
    what = "p95" if name == "steady" else "rate"
    if not told:
        return ""
    return f"Two runs of one arm differed by up to this share of its {what}: {', '.join(told)}."


def prose(text: str, found: dict[str, Any]) -> str:
    """Paragraphs and list items with the document's fields, in lines of the usual width."""
    return "\n\n".join(
        "\n".join(map(_wrapped, _items(paragraph)))
        for paragraph in text.format(**found).strip().split("\n\n")
    )


def _items(paragraph: str) -> list[str]:
    return re.split(r"\n(?=- )", paragraph)


def _wrapped(text: str) -> str:
    indent = "  " if text.startswith("- ") else ""
    return textwrap.fill(
        " ".join(text.split()),
        _COLUMNS,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(name: str, part: Part, found: dict[str, Any]) -> str:
    """The arms side by side."""
    arms = _ran(name, found)
    lines = [
        "| | " + " | ".join(part.arms[arm] for arm in arms) + " |",
        "|---" * (len(arms) + 1) + "|",
    ]
    for figure, title in FIGURES.items():
        values = [found[arm][name].get(figure) for arm in arms]
        if any(value is not None for value in values):
            lines.append(f"| {title} | " + " | ".join(map(_number, values)) + " |")
    return "\n".join(lines)


def aims_table(found: dict[str, Any]) -> str:
    """Each aim with its bound and what was found; an aim whose part did not run has no figure."""
    lines = ["| | To be reached | Found | |", "|---|---|---|---|"]
    for aim in AIMS:
        figure: Any = found
        for name in aim.path:
            figure = (figure or {}).get(name)
        told = "at least" if aim.is_least else "at most"
        verdict = (
            "" if figure is None else "reached" if aim.is_reached_by(figure) else "not reached"
        )
        lines.append(
            f"| {aim.title} | {told} {_number(aim.bound)} | {_number(figure)} | {verdict} |"
        )
    return "\n".join(lines)


def limits_table(found: dict[str, Any], limits: dict[str, Any]) -> str:
    """What clients and servers do alone, and cdcd's share of that in the part that needs it."""
    lines = ["| | Alone, in a second | Client's CPU, µs | cdcd's share |", "|---|---|---|---|"]
    for name, (title, part) in LIMITED.items():
        limit, ours = limits[name], (found["cdcd"] or {}).get(part)
        share = f"{ours['changes_per_second'] / limit['per_second']:.0%}" if ours else ""
        figures = f"{_number(limit['per_second'])} | {_number(limit['client_cpu_us'])}"
        lines.append(f"| {title} | {figures} | {share} |")
    return "\n".join(lines)


def _ran(name: str, found: dict[str, Any]) -> list[str]:
    return [arm for arm in ARMS if (found[arm] or {}).get(name)]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{round(value):,}" if value >= 100 else f"{value:.3g}"


def picture(found: dict[str, Any]) -> str:
    """Bars of each part in which two arms ran, each group to its own scale."""
    parts: list[str] = []
    y = _GAP
    for name, part in PARTS.items():
        arms = _ran(name, found)
        if len(arms) < 2 or name == "steady":
            continue
        for figure in _BARS:
            y += _BAR
            title = f"{part.title}: {FIGURES[figure]}"
            parts.append(f'<text x="{_LEFT}" y="{y - 4}" font-weight="bold">{escape(title)}</text>')
            values = {arm: found[arm][name][figure] for arm in arms}
            for arm, value in values.items():
                long = max(round(value / max(values.values()) * (_WIDTH - _LABEL)), 1)
                parts.append(
                    f'<rect x="{_LEFT}" y="{y}" width="{long}" height="{_BAR}"'
                    f' fill="{_COLOURS[arm]}"/>'
                    f'<text x="{_LEFT + long + 6}" y="{y + 13}">'
                    f"{_number(value)} {escape(part.short[arm])}</text>"
                )
                y += _BAR + _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + _GAP}"'
        ' font-family="sans-serif" font-size="13">\n'
        f'<rect width="{_WIDTH}" height="{y + _GAP}" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def main() -> None:
    """Write both."""
    found = json.loads(DOCUMENT.read_text("utf-8"))
    limits = json.loads(LIMITS.read_text("utf-8")) if LIMITS.exists() else None
    (ROOT / "docs" / "RACE.md").write_text(page(found, limits), "utf-8")
    (ROOT / "docs" / "race.svg").write_text(picture(found), "utf-8")


if __name__ == "__main__":
    main()
