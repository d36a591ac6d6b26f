"""The demo, straight down: sample, daemon, rows arriving, the comparison, two measured writes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg

from demod import ledger, sample
from demod.compare import Compared
from demod.daemon import Daemon
from demod.errors import DemoError
from demod.latency import Latency, measure
from demod.places import KEYSPACE, PIPELINE, SAMPLE, TARGET_SCHEMA
from demod.screen import (
    Screen,
    flow_picture,
    latency_picture,
    summary_table,
    target_table,
    trace_picture,
)
from demod.servers import Addresses
from demod.sides import Scylla, compare_all
from demod.watching import Watch

ARRIVAL_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.1


@dataclass(slots=True)
class Result:
    """The last line. It is filled as far as the demo comes."""

    tables: int = 0
    rows_expected: int = 0
    rows_ok: int = 0
    insert_seconds: float | None = None
    update_seconds: float | None = None
    passed: bool = False


@dataclass(slots=True)
class Demo:
    """What the steps share."""

    addresses: Addresses
    screen: Screen
    sample: sample.Sample
    scylla: Scylla
    postgres: asyncpg.Connection[Any]
    result: Result
    watch: Watch | None
    # When the latest comparison began.
    looked_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def tables(self) -> list[str]:
        """The sample's tables."""
        return sorted(self.sample.keys)


async def play(addresses: Addresses, screen: Screen, result: Result, watch: Watch | None) -> Daemon:
    """Everything between the start of the servers and the end; fills the result as it goes.

    Raises DemoError when something does not arrive. The daemon still runs.
    """
    script = sample.read(SAMPLE.read_text("utf-8"))
    result.tables, result.rows_expected = len(script.keys), script.rows
    scylla = await asyncio.to_thread(Scylla, addresses)
    postgres = await asyncpg.connect(addresses.postgres)
    demo = Demo(addresses, screen, script, scylla, postgres, result, watch)
    try:
        await _load(demo)
        daemon = await _run_daemon(demo)
        compared = await _watch_arrival(demo, daemon)
        await _judge(demo, compared)
        latency = await _measure(demo)
        if watch is not None:
            await _trace(demo, watch, latency)
        await _sum_up(demo, daemon)
        return daemon
    finally:
        await postgres.close()
        await scylla.close()


async def _load(demo: Demo) -> None:
    demo.screen.step(f"Keyspace {KEYSPACE}: {demo.sample.rows} rows in {len(demo.tables)} tables")
    await ledger.refuse_foreign_targets(demo.postgres, demo.tables)
    for statement in [*demo.sample.schema, *demo.sample.inserts]:
        await demo.scylla.execute(statement)
    counts = ", ".join(f"{len(keys)} {table}" for table, keys in demo.sample.keys.items())
    demo.screen.say(f"{counts}; every table WITH cdc = {{'enabled': true}}")


async def _run_daemon(demo: Demo) -> Daemon:
    demo.screen.step(f"The daemon: cdcd run --table '{KEYSPACE}.*' --name {PIPELINE}")
    watch = demo.watch
    environment = watch.environment if watch else {}
    daemon = await asyncio.to_thread(Daemon.start, demo.addresses.config, environment)
    seconds = await asyncio.to_thread(daemon.wait_ready)
    demo.screen.say(f"ready in {seconds:.1f} s at {daemon.url} (/readyz, /metrics, /status)")
    if watch is not None and daemon.url is not None:
        known = await asyncio.to_thread(watch.scrape, daemon.url)
        demo.screen.say(f"scraped by Prometheus with {known}, which knows Alertmanager:")
        for each in watch.running:
            demo.screen.say(f"{each.name:<12} {each.url}")
    return daemon


async def _watch_arrival(demo: Demo, daemon: Daemon) -> list[Compared]:
    """Read both sides again and again until they are equal."""
    demo.screen.step(f"Rows arrive in database warehouse, schema {TARGET_SCHEMA}")
    began = time.monotonic()
    with demo.screen.arriving() as arriving:
        while True:
            compared = await _compare(demo)
            seconds = time.monotonic() - began
            arriving.show(compared, seconds)
            if all(c.is_equal for c in compared):
                break
            daemon.check_alive()
            if seconds > ARRIVAL_SECONDS_MAX:
                break
            await asyncio.sleep(_POLL_SECONDS)
    rows = await demo.postgres.fetch(
        "SELECT email, full_name, loyalty_points AS points, cdc_timestamp "
        f"FROM {TARGET_SCHEMA}.users ORDER BY cdc_timestamp DESC LIMIT 5"
    )
    title = f"{TARGET_SCHEMA}.users"
    demo.screen.show(target_table(demo.screen, title, rows, rows[0].keys() if rows else ()))
    return compared


async def _compare(demo: Demo) -> list[Compared]:
    demo.looked_at = datetime.now(UTC)
    compared = await compare_all(demo.scylla, demo.postgres, demo.tables)
    demo.result.rows_ok = sum(c.equal_among(demo.sample.keys[c.table]) for c in compared)
    return compared


async def _judge(demo: Demo, compared: list[Compared]) -> None:
    demo.screen.step("Both sides compared, every column of every row, by two other clients")
    await ledger.record(demo.postgres, compared, demo.looked_at)
    verdict = await ledger.verdict(demo.postgres)
    demo.screen.show(summary_table(demo.screen, verdict))
    percent = "NULL" if verdict.completeness is None else f"{verdict.completeness} %"
    demo.screen.say(f"get_replication_completeness() = {percent}")
    demo.screen.say(f"is_replication_complete()      = {str(verdict.is_complete).lower()}")
    if verdict.others:
        names = ", ".join(verdict.others)
        demo.screen.say(f"(the schema holds tables of other pipelines too: {names})")
    wrong = [c for c in compared if not c.is_equal]
    if wrong:
        raise DemoError("; ".join(map(_what_is_wrong, wrong)))
    if not verdict.others and not verdict.is_complete:
        raise DemoError("is_replication_complete() is not true")


def _what_is_wrong(compared: Compared) -> str:
    parts = [
        f"{len(keys)} {word}"
        for keys, word in ((compared.missing, "missing"), (compared.extra, "too many"))
        if keys
    ]
    parts += [f"{k} differs in {', '.join(c)}" for k, c in list(compared.different.items())[:3]]
    return f"{compared.table}: {', '.join(parts)}"


async def _measure(demo: Demo) -> Latency:
    demo.screen.step("One user inserted and updated, with a stop-watch")
    latency = await measure(demo.scylla, demo.postgres)
    demo.result.insert_seconds = round(latency.insert_seconds, 3)
    demo.result.update_seconds = round(latency.update_seconds, 3)
    _show_latency(demo, latency)
    return latency


async def _trace(demo: Demo, watch: Watch, latency: Latency) -> None:
    """Find the update's trace in Jaeger, as far as PostgreSQL's commit."""
    demo.screen.step("The update on its way, as Jaeger has it")
    trace = await asyncio.to_thread(watch.find, "users", latency.updated_us)
    demo.screen.show(trace_picture(demo.screen, trace))
    demo.screen.say(f"trace: {watch.jaeger.link(trace.id)}")


def _show_latency(demo: Demo, latency: Latency) -> None:
    before, after = latency.points
    demo.screen.say(f"INSERT {latency.email}")
    demo.screen.say(f"UPDATE loyalty_points {before} -> {after}; the other columns stayed")
    demo.screen.show(latency_picture(demo.screen, latency))


async def _sum_up(demo: Demo, daemon: Daemon) -> None:
    """Compare once more, now with the live user, and draw the whole way."""
    demo.screen.step("The whole way")
    compared = await _compare(demo)
    await ledger.record(demo.postgres, compared, demo.looked_at)
    status = await asyncio.to_thread(daemon.tables)
    demo.screen.show(flow_picture(demo.screen, compared, status))
    wrong = [c for c in compared if not c.is_equal]
    if wrong:
        raise DemoError("; ".join(map(_what_is_wrong, wrong)))
    demo.result.passed = demo.result.rows_ok == demo.result.rows_expected
