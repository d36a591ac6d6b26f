"""Run: copy tables under the stream of their changes."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from cdcd.cli.control import name_option
from cdcd.cli.invocation import Invocation
from cdcd.cli.look import json_option
from cdcd.cli.show import console, duration
from cdcd.config.settings import Settings
from cdcd.model.copies import CopyStanding, CopyState, standings
from cdcd.model.cqljson import serialized_from_json
from cdcd.model.errors import ConfigurationError, ExitCode, Fatal
from cdcd.model.lane import lane_of, lane_range
from cdcd.model.position import RING_MAX, RING_MIN, TokenRange
from cdcd.model.refresh import Copy, Key, Partition, Request, Tokens
from cdcd.ops.audit import audit
from cdcd.ops.board import wall_clock_ms
from cdcd.ops.logs import get_logger

if TYPE_CHECKING:  # it needs client libraries, and --help does not
    from cdcd.transport.copies import Watch
    from cdcd.transport.thread import OneThread

log = get_logger()

# How often the lanes are looked at, a line is logged, and the workers are counted.
LOOK_SECONDS = 0.5
LINE_SECONDS = 10.0
# Without a worker for so long the command gives up waiting.
ALONE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Wish:
    """What was asked for on the command line."""

    tables: tuple[str, ...]
    tokens: str | None
    partition: str | None
    cancel: bool
    status: bool
    wait: bool
    as_json: bool


@click.command(short_help="Copy tables while their changes go on.")
@click.argument("tables", nargs=-1, metavar="[KS.TABLE...]")
@click.option("--tokens", metavar="A:B", help="Only partitions with tokens behind A, up to B.")
@click.option("--partition", metavar="JSON", help="""Only this one: '{"id": 7}'.""")
@click.option("--cancel", is_flag=True, help="End the copies of these tables.")
@click.option("--status", is_flag=True, help="Only show how far copies are.")
@click.option("--no-wait", is_flag=True, help="Ask for it, and do not wait for the end.")
@name_option
@json_option
@click.pass_obj
def backfill(  # noqa: PLR0913, PLR0917  click passes each option as an argument
    invocation: Invocation,
    tables: tuple[str, ...],
    tokens: str | None,
    partition: str | None,
    cancel: bool,
    status: bool,
    no_wait: bool,
    name: str | None,
    as_json: bool,
) -> int:
    """Copy tables from ScyllaDB while their changes go on.

    The running workers do it, a part at a time between changes, and go on after
    a restart where they were. Ctrl-C ends the waiting, not the copy. A table
    that stopped because changes are missing goes on with it.

    \b
    Exit code 0: done. 1: it was cancelled. 3: no worker runs.
    """  # noqa: D301  click's mark for text to leave as it is
    if not tables and not status:
        raise click.UsageError("name tables")
    if tokens and partition:
        raise click.UsageError("--tokens and --partition exclude each other")
    settings = invocation.settings({"name": name})
    wish = _Wish(tables, tokens, partition, cancel, status, not no_wait, as_json)
    return asyncio.run(_run(settings, wish))


async def _run(settings: Settings, wish: _Wish) -> int:
    from cdcd.transport.copies import watching  # noqa: PLC0415  needs a client library

    lanes = await _lanes_of(settings)
    async with watching(settings.kafka, settings.name, lanes) as (watch, thread):
        found = _standings(watch, wish.tables)
        if wish.status:
            _show(settings, found, as_json=wish.as_json)
            return ExitCode.DONE
        await _require_worker(settings)
        requests = _cancels(watch, wish) if wish.cancel else await _requests(settings, wish, lanes)
        runs = {(r.table, _run_of(watch, r)) for r in requests}
        if requests:
            await _write(settings, wish, lanes, requests)
        if wish.wait and requests:
            found = await _wait(settings, watch, thread, runs, quiet=wish.as_json)
        elif not wish.cancel:
            found = []
    _show_end(settings, wish, found, requests)
    cancelled = any(each.state is CopyState.CANCELLED for each in found)
    return ExitCode.FOUND if cancelled and not wish.cancel else ExitCode.DONE


async def _lanes_of(settings: Settings) -> int:
    from cdcd.transport.topics import Topics, lanes_topic  # noqa: PLC0415  as above

    lanes = (await Topics(settings.kafka).partitions()).get(lanes_topic(settings.name))
    if lanes is None:
        hint = "see `name` in `cdcd config`"
        raise ConfigurationError(f"there is no pipeline {settings.name}", hint)
    return lanes


async def _require_worker(settings: Settings) -> None:
    from cdcd.transport.copies import readers  # noqa: PLC0415  as above

    if not await readers(settings.kafka, settings.name):
        message = f"no worker of pipeline {settings.name} reads ScyllaDB"
        raise Fatal(message, "start one with `cdcd run`: workers do the copying")


async def _requests(settings: Settings, wish: _Wish, lanes: int) -> list[Request]:
    """What is to be written. Raises ConfigurationError for what there is not."""
    from cdcd.source.catalog import find, read_schema  # noqa: PLC0415  needs a client library
    from cdcd.source.session import Session  # noqa: PLC0415
    from cdcd.transport.control import read_control  # noqa: PLC0415

    control = await read_control(settings.kafka, settings.name)
    for name in wish.tables:
        if control is None or not control.wants(name):
            hint = f"see `cdcd tables list --name {settings.name}`"
            raise ConfigurationError(f"{name} is not a table of {settings.name}", hint)
    async with Session.open(settings.scylla) as session:
        catalog = find(await read_schema(session), wish.tables)
    catalog.require(wish.tables)
    asked_ms = wall_clock_ms()
    requests = []
    for name in wish.tables:
        spec, run = catalog.tables[name].spec, uuid4().hex[:12]
        if wish.partition is not None:
            key = serialized_from_json(spec.partition_key, wish.partition)
            requests.append(_of_partition(name, run, key, lanes, asked_ms))
        else:
            tokens = _parsed(wish.tokens)
            requests += _of_tokens(name, run, tokens, lanes, asked_ms)
    return requests


def _of_partition(table: str, run: str, key: Key, lanes: int, asked_ms: int) -> Request:
    from cdcd.source.decode import serialized_key  # noqa: PLC0415  needs a client library
    from cdcd.source.session import partition_token  # noqa: PLC0415

    token = partition_token(serialized_key(key))
    copy = Copy(run, TokenRange(token - 1, token), asked_ms)
    request_id = f"{run}.{lane_of(token, lanes)}"
    return Request(request_id, table, Partition(key), token, asked_ms, copy)


def _of_tokens(
    table: str, run: str, tokens: TokenRange, lanes: int, asked_ms: int
) -> list[Request]:
    found = []
    for lane in range(lanes):
        whole = lane_range(lane, lanes)
        part = TokenRange(max(whole.start, tokens.start), min(whole.end, tokens.end))
        if part.start < part.end:
            copy = Copy(run, part, asked_ms)
            scope = Tokens(part)
            found.append(Request(f"{run}.{lane}", table, scope, part.end, asked_ms, copy))
    return found


def _parsed(text: str | None) -> TokenRange:
    """Raises UsageError for what is no range of tokens."""
    if text is None:
        return TokenRange(RING_MIN - 1, RING_MAX)
    first, _, last = text.partition(":")
    try:
        tokens = TokenRange(int(first or RING_MIN - 1), int(last or RING_MAX))
    except ValueError:
        raise click.UsageError("--tokens takes two whole numbers: -100:100") from None
    if tokens.start >= tokens.end or tokens.end > RING_MAX:
        raise click.UsageError("--tokens takes a range: the second number is the larger one")
    return tokens


def _cancels(watch: "Watch", wish: _Wish) -> list[Request]:
    return [
        Request(uuid4().hex, r.table, r.scope, r.token, cancels=r.id)
        for r in watch.running.values()
        if r.table in wish.tables
    ]


def _run_of(watch: "Watch", request: Request) -> str:
    if request.copy is not None:
        return request.copy.run
    named = [r.copy for r in watch.running.values() if r.id == request.cancels]
    return next((copy.run for copy in named if copy is not None), "")


async def _write(settings: Settings, wish: _Wish, lanes: int, requests: Sequence[Request]) -> None:
    from cdcd.transport.copies import write_requests  # noqa: PLC0415  needs a client library

    await write_requests(settings.kafka, settings.name, lanes, requests)
    command = "backfill --cancel" if wish.cancel else "backfill"
    part = {"tokens": wish.tokens} if wish.tokens else {}
    audit(command, settings.name, tables=list(wish.tables), **part)


async def _wait(
    settings: Settings,
    watch: "Watch",
    thread: "OneThread",
    runs: set[tuple[str, str]],
    *,
    quiet: bool,
) -> list[CopyStanding]:
    """Show how far the copies are until they end. Raises Fatal when no worker is left."""
    from cdcd.transport.copies import readers  # noqa: PLC0415  needs a client library

    loop = asyncio.get_running_loop()
    seen_worker = counted = loop.time()
    asked = False
    with _Meter(quiet=quiet) as show:
        while True:
            await thread.call(watch.poll, LOOK_SECONDS)
            found = [s for s in _standings(watch, ()) if (s.table, s.run) in runs]
            show(found)
            # What was written may not have been read yet.
            asked = asked or bool(found)
            if asked and all(s.state is not CopyState.RUNNING for s in found):
                return found
            if loop.time() - counted > LINE_SECONDS:
                counted = loop.time()
                if await readers(settings.kafka, settings.name):
                    seen_worker = counted
                elif counted - seen_worker > ALONE_SECONDS:
                    message = f"no worker of pipeline {settings.name} is left"
                    raise Fatal(message, "the copy goes on when one starts")


class _Meter:
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


def _standings(watch: "Watch", tables: Sequence[str]) -> list[CopyStanding]:
    found = standings(watch.running.values(), watch.ended, wall_clock_ms())
    return [each for each in found if not tables or each.table in tables]


def _show_end(
    settings: Settings, wish: _Wish, found: list[CopyStanding], requests: Sequence[Request]
) -> None:
    if wish.as_json or (wish.wait and requests):
        _show(settings, found, as_json=wish.as_json)
    elif not requests:
        click.echo("no copy of these tables is running")
    else:
        verb = "cancelled" if wish.cancel else "asked for"
        click.echo(f"{verb}: {' '.join(wish.tables)}; see cdcd backfill --status")


def _show(settings: Settings, found: Sequence[CopyStanding], *, as_json: bool) -> None:
    if as_json:
        document = {"pipeline": settings.name, "copies": [each.as_json() for each in found]}
        click.echo(json.dumps(document, indent=2))
        return
    if not found:
        click.echo(f"pipeline {settings.name} has made no copy")
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
