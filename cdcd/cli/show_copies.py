"""How far copies are, for people and programs."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from cdcd.cli.show import console, duration
from cdcd.model.copies import CopyStanding
from cdcd.ops.logs import get_logger

log = get_logger()

# How often a line is logged where there is no terminal.
LINE_SECONDS = 10.0


class Meter:
    """Shows progress: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bars: dict[tuple[str, str], TaskID] = {}
        self._said_at = 0.0
        self._progress: Progress | None = None

    def __enter__(self) -> Callable[[list[CopyStanding]], None]:
        out = console()
        if out.is_terminal and not self._quiet:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>5.1f} %"),
                TextColumn("{task.fields[rows]:,} rows"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[eta]}"),
            )
            self._progress = Progress(*columns, console=out)
            self._progress.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _show(self, found: list[CopyStanding]) -> None:
        if self._progress is not None:
            for each in found:
                self._draw(self._progress, each)
            return
        now = asyncio.get_running_loop().time()
        if now - self._said_at >= LINE_SECONDS and not self._quiet:
            self._said_at = now
            for each in found:
                log.info("copying", table=each.table, **_facts(each))

    def _draw(self, progress: Progress, each: CopyStanding) -> None:
        key = (each.table, each.run)
        if key not in self._bars:
            self._bars[key] = progress.add_task(each.table, total=1.0, rows=0, eta="")
        left = each.remaining_seconds
        eta = "" if left is None else f"{duration(left)} left"
        progress.update(self._bars[key], completed=each.share, rows=each.rows, eta=eta)


def _facts(each: CopyStanding) -> dict[str, Any]:
    left = each.remaining_seconds
    return {
        "done_percent": round(each.share * 100, 1),
        "rows": each.rows,
        "lanes_done": f"{each.lanes_done}/{each.lanes}",
        "remaining": None if left is None else duration(left),
    }


def show_copies(
    pipeline: str, found: Sequence[CopyStanding], removed: Mapping[str, int], *, as_json: bool
) -> None:
    """Print copies; `removed` counts the rows that were gone, of tables where that is known."""
    if as_json:
        copies = [{**each.as_json(), "removed": removed.get(each.table)} for each in found]
        click.echo(json.dumps({"pipeline": pipeline, "copies": copies}, indent=2))
        return
    if not found:
        click.echo(f"pipeline {pipeline} has made no copy")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("table", overflow="fold")
    for title in ("copy", "done", "rows", "lanes", "left"):
        table.add_column(title, justify="right")
    for each in found:
        left = each.remaining_seconds
        table.add_row(
            each.table,
            each.state.value,
            f"{each.share:.1%}",
            f"{each.rows:,}",
            f"{each.lanes_done}/{each.lanes}",
            "" if left is None else duration(left),
        )
    console().print(table)
    for name, count in removed.items():
        if count:
            click.echo(f"{name}: {count:,} rows of the target were gone from the source")
