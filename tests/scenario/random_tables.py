"""Tables of several shapes for the randomised test, and values by chance for each type."""

import random
from collections.abc import Mapping
from typing import Any

from tests.independent.cql import Cql
from tests.independent.source import Column

TYPES = (
    "CREATE TYPE $ks.point (x int, y text)",
    'CREATE TYPE $ks."Odd Type" ("a b" int, n frozen<point>, m frozen<map<int, text>>)',
)

ATOMIC = (
    "ascii text tinyint smallint int bigint varint decimal float double boolean blob uuid timeuuid"
    " inet timestamp date time duration"
).split()
NESTED = (
    "frozen<list<int>>",
    "frozen<set<text>>",
    "frozen<map<int, frozen<set<text>>>>",
    "frozen<point>",
    'frozen<"Odd Type">',
    "tuple<int, text, frozen<point>>",
    "vector<float, 3>",
    "vector<text, 2>",
    "frozen<map<text, frozen<tuple<timestamp, decimal>>>>",
)
CELLS = (
    "set<int>",
    "set<text>",
    "set<timeuuid>",
    "map<text, int>",
    "map<int, text>",
    "map<timestamp, frozen<point>>",
    "point",
    '"Odd Type"',
)
LISTS = ("list<int>", "list<text>")

# The columns behind the key of each shape, and how its rows are ordered.
SHAPES: Mapping[str, tuple[str, str]] = {
    "plain": ("k1 int, k2 text, PRIMARY KEY ((k1, k2))", ""),
    "falling": ("p int, c timeuuid, PRIMARY KEY (p, c)", "CLUSTERING ORDER BY (c DESC)"),
    "mixed": (
        "p text, c1 int, c2 text, c3 decimal, PRIMARY KEY (p, c1, c2, c3)",
        "CLUSTERING ORDER BY (c1 DESC, c2 ASC, c3 DESC)",
    ),
    "typed": ("p int, c int, PRIMARY KEY (p, c)", ""),
}


def statements(name: str, *, lists: bool) -> str:
    """CREATE TABLE for a shape; `$ks` is the keyspace."""
    keys, order = SHAPES[name]
    columns, primary = keys.split(", PRIMARY KEY")
    types = [*ATOMIC, *NESTED] if name == "typed" else ["int", "text", "frozen<set<text>>"]
    cells = [*CELLS, *(LISTS if lists else ())]
    more = [f'"v{n} $" {t}' if n == 1 else f"v{n} {t}" for n, t in enumerate([*types, *cells])]
    if name in ("mixed", "typed"):
        more += [f"s{n} {t} static" for n, t in enumerate(("int", "map<text, int>", "point"))]
    options = f"{order} AND " if order else ""
    return (
        f"CREATE TABLE $ks.{name} ({columns}, {', '.join(more)}, PRIMARY KEY{primary})"
        f" WITH {options}cdc = {{'enabled': true}}"
    )


# Timeuuids of one tick apart from their last bytes, some of which are negative as signed bytes.
TIMEUUIDS = [f"b223c55e6d0711ea{tail}" for tail in ("8000000000000001", "80ffffffffffffff")]
TIMEUUIDS += ["b223c55e6d0711ea90000000000000ff", "b223c55f6d0711eabfffffffffffffff"]

# Values that may stand anywhere, the edges of the types among them.
POOLS: dict[str, list[Any]] = {
    "ascii": ["", "a", "~"],
    "text": ["", "a", "Z", "\u017c\u00f3\u0142\u0107 \U0001f419", "'\"\\\n\t", "\u00e9"],
    "tinyint": [-128, 127, 0],
    "smallint": [-(2**15), 2**15 - 1, 0],
    "int": [-(2**31), 2**31 - 1, 0, 1, -1],
    "bigint": [-(2**63), 2**63 - 1, 0],
    "varint": [0, -1, 127, 128, -128, -129, 2**300, -(2**300)],
    "decimal": [(0, 0), (150, 2), (-1, 30), (5, -3), (2**100, 10)],
    "float": ["0.0", "-0.0", "1.5", "3.4028234663852886e+38", "1.401298464324817e-45"],
    "double": ["0.0", "-0.0", "0.1", "1.7976931348623157e+308", "5e-324"],
    "boolean": [False, True],
    "blob": [b"", b"\x00", b"\x80\xff", bytes(range(256))],
    "uuid": ["00000000000000000000000000000000", "6ecd8c994036403dbf84cf8400f67836"],
    "timeuuid": TIMEUUIDS,
    "inet": [
        "7f000001",
        "00" * 15 + "01",
        "20010db8" + "00" * 11 + "ff",
        "00" * 10 + "ffff01020304",
    ],
    "timestamp": [0, -1, 1, -62_135_596_800_000, -62_167_219_200_001, 253_402_300_800_000],
    "date": [0, -1, -719_162, -719_529, 2_932_897, 100_000_000],
    "time": [0, 1, 999, 86_399_999_999_999],
    "duration": [(0, 0, 0), (-14, -3, -5), (2**31 - 1, 2**31 - 1, 2**63 - 1), (1, 0, 2)],
}
# What jsonb cannot hold stands in columns of its own alone.
TOP: dict[str, list[Any]] = {
    "float": ["nan", "inf", "-inf"],
    "double": ["nan", "inf", "-inf"],
}


def value(chance: random.Random, cql: Cql, *, top: bool = True) -> Any:
    """A value of a type by chance; collections may be empty, fields null."""
    name = cql.name
    if name in POOLS:
        return chance.choice([*POOLS[name], *(TOP.get(name, ()) if top else ())])
    if name in ("tuple", "udt"):
        parts = [None if chance.random() < 0.25 else value(chance, a, top=False) for a in cql.args]
        return tuple(zip(cql.fields, parts, strict=True)) if cql.fields else tuple(parts)
    size = cql.size or chance.choice((0, 1, 2, 3))
    if name == "map":
        keys = _distinct(chance, cql.args[0], size)
        return tuple((k, value(chance, cql.args[1], top=False)) for k in keys)
    if name == "set":
        return tuple(_distinct(chance, cql.args[0], size))
    return tuple(value(chance, cql.args[0], top=False) for _ in range(size))


def _distinct(chance: random.Random, cql: Cql, size: int) -> list[Any]:
    found = {value(chance, cql, top=False) for _ in range(size)}
    return sorted(found, key=repr)


# Few keys, so that writes meet.
KEY_POOLS: dict[str, list[Any]] = {
    "int": [-(2**31), -1, 0, 1, 7, 8, 2**31 - 1],
    "text": ["", "B", "a", "\u00e4", "\U0001f419"],
    "timeuuid": TIMEUUIDS,
    "decimal": [(1, 0), (15, 1), (-2, 0), (10**20, 3)],
}


def key_of(chance: random.Random, columns: list[Column]) -> list[Any]:
    """A key by chance."""
    alone = len([c for c in columns if c.kind == "partition_key"]) == 1
    return [_key_value(chance, c, alone=alone) for c in columns]


def _key_value(chance: random.Random, column: Column, *, alone: bool) -> Any:
    """A column that is the whole partition key may not be empty."""
    empty = alone and column.kind == "partition_key"
    return chance.choice([v for v in KEY_POOLS[column.type.name] if not (empty and v == "")])
