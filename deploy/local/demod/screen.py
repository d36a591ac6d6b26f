"""How the demo looks: in colour on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from stackd.jaeger import Trace

from demod.compare import Compared
from demod.latency import Latency
from demod.ledger import Verdict
from demod.places import KEYSPACE, PIPELINE, TARGET_SCHEMA

_WIDTH_ELSEWHERE = 100
_GOAL_SECONDS = 2.0
_BAR_CELLS = 40
_ARRIVAL_CELLS = 20


class Screen:
    """Standard output."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # names may not be in the terminal's alphabet
        width = None if self.is_terminal else _WIDTH_ELSEWHERE
        self._console = Console(width=width, highlight=False)
        self._step = 0

    def step(self, what: str) -> None:
        """A heading, numbered."""
        self._step += 1
        self._console.print(f"\n[bold cyan]{self._step}. {what}[/]")
        sys.stdout.flush()

    def say(self, what: str) -> None:
        """A line under the step."""
        self._console.print(f"   {what}", soft_wrap=True)
        sys.stdout.flush()

    def show(self, *what: RenderableType) -> None:
        """Tables and panels."""
        for each in what:
            self._console.print(each)
        sys.stdout.flush()

    def arriving(self) -> Arriving:
        """A table that changes while rows arrive."""
        return Arriving(self)

    def live(self) -> Live:
        """A place that is drawn again and again; for terminals."""
        return Live(console=self._console, refresh_per_second=10)

    def table(self, title: str, *columns: str) -> Table:
        """An empty table; columns that begin with # hold numbers."""
        style = box.ROUNDED if self.is_terminal else box.ASCII
        made = Table(title=title, title_justify="left", box=style, title_style="bold")
        for column in columns:
            if column.startswith("#"):
                made.add_column(column[1:], justify="right")
            else:
                made.add_column(column, overflow="fold")
        return made

    def panel(self, inside: RenderableType, title: str) -> RenderableType:
        """A frame, on a terminal."""
        if not self.is_terminal:
            return Group(Text(f"--- {title} ---"), inside)
        return Panel(inside, title=title, border_style="cyan", expand=False, padding=(0, 1))

    @property
    def arrow(self) -> str:
        """From left to right."""
        return "─▶" if self.is_terminal else "->"


class Arriving:
    """Rows as they come: drawn again on a terminal, a line for each change elsewhere."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._live = screen.live() if screen.is_terminal else None
        self._before: list[tuple[str, int, int]] = []

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, compared: Sequence[Compared], seconds: float) -> None:
        """What there is now."""
        now = [(c.table, c.rows_source, c.rows_equal) for c in compared]
        if self._live:
            self._live.update(self._drawn(compared, seconds))
        elif now != self._before:
            counts = "   ".join(f"{table} {equal}/{rows}" for table, rows, equal in now)
            self._screen.say(f"{seconds:5.1f} s   {counts}")
        self._before = now

    def _drawn(self, compared: Sequence[Compared], seconds: float) -> Table:
        table = self._screen.table(f"{seconds:.1f} s", "table", "equal on both sides", "#rows")
        for c in compared:
            bar = bar_of(c.rows_equal / max(c.rows_source, 1), _ARRIVAL_CELLS)
            colour = "green" if c.is_equal else "yellow"
            table.add_row(c.table, f"[{colour}]{bar}[/]", f"{c.rows_equal}/{c.rows_source}")
        return table


def bar_of(share: float, cells: int) -> str:
    """A bar of so many cells."""
    full = round(share * cells)
    return "█" * full + "░" * (cells - full)


def target_table(screen: Screen, title: str, rows: Sequence[Any], columns: Iterable[str]) -> Table:
    """Rows of the target as they are there."""
    names = list(columns)
    table = screen.table(title, *names)
    for row in rows:
        table.add_row(*(Text(_cell(row[n])) for n in names))
    return table


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:%H:%M:%S.%f}"[:-3] if isinstance(value, datetime) else str(value)


def summary_table(screen: Screen, verdict: Verdict) -> Table:
    """`validation_summary`, with the two functions under it."""
    table = screen.table(
        f"{TARGET_SCHEMA}.validation_summary", "category", "status", "#expected", "#actual",
        "checked_at",
    )  # fmt: skip
    for row in verdict.summary:
        colour = {"equal": "green", "different": "red"}.get(row["status"], "yellow")
        checked = row["checked_at"]
        table.add_row(
            row["category"],
            f"[{colour}]{row['status']}[/]",
            *("" if row[n] is None else str(row[n]) for n in ("expected", "actual")),
            f"{checked:%H:%M:%S.%f}" if checked else "",
        )
    return table


def flow_picture(
    screen: Screen, compared: Sequence[Compared], status: dict[str, Any]
) -> RenderableType:
    """The whole way, a line for each table."""
    arrow = f"[cyan]{screen.arrow}[/]"
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for name, place in (
        ("ScyllaDB", f"{KEYSPACE}.*"),
        ("", "rows"),
        ("", ""),
        ("Kafka", f"{PIPELINE}.{KEYSPACE}.*"),
        ("", "changes"),
        ("", ""),
        ("PostgreSQL", f"{TARGET_SCHEMA}.*"),
        ("", "rows"),
        ("", ""),
    ):
        number = place in {"rows", "changes"}
        table.add_column(f"{name}\n{place}", justify="right" if number else "left")
    for c in compared:
        published = status.get(f"{KEYSPACE}.{c.table}", {}).get("published", 0)
        word = "[green]equal[/]" if c.is_equal else "[red]different[/]"
        table.add_row(
            *(c.table, str(c.rows_source), arrow),
            *(c.table, str(published), arrow),
            *(c.table, str(c.rows_target), word),
        )
    return screen.panel(
        table, "change log -> Avro, transactions -> one commit for rows and offsets"
    )


def latency_picture(screen: Screen, latency: Latency) -> RenderableType:
    """Both latencies against the goal."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    for name, seconds in (("insert", latency.insert_seconds), ("update", latency.update_seconds)):
        share = min(seconds / _GOAL_SECONDS, 1.0)
        colour = "green" if seconds < _GOAL_SECONDS else "red"
        bar = bar_of(share, _BAR_CELLS) if screen.is_terminal else "#" * round(share * _BAR_CELLS)
        table.add_row(name, f"[{colour}]{bar}[/]", f"[bold]{seconds:.3f} s[/]")
    title = f"from the write to the row seen in PostgreSQL; the bar is {_GOAL_SECONDS:.0f} s"
    return screen.panel(table, title)


def trace_picture(screen: Screen, trace: Trace) -> RenderableType:
    """Each span of a trace on one line of time."""
    began_us = min(span.began_us for span in trace.spans)
    whole_us = max(span.began_us + span.duration_us for span in trace.spans) - began_us
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    depths: dict[str | None, int] = {None: -1}
    for span in trace.spans:
        depths[span.name] = depths.get(span.parent, 0) + 1
        before = int((span.began_us - began_us) / whole_us * _BAR_CELLS)
        cells = max(round(span.duration_us / whole_us * _BAR_CELLS), 1)
        bar = " " * before + (("█" if screen.is_terminal else "#") * cells)
        name = Text("  " * depths[span.name] + span.name)
        table.add_row(name, f"[cyan]{bar}[/]", f"{span.duration_us / 1000:.1f} ms")
    return screen.panel(table, f"{whole_us / 1000:.0f} ms from the read of the log to the commit")
