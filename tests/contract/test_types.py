"""Values of every type pass into the log as they were written."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import pytest
from cassandra.util import Date, Duration, Time

from tests.contract.case import INSERT, Table, row
from tests.contract.conftest import Keyspace
from tests.contract.log import checked_groups, read

pytestmark = pytest.mark.contract

SOME_UUID = UUID("6ecd8c99-4036-403d-bf84-cf8400f67836")
SOME_TIME = UUID("b223c55e-6d07-11ea-7654-24e4fb3f20b9")

# type: (literal, value)
VALUES: dict[str, tuple[str, object]] = {
    "ascii": ("'a b'", "a b"),
    "text": ("'żółć 🐙 ''quoted'''", "żółć 🐙 'quoted'"),
    "int": ("-2147483648", -(2**31)),
    "bigint": ("9223372036854775807", 2**63 - 1),
    "smallint": ("-32768", -(2**15)),
    "tinyint": ("-128", -128),
    "varint": ("-170141183460469231731687303715884105729", -(2**127) - 1),
    "decimal": ("-1.50", Decimal("-1.50")),
    "float": ("-0.5", -0.5),
    "double": ("1e-300", 1e-300),
    "boolean": ("false", False),
    "blob": ("0x00ff", b"\x00\xff"),
    "uuid": (str(SOME_UUID), SOME_UUID),
    "timeuuid": (str(SOME_TIME), SOME_TIME),
    "inet": ("'2001:db8::1'", "2001:db8::1"),
    "date": ("'1969-12-31'", Date("1969-12-31")),
    "time": ("'23:59:59.999999999'", Time("23:59:59.999999999")),
    "timestamp": ("'1969-12-31 23:59:59.999+0000'", datetime(1969, 12, 31, 23, 59, 59, 999000)),
    "duration": ("-1y2mo3d4h5ns", Duration(-14, -3, -(4 * 3600 * 10**9 + 5))),
    "tuple<int, text>": ("(1, null)", (1, None)),
    "vector<float, 3>": ("[1.5, -2.0, 0.0]", [1.5, -2.0, 0.0]),
    "frozen<list<frozen<set<int>>>>": ("[{2, 1}, {}]", [frozenset({1, 2}), frozenset()]),
    "frozen<map<text, frozen<map<int, text>>>>": ("{'a': {1: 'b'}}", {"a": {1: "b"}}),
    "map<timeuuid, int>": (f"{{{SOME_TIME}: 1}}", {"k1": 1}),
    "set<frozen<tuple<int, text>>>": ("{(1, 'a')}", frozenset({(1, "a")})),
}

TABLE = Table(
    "pk int, ck int, "
    + ", ".join(f"c{n} {cql_type}" for n, cql_type in enumerate(VALUES))
    + ", PRIMARY KEY (pk, ck)"
)


@pytest.mark.parametrize("cql_type", VALUES)
def test_value_is_logged_as_written(shared: Keyspace, new_key: int, cql_type: str) -> None:
    """A value of the type is in the log as it was written, and its null as deleted."""
    literal, value = VALUES[cql_type]
    table, column = _table(shared), f"c{list(VALUES).index(cql_type)}"
    for written in (literal, "null"):
        shared.execute(
            f"INSERT INTO $t (pk, ck, {column}) VALUES ($pk, 1, {written})", t=table, pk=new_key
        )
    overwritten = (column,) if cql_type.startswith(("map", "set")) else ()
    assert checked_groups(read(shared.session, table, {"pk": new_key}), "pk") == [
        [row(INSERT, ck=1, deleted=overwritten, **{column: value})],
        [row(INSERT, ck=1, deleted=(column,))],
    ]


@pytest.mark.parametrize("text", ["", " ", "NaN", "null"])
def test_empty_and_odd_text_is_a_value(shared: Keyspace, new_key: int, text: str) -> None:
    """The empty text is a value and not a null."""
    table = _table(shared)
    shared.execute(f"INSERT INTO $t (pk, ck, c1) VALUES ($pk, 1, '{text}')", t=table, pk=new_key)
    found = checked_groups(read(shared.session, table, {"pk": new_key}), "pk")
    assert found == [[row(INSERT, ck=1, c1=text)]]


def test_keys_of_several_types_are_set_in_the_log(shared: Keyspace) -> None:
    """Every partition and clustering column, of whatever type, has its value in the log."""
    table = shared.create(
        Table(
            "p uuid, q text, a timestamp, b frozen<list<int>>, v int, PRIMARY KEY ((p, q), a, b)"
        ).create
    )
    values = f"{SOME_UUID}, '', 0, [1, 2], 5"
    shared.execute(f"INSERT INTO $t (p, q, a, b, v) VALUES ({values})", t=table)
    expected = row(INSERT, p=SOME_UUID, q="", a=datetime(1970, 1, 1), b=[1, 2], v=5)
    assert checked_groups(read(shared.session, table)) == [[expected]]


def _table(keyspace: Keyspace) -> str:
    if "types" not in keyspace.tables:
        keyspace.tables["types"] = keyspace.create(TABLE.create)
    return keyspace.tables["types"]
