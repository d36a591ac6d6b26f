"""Every supported type's values are exactly themselves in PostgreSQL."""

from typing import Any

import pytest

from tests.integration.feeding import Feed, change, eventually, sinking, table

UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


def number(digits: int, scale: int = 0) -> dict[str, Any]:
    raw = digits.to_bytes(max((digits.bit_length() + 8) // 8, 1), "big", signed=True)
    return {"scale": scale, "value": raw}


# CQL type, value in its Avro form, text of the value in PostgreSQL.
CASES: list[tuple[str, Any, str]] = [
    ("ascii", "plain", "plain"),
    ("text", "ü€😀\n\t\\", "ü€😀\n\t\\"),
    ("text", "", ""),
    ("tinyint", -128, "-128"),
    ("smallint", -32768, "-32768"),
    ("int", 2**31 - 1, "2147483647"),
    ("bigint", -(2**63), "-9223372036854775808"),
    ("varint", number(-(10**40)), "-1" + "0" * 40),
    ("decimal", number(12300, 4), "1.2300"),
    ("decimal", number(5, -3), "5000"),
    ("decimal", number(-1, 40), "-0." + "0" * 39 + "1"),
    ("float", 1.5, "1.5"),
    ("float", float("inf"), "Infinity"),
    ("double", 0.1, "0.1"),
    ("double", float("nan"), "NaN"),
    ("boolean", True, "true"),
    ("blob", b"\x00\xff", "\\x00ff"),
    ("blob", b"", "\\x"),
    ("uuid", UUID, UUID),
    ("timeuuid", UUID, UUID),
    ("inet", "192.168.0.1", "192.168.0.1/32"),
    ("inet", "::1", "::1/128"),
    ("timestamp", 1, "1970-01-01 00:00:00.001+00"),
    ("timestamp", -62_198_755_200_001, "0003-12-31 23:59:59.999+00 BC"),
    ("timestamp", 253_402_300_800_000, "10000-01-01 00:00:00+00"),
    ("date", -719_529, "0002-12-31 BC"),
    ("date", 2_932_897, "10000-01-01"),
    ("time", 86_399_999_999_999, "23:59:59.999999"),
    (
        "duration",
        {"months": -1, "days": -2, "nanoseconds": -(2**62)},
        '{"days": -2, "months": -1, "nanoseconds": -4611686018427387904}',
    ),
    ("frozen<list<int>>", [1, 2], "[1, 2]"),
    ("frozen<list<int>>", [], "[]"),
    ("frozen<set<text>>", ["a", "b"], '["a", "b"]'),
    ("frozen<map<text, decimal>>", {"k": number(15, 1)}, '{"k": "1.5"}'),
    ("frozen<map<int, blob>>", [{"key": 7, "value": b"\x01"}], '[[7, "AQ=="]]'),
    ("tuple<int, text>", {"f0": 1, "f1": None}, "[1, null]"),
    ("vector<float, 2>", [0.5, 2.0], "[0.5, 2.0]"),
]


@pytest.mark.parametrize("rows", [1, 300], ids=["arrays", "staging"])
async def test_values_arrive_exactly(feed: Feed, rows: int) -> None:
    """Each value reads as the same text in PostgreSQL, by both ways of writing."""
    names = [f"v{n}" for n in range(len(CASES))]
    columns = {"id": "p:int", **{n: f"r:{c[0]}" for n, c in zip(names, CASES, strict=True)}}
    spec = table("typed", columns)
    values = dict(zip(names, (c[1] for c in CASES), strict=True))
    await feed.publish(spec, [change(spec, "c", (n,), values) for n in range(rows)])
    texts = ", ".join(f"{n}::text" for n in names)
    select = f"SELECT DISTINCT {texts} FROM {{s}}.typed"

    async def look() -> list[list[Any]]:
        return [list(r.values()) for r in await feed.rows(select)]

    async def count() -> list[Any]:
        return [r["count"] for r in await feed.rows("SELECT count(*) FROM {s}.typed")]

    async with sinking(feed.plan()):
        await eventually(count, [rows])
        (found,) = await look()
    assert dict(zip(names, found, strict=True)) == dict(
        zip(names, (c[2] for c in CASES), strict=True)
    )


# One value of each type, but duration, which is no key. PostgreSQL's keys have 32 columns at most.
# Of a time nothing is cut in a key.
KEYS = {cql: (value, text) for cql, value, text in CASES if cql != "duration"}
KEYS["time"] = (86_399_999_999_000, "23:59:59.999999")


async def test_values_of_keys_find_their_row(feed: Feed) -> None:
    """A key with a column of each type is written, updated and deleted as one row."""
    names = [f"k{n}" for n in range(len(KEYS))]
    columns = {n: f"p:{cql}" for n, cql in zip(names, KEYS, strict=True)}
    spec = table("keyed", {**columns, "v": "r:int"})
    key = [value for value, _ in KEYS.values()]
    texts = [text for _, text in KEYS.values()]
    select = f"SELECT v, {', '.join(f'{n}::text' for n in names)} FROM {{s}}.keyed"

    async def look() -> list[list[Any]]:
        return [list(r.values()) for r in await feed.rows(select)]

    async with sinking(feed.plan()):
        for number in (1, 2, None):
            await feed.publish(
                spec, [change(spec, "u" if number != 1 else "c", key, {"v": number})]
            )
            await eventually(look, [[number, *texts]])
        await feed.publish(spec, [change(spec, "d", key)])
        await eventually(look, [])
