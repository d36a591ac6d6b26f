"""A value's canonical bytes are those that PostgreSQL sends: each type by hand, and a whole row."""

import struct
from hashlib import sha256

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cdcd.model.cqltype import CqlType
from cdcd.model.cqlvalue import decoder
from cdcd.model.typemap import NOTHING_REPLACED, Replaced, UnstorableValue, to_postgres
from cdcd.reconcile.digest import UNSTORABLE, Form, RowForm, form_of
from cdcd.sink.target import Options, targets_of
from tests.unit import cql_values
from tests.unit.tables import table

QUIET = "7ff8000000000000"
UUID = "00000000-0000-1000-8000-0000000000ff"
HOUR_US = 3_600_000_000


def form(cql: str, kind: str | None = None, replaced: Replaced = NOTHING_REPLACED) -> Form:
    """The form of a column of a type, with another type in the target."""
    options = Options(types={"v": kind} if kind else {}, replaced=replaced)
    return form_of(targets_of(table({"p:p": "int", "r:v": cql}), "s", options).rows.columns[0])


def long(value: int) -> str:
    """Eight bytes of a whole number."""
    return struct.pack(">q", value).hex()


@pytest.mark.parametrize(
    ("cql", "kind", "raw", "sent"),
    [
        ("tinyint", None, "7f", "007f"),
        ("tinyint", None, "80", "ff80"),
        ("tinyint", None, "ff", "ffff"),
        ("boolean", None, "00", "00"),
        ("boolean", None, "01", "01"),
        ("boolean", None, "02", "01"),
        ("inet", None, "7f000001", "022000047f000001"),
        ("inet", None, "fe80" + "00" * 13 + "01", "03800010fe80" + "00" * 13 + "01"),
        # A float that is no number is one value; what looks like it at the first byte is not.
        ("float", None, "7fc00001", "7fc00000"),
        ("float", None, "ff800001", "7fc00000"),
        ("float", None, "7f800000", "7f800000"),
        ("float", None, "ff800000", "ff800000"),
        ("float", None, "7f000001", "7f000001"),
        ("float", None, "80000000", "80000000"),
        ("double", None, "fff8000000000001", QUIET),
        ("double", None, "7ff0000000000001", QUIET),
        ("double", None, "7ff0000000000000", "7ff0000000000000"),
        ("double", None, "7f80000000000001", "7f80000000000001"),
        ("float", "double precision", "3fc00000", "3ff8000000000000"),
        ("float", "double precision", "ffc00001", QUIET),
        ("date", None, "80000000", struct.pack(">i", -10_957).hex()),
        ("time", None, long(HOUR_US * 1000 + 1999), long(HOUR_US + 1)),
        ("time", "bigint", long(HOUR_US * 1000 + 1999), long(HOUR_US * 1000 + 1999)),
        ("timestamp", None, long(1), long(-946_684_800_000_000 + 1000)),
        ("timestamp", "timestamp", long(1), long(-946_684_800_000_000 + 1000)),
        ("timestamp", "bigint", long(1), long(1)),
        ("duration", "interval", "020406", struct.pack(">qii", 0, 2, 1).hex()),
        ("duration", "interval", "0204f007d0", struct.pack(">qii", 1, 2, 1).hex()),
        ("varint", None, "0100", b"256".hex()),
        ("varint", "bigint", "0100", long(256)),
        ("decimal", None, "00000002ff6a", b"-1.5".hex()),
        ("decimal", None, "fffffffe0f", b"1500".hex()),
        ("decimal", None, "0000000200", b"0".hex()),
        ("double", "numeric", "3ff8000000000000", b"1.5".hex()),
        ("int", "numeric", "0000000a", b"10".hex()),
        ("int", "bigint", "fffffffe", long(-2)),
        ("int", "text", "0000000a", b"10".hex()),
        ("text", "varchar(3)", b"abc".hex(), b"abc".hex()),
        ("text", "uuid", UUID.encode().hex(), UUID.replace("-", "")),
        ("text", "jsonb", b'{"bb":1.50,"a":[1e2]}'.hex(), b'{"a": [100], "bb": 1.50}'.hex()),
        ("duration", None, "020406", b'{"days": 2, "months": 1, "nanoseconds": 3}'.hex()),
        ("list<tinyint>", None, "00000002" + "0000000101" + "00000001ff", b"[1, -1]".hex()),
    ],
)  # fmt: skip
def test_what_postgresql_sends(cql: str, kind: str | None, raw: str, sent: str) -> None:
    """The bytes of a value are those of PostgreSQL's binary protocol for the target's type."""
    found = form(cql, kind).canonical(bytes.fromhex(raw))
    assert found is not None
    assert found.hex() == sent


OWN = ["ascii", "bigint", "blob", "boolean", "double", "float", "inet", "int", "smallint", "text"]


@settings(deadline=None)
@given(st.sampled_from([*OWN, "timeuuid", "tinyint", "uuid"]), st.data())
def test_the_short_way_is_the_long_one(name: str, data: st.DataObject) -> None:
    """Types whose bytes are not decoded have the bytes of what the sink would bind."""
    cql = CqlType(name)
    raw = cql_values.serialized(cql, data.draw(cql_values.values(cql)).driver)
    value = decoder(cql)(raw)
    assume(value is not None)
    try:
        bound = to_postgres(cql)(value)
    except UnstorableValue:
        assume(condition=False)
    found = form(name)
    assert found.canonical(raw) == found.sent.pack(bound)


def test_long_numbers_are_whole() -> None:
    """A number of more digits than Python's decimals have by default keeps them all."""
    number = 10**60 + 1
    assert form("varint").canonical(number.to_bytes(26, "big")) == str(number).encode()


@pytest.mark.parametrize("cql", ["text", "int", "list<text>", "varint"])
def test_null_has_no_bytes(cql: str) -> None:
    """Null stays null by every way."""
    assert form(cql).canonical(None) is None
    assert form(cql, "jsonb").canonical(None) is None


@pytest.mark.parametrize("cql", ["int", "varint", "uuid", "timestamp", "list<int>"])
def test_the_empty_value_is_null(cql: str) -> None:
    """The empty value of a type that has none is null."""
    assert form(cql).canonical(b"") is None


@pytest.mark.parametrize(
    ("cql", "raw", "replaced", "sent"),
    [
        ("text", b"a\0", Replaced(nul_characters=True), "a\ufffd".encode()),
        ("text", b"a", Replaced(nul_characters=True), b"a"),
        ("ascii", b"a\0", Replaced(nul_characters=True), "a\ufffd".encode()),
        ("text", b"a\0", NOTHING_REPLACED, b"a\0"),
        ("list<text>", b"\0\0\0\1\0\0\0\1\0", NOTHING_REPLACED, UNSTORABLE),
        (
            "list<text>",
            b"\0\0\0\1\0\0\0\1\0",
            Replaced(nul_characters=True),
            '["\ufffd"]'.encode(),
        ),
        ("date", b"\0\0\0\0", NOTHING_REPLACED, UNSTORABLE),
        ("date", b"\0\0\0\0", Replaced(dates=True), struct.pack(">i", -(2**31))),
    ],
)
def test_values_that_are_replaced(cql: str, raw: bytes, replaced: Replaced, sent: bytes) -> None:
    """A value that PostgreSQL cannot hold has the bytes of what replaces it, or none of its own."""
    assert form(cql, replaced=replaced).canonical(raw) == sent


@pytest.mark.parametrize("raw", ["0000000400000007", "0000000400000007ffffffff"])
def test_a_field_that_came_later_is_null(raw: str) -> None:
    """A row that was written before its type gained a field is not different, on either side."""
    spec = table(
        {"p:p": "int", "r:v": "frozen<list<frozen<t>>>"}, {"t": (("a", "int"), ("b", "int"))}
    )
    found = form_of(targets_of(spec, "s", Options()).rows.columns[0])
    listed = struct.pack(">ii", 1, len(raw) // 2) + bytes.fromhex(raw)
    assert found.canonical(listed) == b'[{"a": 7}]'
    assert {found.sent.pack(text) for text in ('[{"a":7}]', '[{"a":7,"b":null}]')} == {
        b'[{"a": 7}]'
    }
    assert "jsonb_strip_nulls" in found.sent.sql
    long = f"[{10**30 + 1}.{'1' * 40}]"
    assert found.sent.pack(long) == long.encode()


def test_what_replaces_may_be_null() -> None:
    """An infinity that a numeric column has as null is null."""
    infinity = struct.pack(">d", float("inf"))
    assert form("double", "numeric", Replaced(not_finite=True)).canonical(infinity) is None
    assert form("double", "numeric").canonical(infinity) == UNSTORABLE


@pytest.mark.parametrize(
    ("cql", "kind", "exact"),
    [
        ("int", None, True),
        ("int", "bigint", False),
        ("timestamp", None, True),
        ("varint", None, True),
        ("decimal", None, False),
        ("time", None, False),
    ],
)
def test_which_keys_are_exact(cql: str, kind: str | None, exact: bool) -> None:
    """The source's bytes are told from the target's where each has one form."""
    options = Options(types={"k": kind} if kind else {})
    rows = targets_of(table({"p:k": cql, "c:c": "int", "r:d": "decimal"}), "s", options).rows
    assert RowForm(rows.key, rows.columns).is_exact is exact


TARGET = targets_of(
    table({"p:p": "tinyint", "c:c": "text", "r:b": "boolean", "r:a": "int", "r:z": "text"}), "s"
).rows
ROWS = RowForm(TARGET.key, TARGET.columns)


def test_the_digest_is_of_what_record_send_makes() -> None:
    """The count of columns; for each its type's number, its length and its bytes; -1 for null."""
    assert [c.name for c in ROWS.columns] == ["a", "b", "z"]
    sent = struct.pack(
        ">i IiH Ii2s Iii IiB Ii".replace(" ", ""),
        *(5, 21, 2, 0xFFFF, 25, 2, b"cc", 23, 4, 7, 16, 1, 1, 25, -1),
    )
    row = [b"\xff", b"cc", b"\0\0\0\7", b"\1", None]
    assert ROWS.digest(row) == sha256(sent).digest()[:8]


def test_keys_and_values_of_a_row() -> None:
    """A row's key is its first columns, and its values are the others, in PostgreSQL's bytes."""
    row = [b"\xff", b"cc", b"\0\0\0\7", b"\2", None]
    assert ROWS.key_of(row) == (b"\xff\xff", b"cc")
    assert ROWS.key_of(row[:2]) == (b"\xff\xff", b"cc")
    assert ROWS.values(row) == (b"\0\0\0\7", b"\1", None)
    assert ROWS.cql_key((b"\xff\xff", b"cc")) == (b"\xff", b"cc")


def test_a_key_of_null_is_empty() -> None:
    """A key's column without a value is identified by no bytes."""
    assert ROWS.key_of([b"", None]) == (b"", b"")


@pytest.mark.parametrize("row", [[b"\1"] * 4, [b"\1"] * 6])
def test_a_row_of_another_width(row: list[bytes]) -> None:
    """A row that has not as many columns as the form is a mistake, never a digest."""
    with pytest.raises(ValueError, match="zip"):
        ROWS.digest(row)
    with pytest.raises(ValueError, match="zip"):
        ROWS.values(row)
    with pytest.raises(ValueError, match="zip"):
        ROWS.cql_key((b"\0\1",))
    with pytest.raises(ValueError, match="zip"):
        ROWS.key_of(row[:1])


def test_names_are_as_many_as_columns() -> None:
    """SQL of fewer names than columns would digest another row."""
    with pytest.raises(ValueError, match="zip"):
        ROWS.sql_digest(["a"])
    with pytest.raises(ValueError, match="zip"):
        ROWS.sql_bytes(["a"])
