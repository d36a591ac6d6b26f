"""Sort keys: CQL's order of values, the same from Avro's form and from jsonb's."""

import itertools
import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.cqlorder import json_order_key, order_key
from cdcd.model.cqltype import parse
from cdcd.model.typemap import to_json


def ordered(text: str, values: list[Any]) -> bool:
    """Whether the values rise strictly, by either form."""
    cql = parse(text)
    form = to_json(cql)
    avro = [order_key(cql)(v) for v in values]
    plain = [json_order_key(cql)(json.loads(json.dumps(form(v)))) for v in values]
    return all(a < b for keys in (avro, plain) for a, b in itertools.pairwise(keys))


def number(digits: int, scale: int) -> dict[str, Any]:
    raw = digits.to_bytes(digits.bit_length() // 8 + 1, "big", signed=True)
    return {"scale": scale, "value": raw}


V4 = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("text", ["", "Z", "a", "ä", "\uffff", "\U00010000"]),
        ("int", [-5, 0, 9, 10]),
        ("decimal", [number(-15, 1), number(99, 2), number(1, 0), number(1, -1)]),
        ("varint", [number(-(2**70), 0), number(-1, 0), number(2**70, 0)]),
        ("blob", [b"", b"\x00", b"\x01\xff", b"\x02", b"\x80"]),
        ("boolean", [False, True]),
        ("date", [-800_000, -1, 0, 20_000, 3_000_000]),
        ("timestamp", [-(10**14), -1, 0, 999, 1000, 10**15]),
        ("time", [0, 999, 86_399_999_999_999]),
        ("inet", ["::1", "9.0.0.1", "10.0.0.1", "10.0.0.2"]),
        ("double", [-1e300, -0.5, 1e-300, 2.0]),
        ("tuple<int, text>", [{"f0": None, "f1": "b"}, {"f0": 1, "f1": None}]),
        ("frozen<list<int>>", [[], [1], [1, 2], [2]]),
        ("frozen<map<text, int>>", [{}, {"a": 1}, {"a": 2}, {"b": 0}]),
        (
            "timeuuid",
            [
                "ffffffff-0000-1000-8000-000000000000",
                "00000000-0001-1000-8080-000000000000",
                "00000000-0001-1000-807f-000000000000",
            ],
        ),
        (
            "uuid",
            ["ffffffff-0000-1000-8000-000000000000", "00000000-0001-1000-8000-000000000000", V4],
        ),
    ],
)
def test_values_rise_in_cqls_order(text: str, values: list[Any]) -> None:
    """Values that the servers put in this order have rising keys."""
    assert ordered(text, values)


@given(st.uuids(version=1), st.uuids(version=1))
def test_ticks_are_those_of_the_uuid(one: UUID, other: UUID) -> None:
    """Of two timeuuids the earlier one is less."""
    key = order_key(parse("timeuuid"))
    if one.time != other.time:
        assert (key(str(one)) < key(str(other))) == (one.time < other.time)
