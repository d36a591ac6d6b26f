"""A worker under steady load takes no more at the end than in the middle."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from cassandra.concurrent import execute_concurrent_with_args
from pydantic import SecretStr

from cdcd.config.settings import PostgresSettings
from tests.scenario.conftest import Place
from tests.scenario.daemon import Daemon, wait_until
from tests.scenario.ending import Background, expect_equal
from tests.scenario.proxy import Cable

# An hour on demand: `make soak`.
SECONDS = float(os.environ.get("CDCD_SOAK_SECONDS", "45"))
CHANGES_PER_SECOND = 400
KEYS = 5000
CUTS = 6
POOL = PostgresSettings(dsn=SecretStr("")).pool_connections_max
# What an allocator may keep of a busier moment; an hour of 100 bytes lost a change is far more. In
# a minute nothing adds up, while much happens for the first time: only what runs away is seen.
MEMORY_GROWTH_MAX = 0.06 if SECONDS >= 600 else 0.5


@dataclass(frozen=True, slots=True)
class Taken:
    """What a process has at one moment; memory in bytes."""

    memory: float
    files: float
    threads: float
    connections: float


class Load(Background):
    """Inserts, updates and deletes of the same keys at a steady rate, until it is told to end."""

    def _write(self) -> None:
        session, table = self._place.session, f"{self._place.name}.items"
        statements = [
            session.prepare(f"INSERT INTO {table} (b, a, pk, ck) VALUES (?, 'new', ?, ?)"),
            session.prepare(f"UPDATE {table} SET b = ? WHERE pk = ? AND ck = ?"),
            session.prepare(f"UPDATE {table} USING TTL 3 SET b = ? WHERE pk = ? AND ck = ?"),
            session.prepare(f"UPDATE {table} SET s = s + {{'x'}}, b = ? WHERE pk = ? AND ck = ?"),
        ]
        step, number = CHANGES_PER_SECOND // 4, 0
        while not self._ending.wait(0.25):
            rows = [(n, n % KEYS // 10, n % 10) for n in range(number, number + step)]
            execute_concurrent_with_args(session, statements[number // step % 4], rows)
            number += step


@pytest.fixture
def cable(place: Place) -> Iterator[Cable]:
    """A cable to PostgreSQL."""
    url = urlsplit(place.stack.postgres)
    assert url.hostname
    assert url.port
    made = Cable(url.hostname, url.port)
    through = url._replace(netloc=url.netloc.replace(str(url.port), str(made.port)))
    place.settings["postgres"] = {"dsn": through.geturl()}
    yield made
    made.close()


async def _taken(place: Place, daemon: Daemon, postgres: "asyncpg.Connection[Any]") -> Taken:
    process = Path("/proc") / str(daemon.pid)
    pages = int((process / "statm").read_text().split()[1])
    connections = await postgres.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", f"cdcd {place.name}"
    )
    return Taken(
        pages * os.sysconf("SC_PAGE_SIZE"),
        len(list((process / "fd").iterdir())),
        len(list((process / "task").iterdir())),
        connections,
    )


async def _sampled(place: Place, daemon: Daemon, cable: Cable) -> list[Taken]:
    """What it has all the time, but for a tenth of each part in which PostgreSQL is away."""
    postgres = await asyncpg.connect(place.stack.postgres)
    samples = []
    begin = time.monotonic()
    while (passed := time.monotonic() - begin) < SECONDS:
        if passed * CUTS / SECONDS % 1 > 0.9:
            cable.pull()
        else:
            cable.plug()
            samples.append(await _taken(place, daemon, postgres))
        await asyncio.sleep(0.25)
    cable.plug()
    await postgres.close()
    return samples


def _typical(samples: list[Taken]) -> Taken:
    return Taken(*(median(values) for values in zip(*map(astuple, samples), strict=True)))


def _expiring(place: Place) -> bool:
    rows = place.session.execute(f"SELECT ttl(b) AS left FROM {place.name}.items")
    return any(row.left for row in rows)


@pytest.mark.timeout(SECONDS + 300)
def test_a_steady_load_takes_no_more_and_more(
    place: Place, make_table: Callable[[str], None], cable: Cable
) -> None:
    """Memory, open files, threads and connections are in the last third what they are in the second
    one, with changes all the time and PostgreSQL away now and then.
    """
    place.settings["source"] = {"settle_delays_seconds": [2, 6]}
    make_table("items (pk int, ck int, a text, b int, s set<text>, PRIMARY KEY (pk, ck))")
    daemon = place.daemon("--table", f"{place.name}.items")
    daemon.start()
    daemon.wait_ready()
    load = Load(place)
    load.start()
    try:
        samples = asyncio.run(_sampled(place, daemon, cable))
    finally:
        load.end()
    third = len(samples) // 3
    middle, end = _typical(samples[third : 2 * third]), _typical(samples[2 * third :])
    print(f"\nafter {SECONDS / 2:g} s: {middle}\nafter {SECONDS:g} s:  {end}")  # noqa: T201
    assert end.memory <= middle.memory * (1 + MEMORY_GROWTH_MAX)
    assert end.threads <= middle.threads + 1
    # At a busy moment the pool makes connections up to its limit, and keeps them for minutes.
    assert 1 <= end.connections <= POOL
    assert end.files <= middle.files + max(1, POOL - middle.connections)
    wait_until(lambda: not _expiring(place), "what has a TTL is gone")
    expect_equal(place, "items", ("pk", "ck"))
    assert daemon.stop() == 0
