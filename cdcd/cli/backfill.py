"""Run: copy tables under the stream of their changes."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from cdcd.cli.control import name_option
from cdcd.cli.invocation import Invocation
from cdcd.cli.look import json_option
from cdcd.cli.show_copies import LINE_SECONDS, Meter, show_copies
from cdcd.cli.tokens import TOKENS, WHOLE_RING, shown_tokens
from cdcd.config.settings import Settings
from cdcd.model.copies import CopyStanding, CopyState, standings
from cdcd.model.cqljson import serialized_from_json
from cdcd.model.errors import ConfigurationError, ExitCode, Fatal
from cdcd.model.lane import lane_of, lane_range
from cdcd.model.position import TokenRange
from cdcd.model.refresh import Copy, Key, Partition, Request, Tokens
from cdcd.ops.audit import audit
from cdcd.ops.board import wall_clock_ms
from cdcd.ops.logs import get_logger

if TYPE_CHECKING:  # it needs client libraries, and --help does not
    from cdcd.cli.gaps import Gaps
    from cdcd.transport.copies import Watch
    from cdcd.transport.thread import OneThread

log = get_logger()

# How often the lanes are looked at.
LOOK_SECONDS = 0.5
# Without a worker for so long the command gives up waiting.
ALONE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Wish:
    """What was asked for on the command line."""

    tables: tuple[str, ...]
    tokens: TokenRange | None
    partition: str | None
    cancel: bool
    resume: bool
    status: bool
    wait: bool
    as_json: bool

    @property
    def is_part(self) -> bool:
        """Whether it is not a new copy of whole tables."""
        part = self.tokens is not None or self.partition is not None
        return self.cancel or self.resume or part


@click.command(short_help="Copy tables while their changes go on.")
@click.argument("tables", nargs=-1, metavar="[KS.TABLE...]")
@click.option(
    "--tokens", type=TOKENS, metavar="A:B", help="Only partitions with tokens behind A, up to B."
)
@click.option("--partition", metavar="JSON", help="""Only this one: '{"id": 7}'.""")
@click.option("--cancel", is_flag=True, help="End the copies of these tables.")
@click.option("--resume", is_flag=True, help="Go on with what was cancelled.")
@click.option("--status", is_flag=True, help="Only show how far copies are.")
@click.option("--no-wait", is_flag=True, help="Ask for it, and do not wait for the end.")
@name_option
@json_option
@click.pass_obj
def backfill(  # noqa: PLR0913, PLR0917  click passes each option as an argument
    invocation: Invocation,
    tables: tuple[str, ...],
    tokens: TokenRange | None,
    partition: str | None,
    cancel: bool,
    resume: bool,
    status: bool,
    no_wait: bool,
    name: str | None,
    as_json: bool,
) -> int:
    """Copy tables from ScyllaDB while their changes go on.

    The running workers do it, a part at a time between changes, and go on after
    a restart where they were. Ctrl-C ends the waiting, not the copy. A table
    that stopped because changes are missing goes on with it. In the end rows of
    the target that are gone from the source are removed.

    \b
    Exit code 0: done. 1: it was cancelled. 3: no worker runs.
    """  # noqa: D301  click's mark for text to leave as it is
    if not tables and not status:
        raise click.UsageError("name tables")
    is_part = tokens is not None or partition is not None
    if tokens is not None and partition is not None:
        raise click.UsageError("--tokens and --partition exclude each other")
    if cancel + resume + status + is_part > 1:
        raise click.UsageError("--cancel, --resume, --status or a part: one of them")
    settings = invocation.settings({"name": name})
    wish = _Wish(tables, tokens, partition, cancel, resume, status, not no_wait, as_json)
    return asyncio.run(_run(settings, wish))


async def _run(settings: Settings, wish: _Wish) -> int:
    from cdcd.transport.copies import watching  # noqa: PLC0415  needs a client library

    lanes = await _lanes_of(settings)
    async with watching(settings.kafka, settings.name, lanes) as (watch, thread):
        found = _standings(watch, wish.tables)
        if wish.status:
            show_copies(settings.name, found, {}, as_json=wish.as_json)
            return ExitCode.DONE
        await _require_worker(settings)
        gaps = await _gaps(settings, wish)
        if moved := tuple(t for t in wish.tables if gaps and gaps.has_moved_keys(t)):
            await _copy_before(settings, replace(wish, tables=moved), lanes, (watch, thread))
            gaps = await _gaps(settings, wish)
        if wish.cancel:
            requests = _cancels(watch, wish)
        elif wish.resume:
            requests = _resumed(watch, wish)
        else:
            requests = await _requests(settings, wish, lanes)
        runs = _runs(watch, requests, lanes)
        if wish.resume:
            # What is known of these is what they were before.
            watch.ended = {at: c for at, c in watch.ended.items() if (*at, c.run) not in runs}
        if requests:
            await _write(settings, wish, lanes, requests)
        gaps = gaps and await gaps.passed_over()
        if wish.wait and requests:
            found = await _wait(settings, watch, thread, runs, quiet=wish.as_json)
        elif not wish.cancel:
            found = []
    removed = await _remove_leftovers(settings, wish, found)
    if gaps:
        await gaps.mended(removed)
    _show_end(settings, wish, found, removed, requests)
    cancelled = any(each.state is CopyState.CANCELLED for each in found)
    return ExitCode.FOUND if cancelled and not wish.cancel else ExitCode.DONE


async def _copy_before(
    settings: Settings, wish: _Wish, lanes: int, watching: tuple["Watch", "OneThread"]
) -> None:
    """Copy tables whose topics have another number of partitions. Behind a copy that was served no
    worker goes by the number before; only then the ends of the topics can be taken, behind which
    each row is in one partition. Raises Fatal where it is cancelled.
    """
    watch, thread = watching
    log.info("copying twice: a topic has another number of partitions", tables=wish.tables)
    requests = await _requests(settings, wish, lanes)
    await _write(settings, wish, lanes, requests)
    runs = _runs(watch, requests, lanes)
    found = await _wait(settings, watch, thread, runs, quiet=wish.as_json)
    if any(each.state is CopyState.CANCELLED for each in found):
        raise Fatal("the copy was cancelled", f"cdcd backfill {' '.join(wish.tables)}")


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


async def _gaps(settings: Settings, wish: _Wish) -> "Gaps | None":
    """What the copy mends in the sink; None where it is not of whole tables, or nobody writes the
    target. Raises ConfigurationError where that cannot be done without waiting.
    """
    from cdcd.cli.gaps import find_gaps  # noqa: PLC0415  needs client libraries
    from cdcd.reconcile.leftovers import writers  # noqa: PLC0415

    if wish.is_part or not await writers(settings):
        return None
    found = await find_gaps(settings, wish.tables)
    if not wish.wait and any(found.has_moved_keys(t) for t in wish.tables):
        message = "a topic has another number of partitions: that takes two copies, one by one"
        raise ConfigurationError(message, "without --no-wait")
    return found


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
            requests += _of_tokens(name, run, wish.tokens or WHOLE_RING, lanes, asked_ms)
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


def _cancels(watch: "Watch", wish: _Wish) -> list[Request]:
    return [
        Request(uuid4().hex, r.table, r.scope, r.token, cancels=r.id)
        for r in watch.running.values()
        if r.table in wish.tables
    ]


def _resumed(watch: "Watch", wish: _Wish) -> list[Request]:
    """What was left of copies that were cancelled. Raises ConfigurationError where another copy of
    the table has ended since, which may have taken a place in what is known of it.
    """
    asked_ms, found = wall_clock_ms(), []
    for name in wish.tables:
        ended = [copied for copied in watch.ended.values() if copied.table == name]
        if len({copied.run for copied in ended}) > 1 and any(c.cancelled for c in ended):
            message = f"{name} has had another copy since one was cancelled"
            raise ConfigurationError(message, f"copy all of it: cdcd backfill {name}")
        for left in (copied.left for copied in ended):
            if left is not None and left.copy is not None:
                copy = replace(left.copy, asked_ms=asked_ms)
                found.append(replace(left, copy=copy, due_ms=asked_ms))
    return found


def _runs(watch: "Watch", requests: Sequence[Request], lanes: int) -> set[tuple[int, str, str]]:
    """Lane, table and run of each part that is asked for."""
    return {(lane_of(r.token, lanes), r.table, _run_of(watch, r)) for r in requests}


def _run_of(watch: "Watch", request: Request) -> str:
    if request.copy is not None:
        return request.copy.run
    named = [r.copy for r in watch.running.values() if r.id == request.cancels]
    return next((copy.run for copy in named if copy is not None), "")


async def _write(settings: Settings, wish: _Wish, lanes: int, requests: Sequence[Request]) -> None:
    from cdcd.transport.copies import write_requests  # noqa: PLC0415  needs a client library

    await write_requests(settings.kafka, settings.name, lanes, requests)
    command = "backfill"
    if wish.cancel or wish.resume:
        command += " --cancel" if wish.cancel else " --resume"
    part: dict[str, str] = {"tokens": shown_tokens(wish.tokens)} if wish.tokens else {}
    if wish.partition:
        # Its key may be what nobody should read in a log.
        part = {"part": "one partition"}
    audit(command, settings.name, tables=list(wish.tables), **part)


async def _wait(
    settings: Settings,
    watch: "Watch",
    thread: "OneThread",
    runs: set[tuple[int, str, str]],
    *,
    quiet: bool,
) -> list[CopyStanding]:
    """Show how far the copies are until they end; `runs` has lane, table and run of each part.
    Raises Fatal when no worker is left.
    """
    from cdcd.transport.copies import readers  # noqa: PLC0415  needs a client library

    loop = asyncio.get_running_loop()
    seen_worker = counted = loop.time()
    copies = {(table, run) for _, table, run in runs}
    with Meter(quiet=quiet) as show:
        while True:
            await thread.call(watch.poll, LOOK_SECONDS)
            found = [s for s in _standings(watch, ()) if (s.table, s.run) in copies]
            show(found)
            # What was written may not have been read yet.
            if runs <= _told(watch) and all(s.state is not CopyState.RUNNING for s in found):
                return found
            if loop.time() - counted > LINE_SECONDS:
                counted = loop.time()
                if await readers(settings.kafka, settings.name):
                    seen_worker = counted
                elif counted - seen_worker > ALONE_SECONDS:
                    message = f"no worker of pipeline {settings.name} is left"
                    raise Fatal(message, "the copy goes on when one starts")


def _standings(watch: "Watch", tables: Sequence[str]) -> list[CopyStanding]:
    found = standings(watch.running.values(), watch.ended, wall_clock_ms())
    return [each for each in found if not tables or each.table in tables]


def _told(watch: "Watch") -> set[tuple[int, str, str]]:
    """Lane, table and run of all that the lanes have told."""
    running = {
        (lane, r.table, r.copy.run) for (lane, _), r in watch.running.items() if r.copy is not None
    }
    return running | {(*at, copied.run) for at, copied in watch.ended.items()}


async def _remove_leftovers(
    settings: Settings, wish: _Wish, found: Sequence[CopyStanding]
) -> Mapping[str, int]:
    """Rows of the target that were gone, by table. A partition needs none: its copy clears it."""
    from cdcd.reconcile.leftovers import remove_leftovers, writers  # noqa: PLC0415  as above

    done = [each.table for each in found if each.state is CopyState.DONE]
    if not done or wish.cancel or wish.partition is not None:
        return {}
    if not await writers(settings):
        log.warning("nobody writes the target, so rows that are gone may stay in it")
        return {}
    return await remove_leftovers(settings, done, wish.tokens or WHOLE_RING)


def _show_end(
    settings: Settings,
    wish: _Wish,
    found: list[CopyStanding],
    removed: Mapping[str, int],
    requests: Sequence[Request],
) -> None:
    if wish.as_json or (wish.wait and requests):
        show_copies(settings.name, found, removed, as_json=wish.as_json)
    elif not requests:
        click.echo(f"no copy of these tables {'was cancelled' if wish.resume else 'is running'}")
    else:
        verb = "cancelled" if wish.cancel else "asked for"
        click.echo(f"{verb}: {' '.join(wish.tables)}; see cdcd backfill --status")
