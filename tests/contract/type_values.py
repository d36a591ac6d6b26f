"""A table with a column of every type, and for each type a literal and the value it stands for."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from cassandra.util import Date, Duration, Time

from tests.contract.case import Table

SOME_UUID = UUID("6ecd8c99-4036-403d-bf84-cf8400f67836")
SOME_TIME = UUID("b223c55e-6d07-11ea-7654-24e4fb3f20b9")

# A literal and the value that it stands for.
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
    "timestamp": (
        "'1969-12-31 23:59:59.999+0000'",
        datetime(1969, 12, 31, 23, 59, 59, 999000, UTC),
    ),
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


def column(cql_type: str) -> str:
    """The name of the type's column."""
    return f"c{list(VALUES).index(cql_type)}"
