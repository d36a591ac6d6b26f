"""Reconciliation beside the running daemon: damage is found, named and repaired.

`CDCD_DAMAGED_ROWS` says how much is tried: `make verify-proof` sets it.
"""

import asyncio
import json
import os
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import pytest

from tests.scenario import checker
from tests.scenario.conftest import Place
from tests.scenario.daemon import wait_until
from tests.scenario.reconciling import cdcd, in_target, reconcile

DAMAGED = int(os.environ.get("CDCD_DAMAGED_ROWS", "60"))

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
    in_target(place, [*statements, *of_both])
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


def test_what_a_truncate_leaves_is_found_and_removed(started: Place) -> None:
    """TRUNCATE leaves no log row, so its rows stay in the target: a comparison finds those that
    were not written since, and its repair removes them.
    """
    place = started
    place.execute("CREATE TABLE $ks.t (p int PRIMARY KEY, v int) WITH cdc = {'enabled': true}")
    for p in range(5):
        place.execute(f"INSERT INTO $ks.t (p, v) VALUES ({p}, 1)")
    place.daemon("--table", f"{place.name}.t").start()

    def of_t() -> list[tuple[int, int]]:
        rows = checker.target_rows(place.stack, place.schema, "t", ("p",)).values()
        return sorted((row["p"], row["v"]) for row in rows)

    wait_until(lambda: len(of_t()) == 5, "the rows arrived")
    place.execute("TRUNCATE $ks.t")
    place.execute("INSERT INTO $ks.t (p, v) VALUES (4, 2)")
    wait_until(lambda: (4, 2) in of_t(), "what was written since arrived")
    code, found = reconcile(place, "full", "--table", f"{place.name}.t", "--repair", "--yes")
    (result,) = found["tables"]
    assert (code, found["equal"], result["rows"], result["repaired"]) == (0, True, 1, 4)
    assert of_t() == [(4, 2)]


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
    in_target(place, [f'DROP TABLE "{place.schema}".a'])
    code, found = reconcile(place, "verify", "--all-tables")
    told = {
        t["table"].split(".")[1]: (t["rows"], t["missing"], t["error"]) for t in found["tables"]
    }
    *counts, reason = told.pop("a")
    assert counts == [None, None]
    assert f'"{place.schema}"."a" is gone: delete its row from cdcd.targets' in reason
    assert told == {"b": (1, 0, None)}
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
