"""A benchmark's latency as a picture: each sample a dot, each step a field. Pure."""

from html import escape
from math import log10

from cdcd.bench.report import Held, Report

WIDTH, HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 14, 34, 34
_DOT, _LINE, _TEXT = "#1a7f5a", "#c9ccd1", "#3c4048"
# A logarithmic scale from a hundredth of a second to a minute.
_LOW, _HIGH = 0.01, 60.0
_TICKS = (0.01, 0.1, 0.5, 1.0, 5.0, 60.0)
# More dots would say no more.
_DOTS_MAX = 4000


def picture(report: Report) -> str:
    """The picture as SVG."""
    held = report.held
    total = sum(each.step.seconds for each in held) or 1
    begin, fields = 0.0, []
    for each in held:
        left, right = _across(begin, total), _across(begin + each.step.seconds, total)
        fields += _field(each, left, right)
        begin += each.step.seconds
    caught = report.caught
    rate = "" if caught is None else f", backlog {caught.as_json()['changes_per_second']:,}/s"
    title = f"cdcd bench {report.profile}: from acknowledged write to row in PostgreSQL{rate}"
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {size}',
            f' font-family="sans-serif" font-size="11" fill="{_TEXT}">',
            f'<rect {size} fill="#ffffff"/>',
            f'<text x="{_LEFT}" y="16" font-size="13">{escape(title)}</text>',
            *_scale(),
            *fields,
            "</svg>\n",
        ]
    )


def _scale() -> list[str]:
    lines = []
    for tick in _TICKS:
        y = _down(tick)
        lines += [
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="{_LINE}"/>',
            f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{tick:g} s</text>',
        ]
    return lines


def _field(each: Held, left: float, right: float) -> list[str]:
    p95 = each.waited(0.95)
    says = f"{each.step.rate_per_second:,}/s" + ("" if p95 is None else f", p95 {p95:g} s")
    lines = [
        f'<line x1="{left}" x2="{left}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}" stroke="{_LINE}"/>',
        f'<text x="{(left + right) / 2:.1f}" y="{HEIGHT - 14}" text-anchor="middle">{says}</text>',
    ]
    every = len(each.samples) // _DOTS_MAX + 1
    for sample in each.samples[::every]:
        share = min(sample.at_seconds / each.step.seconds, 1.0)
        x, y = left + (right - left) * share, _down(sample.waited_seconds)
        lines.append(f'<circle cx="{x:.1f}" cy="{y}" r="1.3" fill="{_DOT}"/>')
    return lines


def _across(seconds: float, total: float) -> float:
    return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * seconds / total, 1)


def _down(seconds: float) -> float:
    share = log10(min(max(seconds, _LOW), _HIGH) / _LOW) / log10(_HIGH / _LOW)
    return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share, 1)
