"""Rows that the target refuses, from ScyllaDB to their replay, with a kill in between."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from tests.scenario import checker
from tests.scenario.conftest import Place
from tests.scenario.daemon import wait_until

ROWS = 200


def postgres(place: Place, sql: str) -> list[asyncpg.Record]:
    """Run a statement in the target database, with `$s` for the target schema."""

    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(place.stack.postgres)
        try:
            return list(await connection.fetch(sql.replace("$s", f'"{place.schema}"')))
        finally:
            await connection.close()

    return asyncio.run(run())


def dlq(place: Place, *arguments: str) -> Any:
    """What `cdcd dlq … --json` prints."""
    config = str(place.folder / "cdcd.toml")
    command = [sys.executable, "-m", "cdcd", "-c", config, "dlq", *arguments]
    done = subprocess.run(
        [*command, "--name", place.name, "--json"], capture_output=True, check=False, text=True
    )
    return json.loads(done.stdout)


def states(place: Place) -> list[str]:
    """The states of the letters that wait."""
    return [letter["state"] for letter in dlq(place, "list", "--limit", "1000")["letters"]]


@pytest.mark.timeout(240)
def test_refused_rows_are_replayed(place: Place, make_table: Callable[[str], None]) -> None:
    """Good rows arrive, refused ones are letters though the daemon is killed, and a replay brings
    them when the cause is mended, in the target or in the source; then source and target are equal.
    """
    make_table("t (p int, c int, s text static, v text, n int, PRIMARY KEY (p, c))")
    daemon = place.daemon("--table", f"{place.name}.*")
    daemon.start()
    daemon.wait_ready()
    place.execute("INSERT INTO $ks.t (p, c, v, n) VALUES (0, 0, 'x', 0)")
    wait_until(lambda: different(place) == [], "the first row")
    postgres(place, "ALTER TABLE $s.t ADD CONSTRAINT few CHECK (n < 1000)")
    poison = {number for number in range(1, ROWS) if number % 20 == 7}
    for number in range(1, ROWS):
        n = 1000 + number if number in poison else number
        place.execute(f"INSERT INTO $ks.t (p, c, v, n) VALUES ({number}, 1, 'x', {n})")
        if number == ROWS // 2:
            daemon.kill()
            daemon.start()
    insert = place.session.prepare(f"INSERT INTO {place.name}.t (p, c, v) VALUES (?, ?, ?)")
    place.session.execute(insert, (1, 2, "a\0"))
    static = place.session.prepare(f"INSERT INTO {place.name}.t (p, s) VALUES (?, ?)")
    place.session.execute(static, (2, "a\0"))
    count = len(poison) + 2
    wait_until(lambda: states(place) == ["open"] * count, "the letters")
    # Rows of other Kafka partitions may come after the last letter.
    good = {(0, 0)} | {(n, 1) for n in set(range(1, ROWS)) - poison}
    wait_until(lambda: keys(place) == good, "the good rows, and no other")
    postgres(place, "ALTER TABLE $s.t DROP CONSTRAINT few")
    place.session.execute(insert, (1, 2, "a"))
    place.session.execute(static, (2, "a"))
    assert dlq(place, "replay", "--all")["done"] == 0
    assert dlq(place, "replay", "--all", "--yes")["done"] == count
    wait_until(lambda: states(place) == [], "the replay")
    assert different(place) == []
    assert daemon.stop() == 0


def keys(place: Place) -> set[Any]:
    """The primary keys of the target's rows."""
    return set(checker.target_rows(place.stack, place.schema, "t", ("p", "c")))


def different(place: Place) -> list[str]:
    """How the target's rows, with the static column joined, differ from the source's."""
    source = checker.source_rows(place.session, place.name, "t", ("p", "c"))
    target = checker.target_rows(place.stack, place.schema, "t__full", ("p", "c"))
    return checker.differences(source, target)
