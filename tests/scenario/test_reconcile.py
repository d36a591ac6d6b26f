"""Reconciliation beside the running daemon: damage is found, named and repaired; health is quiet.

`CDCD_DAMAGED_ROWS`, `CDCD_VERIFY_RUNS` and `CDCD_CHANGES_PER_SECOND` say how much is tried: `make
verify-proof` sets them.
"""

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.scenario import checker
from tests.scenario.conftest import Place
from tests.scenario.daemon import Daemon, wait_until

DAMAGED = int(os.environ.get("CDCD_DAMAGED_ROWS", "60"))
RUNS = int(os.environ.get("CDCD_VERIFY_RUNS", "2"))
CHANGES_PER_SECOND = int(os.environ.get("CDCD_CHANGES_PER_SECOND", "100"))
HEALTHY_ROWS = CHANGES_PER_SECOND * 50

COLUMNS = {
    "a": ("ascii", "'a'", "'b'"),
    "bi": ("bigint", "1", "2"),
    "bl": ("blob", "0x00ff", r"'\x00fe'"),
    "bo": ("boolean", "true", "false"),
    "da": ("date", "'2024-02-29'", "'2024-03-01'"),
    "de": ("decimal", "1.50", "1.51"),
    "db": ("double", "0.1", "0.2"),
    "du": ("duration", "1mo2d3ns", """'{"months": 1, "days": 2, "nanoseconds": 4}'"""),
    "fl": ("float", "1.5", "2.5"),
    "i": ("inet", "'10.0.0.1'", "'10.0.0.2'"),
    "n": ("int", "1", "2"),
    "si": ("smallint", "1", "2"),
    "te": ("text", "'zażółć'", "'zażółc'"),
    "ti": ("time", "'12:34:56.789012'", "'12:34:56.789013'"),
    "ts": ("timestamp", "'2024-02-29 12:00:00.001Z'", "'2024-02-29 12:00:00.002Z'"),
    "tu": (
        "timeuuid",
        "d2177dd0-eaa2-11de-a572-001b779c76e3",
        "'d2177dd0-eaa2-11de-a572-001b779c76e4'",
    ),
    "ty": ("tinyint", "-1", "1"),
    "u": (
        "uuid",
        "6ecd8c99-4036-403d-bf84-cf8400f67836",
        "'6ecd8c99-4036-403d-bf84-cf8400f67837'",
    ),
    "vi": ("varint", "100000000000000000000", "100000000000000000001"),
    "li": ("list<int>", "[3, 1]", "'[3, 2]'"),
    "se": ("set<text>", "{'b', 'a'}", """'["a"]'"""),
    "ma": ("map<text, int>", "{'k': 1}", """'{"k": 2}'"""),
    "fr": ("frozen<map<int, text>>", "{1: 'x'}", """'[[1, "y"]]'"""),
    "tp": ("tuple<int, text>", "(1, 'x')", """'[1, "z"]'"""),
}


def cdcd(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the pipeline."""
    config = str(place.folder / "cdcd.toml")
    command = [sys.executable, "-m", "cdcd", "-c", config, *arguments, "--name", place.name]
    return subprocess.run(command, capture_output=True, check=False, text=True)


def reconcile(place: Place, mode: str, *arguments: str) -> tuple[int, Any]:
    """Exit code and document of a reconciliation."""
    done = cdcd(place, "reconcile", mode, "--json", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def started(place: Place) -> Place:
    """A place whose positions are saved often, so that a comparison waits for little."""
    place.settings["source"] = {"settle_delays_seconds": [1, 5], "position_seconds_max": 1}
    return place


def _run(place: Place, statements: list[str]) -> None:
    """Statements in the target, in one transaction; `$t` is the table, `$s` the schema."""

    async def run() -> None:
        connection = await asyncpg.connect(place.stack.postgres)
        try:
            async with connection.transaction():
                for statement in statements:
                    named = statement.replace("$t", f'"{place.schema}".t')
                    await connection.execute(named.replace("$s", f'"{place.schema}"'))
        finally:
            await connection.close()

    asyncio.run(run())


def _known(place: Place) -> tuple[dict[str, str], bool, float]:
    """What the target's view says of each table and of all, and its functions of all."""

    async def fetch() -> tuple[dict[str, str], bool, float]:
        connection = await asyncpg.connect(place.stack.postgres)
        try:
            rows = await connection.fetch(
                f'SELECT category, status FROM "{place.schema}".validation_summary'
            )
            complete, share = [
                await connection.fetchval(f'SELECT "{place.schema}".{function}()')
                for function in ("is_replication_complete", "get_replication_completeness")
            ]
            return {r["category"].split(".")[-1]: r["status"] for r in rows}, complete, float(share)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def _rows(place: Place) -> list[str]:
    """The target's rows as text, without the columns that are cdcd's own."""
    names = ", ".join(["p", "c", *COLUMNS])

    async def fetch() -> list[str]:
        connection = await asyncpg.connect(place.stack.postgres)
        try:
            query = f'SELECT ({names})::text AS row FROM "{place.schema}".t ORDER BY p, c'
            return [r["row"] for r in await connection.fetch(query)]
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            return []
        finally:
            await connection.close()

    return asyncio.run(fetch())


def _damage(rows: int) -> tuple[list[str], dict[str, set[tuple[int, ...]]], dict[int, str]]:
    """Statements that damage some rows in each way, the keys by kind, and the changed columns."""
    chance = random.Random(5)
    ids = chance.sample(range(rows), DAMAGED * 2 // 3)
    gone, changed = ids[: DAMAGED // 3], ids[DAMAGED // 3 :]
    added = [rows + n for n in range(DAMAGED - len(gone) - len(changed))]
    names = list(COLUMNS)
    columns = {row: names[n % len(names)] for n, row in enumerate(changed)}
    statements = [f"DELETE FROM $t WHERE p = {n // 10} AND c = {n}" for n in gone]
    statements += [
        f"UPDATE $t SET {name} = {COLUMNS[name][2]} WHERE p = {n // 10} AND c = {n}"
        for n, name in columns.items()
    ]
    statements += [f"INSERT INTO $t (p, c, n) VALUES ({n // 10}, {n}, 7)" for n in added]
    keys = {"missing": gone, "different": changed, "extra": added}
    return statements, {k: {(n // 10, n) for n in v} for k, v in keys.items()}, columns


def _both(place: Place, *repair: str) -> tuple[tuple[int, Any], tuple[int, Any]]:
    """All rows of `t` and what was changed lately in `u` compared at the same time."""
    full = ("full", "--table", f"{place.name}.t", "--repair", *repair)
    lately = ("incremental", "--table", f"{place.name}.u", "--since", "1h", "--repair", *repair)
    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(reconcile, place, *words) for words in (full, lately)]
        return runs[0].result(), runs[1].result()


@pytest.mark.timeout(180 + DAMAGED)
def test_damage_is_found_named_and_repaired(started: Place) -> None:
    """Rows deleted, added and changed by hand, in every type, are all named with their columns, a
    preview changes nothing, and the repair makes the target equal. So it is when only the rows are
    compared that were changed lately. The target's own view and functions follow each step.
    """
    place = started
    rows = DAMAGED * 2
    columns = ", ".join(f"{name} {cql}" for name, (cql, _, _) in COLUMNS.items())
    for name, its_columns in (("t", columns), ("u", "n int")):
        place.execute(
            f"CREATE TABLE $ks.{name} (p int, c int, {its_columns}, PRIMARY KEY (p, c))"
            " WITH cdc = {'enabled': true}"
        )
    values = ", ".join(value for _, value, _ in COLUMNS.values())
    for n in range(rows):
        place.execute(
            f"INSERT INTO $ks.t (p, c, {', '.join(COLUMNS)}) VALUES ({n // 10}, {n}, {values})"
        )
    for n in range(20):
        place.execute(f"INSERT INTO $ks.u (p, c, n) VALUES ({n // 10}, {n}, 1)")
    place.daemon("--table", f"{place.name}.*").start()

    def of_u() -> Any:
        return checker.target_rows(place.stack, place.schema, "u", ("p", "c"))

    wait_until(lambda: (len(_rows(place)), len(of_u())) == (rows, 20), "all rows arrived")
    healthy = _rows(place), of_u()
    assert reconcile(place, "verify", "--all-tables")[0] == 0
    assert _known(place) == ({"t": "equal", "u": "equal", "total": "equal"}, True, 100)

    statements, keys, changed = _damage(rows)
    of_both = ["DELETE FROM $s.u WHERE c < 3", "UPDATE $s.u SET n = 9 WHERE c = 5"]
    _run(place, [*statements, *of_both])
    damaged = _rows(place), of_u()
    (code, found), (code_u, found_u) = _both(place)
    (result,), (result_u,) = found["tables"], found_u["tables"]
    assert (code, found["equal"], code_u, found_u["equal"]) == (1, False, 1, False)
    told = (result["table"], result["rows"], result["repaired"])
    assert told == (f"{place.name}.t", rows, 0)
    named: dict[str, set[tuple[int, ...]]] = {}
    for example in result["examples"]:
        key = (example["key"]["p"], example["key"]["c"])
        named.setdefault(example["kind"], set()).add(key)
        if example["kind"] == "different":
            assert example["columns"] == [changed[key[1]]]
    assert named == keys
    assert {k: result[k] for k in keys} == {k: len(v) for k, v in keys.items()}
    assert (result_u["missing"], result_u["different"], result_u["repaired"]) == (3, 1, 0)
    assert (_rows(place), of_u()) == damaged
    status, is_complete, share = _known(place)
    assert status == {"t": "different", "u": "different", "total": "different"}
    assert (is_complete, share < 100) == (False, True)

    (code, found), (code_u, found_u) = _both(place, "--yes")
    assert (code, found["equal"], code_u, found_u["equal"]) == (0, True, 0, True)
    assert (found["tables"][0]["repaired"], found_u["tables"][0]["repaired"]) == (DAMAGED, 4)
    assert (_rows(place), of_u()) == healthy
    assert _known(place) == ({"t": "equal", "u": "equal", "total": "equal"}, True, 100)
    shown = json.loads(cdcd(place, "reconcile", "status", "--json").stdout)
    assert [(t["table"][-1], t["mode"], t["state"], t["missing"]) for t in shown["tables"]] == [
        ("t", "full", "finished", 0),
        ("u", "incremental", "finished", 0),
    ]


@contextmanager
def _writing(place: Place) -> Iterator[None]:
    """Changes at an even rate to rows of `t`: new ones, updates, deletes."""
    stop = threading.Event()
    insert = place.session.prepare(f"INSERT INTO {place.name}.t (p, c, v) VALUES (?, ?, ?)")
    delete = place.session.prepare(f"DELETE FROM {place.name}.t WHERE p = ? AND c = ?")
    chance = random.Random(3)

    def write() -> None:
        began, number = time.monotonic(), 0
        while not stop.is_set():
            ahead = began + number / CHANGES_PER_SECOND - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            row = chance.randrange(HEALTHY_ROWS)
            key = (row // 10, row)
            if chance.random() < 0.1:
                place.session.execute_async(delete, key)
            else:
                place.session.execute_async(insert, (*key, number))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def _counted(daemon: Daemon, metric: str) -> dict[str, float]:
    """The worker's counts of a metric by kind, or by nothing, over all tables."""
    url = re.findall(r"http://127\.0\.0\.1:\d+", daemon.output)[-1]
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    found: dict[str, float] = {}
    for sample in (s for family in families for s in family.samples if s.name == metric):
        kind = sample.labels.get("kind", "")
        found[kind] = found.get(kind, 0) + sample.value
    return found


@pytest.mark.timeout(240 + 60 * RUNS)
def test_verify_is_quiet_while_changes_run(started: Place) -> None:
    """A healthy table that is written to all the time is found equal, in every run, and so by the
    daemon itself. That finds a row that is lost meanwhile, and without leave does not repair it.
    """
    place = started
    place.settings["reconcile"] = {
        "continuous": True,
        "continuous_rows_per_second": 1000,
        "continuous_round_seconds_min": 1,
    }
    place.execute(
        "CREATE TABLE $ks.t (p int, c int, v int, s int static, PRIMARY KEY (p, c))"
        " WITH cdc = {'enabled': true}"
    )
    for n in range(0, HEALTHY_ROWS, 10):
        place.execute(f"INSERT INTO $ks.t (p, c, v, s) VALUES ({n // 10}, {n}, 0, {n})")
    place.execute("INSERT INTO $ks.t (p, c, v) VALUES (-1, -1, 0)")  # which nobody writes again
    daemon = place.daemon("--table", f"{place.name}.t")
    daemon.start()
    daemon.wait_ready()
    with _writing(place):
        statics = (place.stack, place.schema, "t__static", ("p",))
        wait_until(lambda: bool(checker.target_rows(*statics)), "rows arrive")
        for _ in range(RUNS):
            code, found = reconcile(place, "verify", "--all-tables")
            assert (code, found["equal"]) == (0, True), found
        wait_until(
            lambda: sum(_counted(daemon, "cdcd_verified_rows_total").values()) > HEALTHY_ROWS / 5,
            "the daemon has verified twice what was there at first",
        )
        assert not _counted(daemon, "cdcd_differences_total")
        _run(place, ["DELETE FROM $t WHERE p = -1"])
        wait_until(lambda: bool(_counted(daemon, "cdcd_differences_total")), "the loss is found")
        assert set(_counted(daemon, "cdcd_differences_total")) == {"missing"}
    assert not _counted(daemon, "cdcd_repairs_total")
    assert (-1, -1) not in checker.target_rows(place.stack, place.schema, "t", ("p", "c"))


@pytest.mark.timeout(240)
def test_daemon_verifies_and_repairs_by_itself(started: Place) -> None:
    """With continuous verification the daemon finds damage of each kind and has it refreshed, while
    another table is paused.
    """
    place = started
    place.settings["reconcile"] = {
        "continuous": True,
        "continuous_repair": True,
        "continuous_rows_per_second": 1000,
        "continuous_round_seconds_min": 1,
    }
    place.execute(
        "CREATE TABLE $ks.t (p int, c int, v int, PRIMARY KEY (p, c)) WITH cdc = {'enabled': true}"
    )
    place.execute("CREATE TABLE $ks.other (p int PRIMARY KEY) WITH cdc = {'enabled': true}")
    for n in range(60):
        place.execute(f"INSERT INTO $ks.t (p, c, v) VALUES ({n // 10}, {n}, {n})")
    daemon = place.daemon("--table", f"{place.name}.*")
    daemon.start()

    def equal() -> bool:
        source = checker.source_rows(place.session, place.name, "t", ("p", "c"))
        target = checker.target_rows(place.stack, place.schema, "t", ("p", "c"))
        return not checker.differences(source, target)

    wait_until(equal, "the rows arrived")
    assert cdcd(place, "pause", f"{place.name}.other").returncode == 0
    damage = ["DELETE FROM $t WHERE c = 3", "UPDATE $t SET v = 0 WHERE c = 5"]
    _run(place, [*damage, "INSERT INTO $t (p, c, v) VALUES (1, 1000, 1)"])
    wait_until(equal, "repaired", 180)
    assert daemon.is_running


def test_a_table_that_cannot_be_compared_hides_no_other(started: Place) -> None:
    """One whose target is gone is named with the reason, the others are compared, and the whole
    could not finish.
    """
    place = started
    for name in "ab":
        place.execute(f"CREATE TABLE $ks.{name} (p int PRIMARY KEY) WITH cdc = {{'enabled': true}}")
        place.execute(f"INSERT INTO $ks.{name} (p) VALUES (1)")
    place.daemon("--table", f"{place.name}.*").start()

    def arrived(table: str) -> bool:
        return bool(checker.target_rows(place.stack, place.schema, table, ("p",)))

    wait_until(lambda: arrived("a") and arrived("b"), "the rows arrived")
    _run(place, [f'DROP TABLE "{place.schema}".a'])
    code, found = reconcile(place, "verify", "--all-tables")
    told = {
        t["table"].split(".")[1]: (t["rows"], t["missing"], t["error"]) for t in found["tables"]
    }
    reason = f"{place.name}.a: its target is not made, or not changed, yet"
    assert told == {"a": (None, None, reason), "b": (1, 0, None)}
    assert (code, found["equal"]) == (3, False)


def test_no_daemon_is_said_at_once(started: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target with names and types of its own, a column left out and deleted rows that stay is
    equal. Without a worker a reconciliation ends with 3 and says why, and `status` still answers; a
    worker is a member of its group until its session ends, also when it has gone.
    """
    place = started
    own = {
        "target": "other",
        "soft_delete": True,
        "columns": {"v": {"rename": "w", "type": "text"}, "x": {"exclude": True}},
    }
    monkeypatch.setenv("CDCD_TABLES", json.dumps({f"{place.name}.t": own}))
    place.settings["kafka"] = {"session_timeout_seconds": 3}
    place.execute(
        "CREATE TABLE $ks.t (p int PRIMARY KEY, v int, x int) WITH cdc = {'enabled': true}"
    )
    for n in range(3):
        place.execute(f"INSERT INTO $ks.t (p, v, x) VALUES ({n}, 1, 2)")
    daemon = place.daemon("--table", f"{place.name}.t")
    daemon.start()
    target = (place.stack, place.schema, "other", ("p",))
    wait_until(lambda: len(checker.target_rows(*target)) == 3, "the rows arrived")
    place.execute("DELETE FROM $ks.t WHERE p = 0")
    code, found = reconcile(place, "verify", "--table", f"{place.name}.t")
    assert (code, found["tables"][0]["rows"]) == (0, 2), found
    daemon.stop()
    command = ("reconcile", "full", "--table", f"{place.name}.t", "--repair", "--yes")
    wait_until(lambda: cdcd(place, *command).returncode == 3, "the end of its session")
    assert "no worker" in cdcd(place, *command).stderr
    assert cdcd(place, "reconcile", "status").returncode == 0
