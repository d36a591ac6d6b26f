"""Elements of sets, maps and user-defined types: the same value by whichever way it is made."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.change import Elements
from cdcd.model.cqltype import CqlType, parse
from cdcd.model.typemap import UnstorableValue, to_postgres
from cdcd.sink.elements import json_patcher, patch_of, patched

SET = parse("set<int>")
TEXT_MAP = parse("map<text, int>")
INT_MAP = parse("map<int, text>")
POINT = parse("point", {"point": (("x", "int"), ("y", "text"))})


def as_json(cql: CqlType, value: Any) -> str | None:
    return None if value is None else to_postgres(cql)(value)


def put(cql: CqlType, cells: dict[Any, Any]) -> Any:
    """Some elements in the column's Avro form."""
    if not cells:
        return None
    if cql.name == "set":
        return sorted(cells)
    if cql.udt:
        return {"x": cells.get("x"), "y": cells.get("y")}
    return cells if cql is TEXT_MAP else [{"key": k, "value": v} for k, v in cells.items()]


NAMES: dict[CqlType, Any] = {
    SET: st.integers(-3, 12),
    TEXT_MAP: st.sampled_from(["", "a", "Z", "ä", "\U00010000"]),
    INT_MAP: st.integers(-3, 12),
    POINT: st.sampled_from(["x", "y"]),
}
VALUES: dict[CqlType, Any] = {
    SET: st.just(True),
    TEXT_MAP: st.integers(0, 3),
    INT_MAP: st.sampled_from(["", "v"]),
}


@st.composite
def changes(draw: Any) -> tuple[CqlType, dict[Any, Any], list[tuple[dict[Any, Any], list[Any]]]]:
    """A type, cells that are there first, and changes: what is put, and what is removed."""
    cql = draw(st.sampled_from([SET, TEXT_MAP, INT_MAP, POINT]))
    if cql is POINT:
        cells = st.fixed_dictionaries(
            {}, optional={"x": st.integers(0, 3), "y": st.sampled_from("ab")}
        )
    else:
        cells = st.dictionaries(NAMES[cql], VALUES[cql], max_size=4)
    steps = st.lists(st.tuples(cells, st.lists(NAMES[cql], max_size=3)), max_size=5)
    return cql, draw(cells), draw(steps)


@given(changes())
def test_every_way_leads_to_one_value(
    case: tuple[CqlType, dict[Any, Any], list[tuple[dict[Any, Any], list[Any]]]],
) -> None:
    """One after another in Avro's form, folded into one, and on jsonb, changes end in the value
    that plain dictionaries have, in CQL's order.
    """
    cql, first, steps = case
    expected = dict(first)
    folded = patch_of(cql, Elements(None, ()))
    one_by_one = put(cql, first)
    for added, removed in steps:
        expected = {k: v for k, v in (expected | added).items() if k not in removed}
        patch = patch_of(cql, Elements(put(cql, added), tuple(removed)))
        one_by_one = patched(cql, one_by_one, patch)
        folded = folded.then(patch)
    ordered = {k: expected[k] for k in sorted(expected, key=_order)}
    wanted = as_json(cql, put(cql, ordered))
    assert as_json(cql, one_by_one) == wanted or not steps
    assert as_json(cql, patched(cql, put(cql, first), folded)) == wanted
    text = as_json(cql, put(cql, first))
    assert json_patcher(cql)(text, folded) == wanted


def _order(name: Any) -> Any:
    return name.encode() if isinstance(name, str) else name


def test_an_empty_value_is_null() -> None:
    """A set or a map without elements, or a type of nothing but nulls, is null."""
    for cql, name in ((SET, 1), (TEXT_MAP, "a"), (INT_MAP, 1), (POINT, "x")):
        patch = patch_of(cql, Elements(None, (name,)))
        assert patched(cql, put(cql, {name: 1}), patch) is None
        assert json_patcher(cql)(None, patch) is None
        assert not patch.puts


def test_a_set_is_in_its_own_order() -> None:
    """Numbers as numbers, uuids by time, blobs by bytes: not as their JSON texts would be."""
    patch = json_patcher(parse("set<varint>"))
    ten = {"scale": 0, "value": b"\x0a"}
    text = patch('["-1", "9"]', patch_of(parse("set<varint>"), Elements([ten], ())))
    assert json.loads(text or "") == ["-1", "9", "10"]
    blobs = parse("set<blob>")
    text = json_patcher(blobs)('["/w=="]', patch_of(blobs, Elements([b"\x00"], ())))
    assert json.loads(text or "") == ["AA==", "/w=="]


def test_elements_of_nested_types() -> None:
    """An element may be a frozen collection or a tuple."""
    cql = parse("set<frozen<list<int>>>")
    patch = patch_of(cql, Elements([[2], [1, 3]], ([1],)))
    assert json.loads(json_patcher(cql)("[[1],[9]]", patch) or "") == [[1, 3], [2], [9]]
    cql = parse("map<frozen<tuple<int, text>>, int>")
    key = {"f0": 1, "f1": None}
    patch = patch_of(cql, Elements([{"key": key, "value": 5}], ()))
    assert json.loads(json_patcher(cql)(None, patch) or "") == [[[1, None], 5]]


def test_a_field_that_was_added_later_is_null() -> None:
    """A stored value that lacks a field of the type gets it."""
    patch = patch_of(POINT, Elements({"x": 1, "y": None}, ()))
    assert json.loads(json_patcher(POINT)('{"x": 5}', patch) or "") == {"x": 1, "y": None}


@pytest.mark.parametrize("text", ["set<text>", "map<int, double>"])
def test_what_jsonb_cannot_hold_is_refused(text: str) -> None:
    """A NUL character or an infinity in an element is an unstorable value."""
    cql = parse(text)
    bad = ["\x00"] if cql.name == "set" else [{"key": 1, "value": float("inf")}]
    with pytest.raises(UnstorableValue):
        json_patcher(cql)(None, patch_of(cql, Elements(bad, ())))
