"""Names and values that mean something to SQL or CQL are names and values, from end to end."""

import asyncio
import json
from functools import partial
from typing import Any

import asyncpg
import pytest
from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.query import tuple_factory

from tests.scenario.conftest import Place
from tests.scenario.daemon import wait_until

# What PostgreSQL can hold as a name has at most 63 bytes.
LONGEST = "x" * 63
HOSTILE = (
    '"; DROP SCHEMA cdcd CASCADE; --',
    "'; DROP TABLE cdcd.offsets; --",
    "') ON CONFLICT DO NOTHING; --",
    "$1",
    "$$",
    "$tag$",
    "%s",
    "%(name)s",
    "{0}",
    "{name!r}",
    "back\\slash",
    "E'\\x00'",
    "line\nbreak",
    "\ttab",
    "\u201ccurly\u201d \u2018quotes\u2019",
    "\u02bc\uff1b",
    "żółć 名",
    "😀",
    "\u202egnp.exe",
    "select",
    "SELECT",
    "user",
    "null",
    "true",
    " ",
    "a.b",
    ";",
    "--",
    "/* */",
    "a,b",
    "deleted_elements_x",
    "\\N",
    "\\.",
    '{"a": 1}',
    LONGEST,
)
TYPES = ("select", "Drop")
TABLES = ("Select", "user")
HUGE = "'\"\\;$1 %s" * 10_000
VALUES = (*HOSTILE, "", HUGE, "cdc$time")


def quoted(name: str) -> str:
    """A quoted identifier, in CQL."""
    return '"' + name.replace('"', '""') + '"'


def make(place: Place, name: str) -> None:
    """A table with a column of each name, and a type whose fields have those names."""
    columns = ", ".join(f"{quoted(column)} text" for column in HOSTILE)
    place.execute(
        f'CREATE TABLE $ks."{name}" ("p""k" text, "c\'k" text, {columns},'
        f' "m;" map<text, text>, "s--" set<text>, "u\\" "{TYPES[0]}", "f$" frozen<"{TYPES[1]}">,'
        f' PRIMARY KEY ("p""k", "c\'k")) WITH cdc = {{\'enabled\': true}}'
    )


def write(place: Place, name: str) -> None:
    """Inserts, updates, changes of elements and deletes, with hostile keys and values."""
    session, table = place.session, f'{place.name}."{name}"'
    names = ", ".join(map(quoted, HOSTILE))
    insert = session.prepare(
        f'INSERT INTO {table} ("p""k", "c\'k", {names}, "m;", "s--", "u\\", "f$")'
        f" VALUES (?, ?{', ?' * (len(HOSTILE) + 4)})"
    )
    where = '"p""k" = ? AND "c\'k" = ?'
    for number, value in enumerate(VALUES):
        shifted = [VALUES[(number + n) % len(HOSTILE)] for n in range(len(HOSTILE))]
        fields = tuple(shifted[: len(HOSTILE)])
        partition = value[:60_000] or "empty"
        row = [partition, shifted[1], *shifted, {value[:99]: value}, {value[:99]}, fields, fields]
        session.execute(insert, row)
    put = session.prepare(f'UPDATE {table} SET "m;" = "m;" + ? WHERE {where}')
    take = session.prepare(f'UPDATE {table} SET "m;" = "m;" - ? WHERE {where}')
    change = session.prepare(f"UPDATE {table} SET {quoted(HOSTILE[0])} = ? WHERE {where}")
    field = session.prepare(f'UPDATE {table} SET "u\\".{quoted(HOSTILE[3])} = ? WHERE {where}')
    delete = session.prepare(f"DELETE FROM {table} WHERE {where}")
    past = session.prepare(f'DELETE FROM {table} WHERE "p""k" = ? AND "c\'k" >= ?')
    keys = [(VALUES[n], VALUES[n + 1]) for n in range(len(HOSTILE) - 1)]
    for number, key in enumerate(keys):
        session.execute(put, ({VALUES[-1 - number % 30][:99]: "new"}, *key))
        session.execute(change, (VALUES[number // 2], *key))
        session.execute(field, (VALUES[number // 3], *key))
        if number % 3 == 0:
            session.execute(take, ({VALUES[number][:99]}, *key))
        if number % 7 == 0:
            session.execute(delete, key)
        if number % 11 == 0:
            session.execute(past, (key[0], ""))


def source_rows(place: Place, name: str) -> dict[Any, Any]:
    """The rows by key, in plain values."""
    session = place.session
    plain = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=tuple_factory)
    names = ", ".join(map(quoted, ('p"k', "c'k", *HOSTILE, "m;", "s--", "u\\", "f$")))
    rows = session.execute(
        f'SELECT {names} FROM {place.name}."{name}"', execution_profile=plain, timeout=60
    )
    return {
        row[:2]: (
            *row[2:-4],
            dict(row[-4] or {}),
            sorted(row[-3] or [], key=str.encode),
            dict(zip(HOSTILE, row[-2], strict=True)) if row[-2] else {},
            dict(zip(HOSTILE, row[-1], strict=True)) if row[-1] else {},
        )
        for row in rows
    }


def target_rows(place: Place, name: str) -> dict[Any, Any]:
    """The same of the target."""

    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(place.stack.postgres)
        names = ", ".join(map(quoted, ('p"k', "c'k", *HOSTILE, "m;", "s--", "u\\", "f$")))
        try:
            return list(await connection.fetch(f'SELECT {names} FROM "{place.schema}"."{name}"'))
        except asyncpg.UndefinedTableError:
            return []  # not made yet
        finally:
            await connection.close()

    found = {}
    for record in asyncio.run(fetch()):
        row = tuple(record)
        parts = [json.loads(text) if text else None for text in row[-4:]]
        found[row[:2]] = (
            *row[2:-4],
            parts[0] or {},
            sorted(parts[1] or [], key=str.encode),
            parts[2] or {},
            parts[3] or {},
        )
    return found


def _are_equal(place: Place, name: str) -> bool:
    return source_rows(place, name) == target_rows(place, name)


@pytest.mark.timeout(300)
def test_hostile_names_and_values(place: Place) -> None:
    """Quotes, semicolons, placeholders, backslashes and keywords in names of tables, columns, types
    and fields, in keys and in values arrive as they are, and nothing else happens.
    """
    fields = ", ".join(f"{quoted(field)} text" for field in HOSTILE)
    for name in TYPES:
        place.execute(f'CREATE TYPE $ks."{name}" ({fields})')
    for name in TABLES:
        make(place, name)
    place.execute(
        f"CREATE TABLE $ks.toolong (p int PRIMARY KEY, {LONGEST}x text)"
        " WITH cdc = {'enabled': true}"
    )
    daemon = place.daemon("--table", f"{place.name}.*")
    daemon.start()
    daemon.wait_ready()
    for name in TABLES:
        write(place, name)
    for name in TABLES:
        wait_until(
            partial(_are_equal, place, name),
            f"equal rows of {name}; the daemon's log: {daemon.output[-3000:]}",
        )
        assert len(source_rows(place, name)) > len(HOSTILE) / 2
    # A name that PostgreSQL would cut off stops its table alone.
    assert f"{place.name}.toolong" in daemon.output
    assert daemon.stop() == 0
