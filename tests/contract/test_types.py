"""Values of every type pass into the log as they were written."""

from datetime import UTC, datetime

import pytest

from tests.contract.case import INSERT, Table, row
from tests.contract.conftest import Keyspace
from tests.contract.log import checked_groups, read
from tests.contract.type_values import SOME_UUID, TABLE, VALUES, column

pytestmark = pytest.mark.contract


@pytest.mark.parametrize("cql_type", VALUES)
def test_value_is_logged_as_written(shared: Keyspace, new_key: int, cql_type: str) -> None:
    """A value of the type is in the log as it was written, and its null as deleted."""
    literal, value = VALUES[cql_type]
    table, name = _table(shared), column(cql_type)
    for written in (literal, "null"):
        shared.execute(
            f"INSERT INTO $t (pk, ck, {name}) VALUES ($pk, 1, {written})", t=table, pk=new_key
        )
    overwritten = (name,) if cql_type.startswith(("map", "set")) else ()
    assert checked_groups(read(shared.session, table, {"pk": new_key}), "pk") == [
        [row(INSERT, ck=1, deleted=overwritten) | {name: value}],
        [row(INSERT, ck=1, deleted=(name,))],
    ]


@pytest.mark.parametrize("text", ["", " ", "NaN", "null"])
def test_empty_and_odd_text_is_a_value(shared: Keyspace, new_key: int, text: str) -> None:
    """The empty text is a value and not a null."""
    table, name = _table(shared), column("text")
    shared.execute(
        f"INSERT INTO $t (pk, ck, {name}) VALUES ($pk, 1, '{text}')", t=table, pk=new_key
    )
    found = checked_groups(read(shared.session, table, {"pk": new_key}), "pk")
    assert found == [[row(INSERT, ck=1) | {name: text}]]


def test_keys_of_several_types_are_set_in_the_log(shared: Keyspace) -> None:
    """Every partition and clustering column, of whatever type, has its value in the log."""
    table = shared.create(
        Table(
            "p uuid, q text, a timestamp, b frozen<list<int>>, v int, PRIMARY KEY ((p, q), a, b)"
        ).create
    )
    values = f"{SOME_UUID}, '', 0, [1, 2], 5"
    shared.execute(f"INSERT INTO $t (p, q, a, b, v) VALUES ({values})", t=table)
    expected = row(INSERT, p=SOME_UUID, q="", a=datetime(1970, 1, 1, tzinfo=UTC), b=[1, 2], v=5)
    assert checked_groups(read(shared.session, table)) == [[expected]]


def _table(keyspace: Keyspace) -> str:
    if "types" not in keyspace.tables:
        keyspace.tables["types"] = keyspace.create(TABLE.create)
    return keyspace.tables["types"]
