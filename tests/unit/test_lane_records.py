"""Records of the lanes topic, as they are read after a restart or by another version."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.errors import ConfigurationError, InvariantBroken
from cdcd.model.position import Position
from cdcd.transport.lane_records import (
    TABLES_KEY,
    decode_position,
    decode_tables,
    encode_position,
    encode_tables,
    position_key,
    table_of_key,
)

POSITION = Position("5bc52802-de25-35ed-aeab-188eecebb090", 1, 2)


@given(st.text(), st.integers(-(2**63), 2**63), st.integers(-(2**63), 2**63))
def test_positions_come_back(log_id: str, generation_ms: int, frontier_ms: int) -> None:
    """A position is the same after its way through the topic."""
    position = Position(log_id, generation_ms, frontier_ms)
    assert decode_position(encode_position(position)) == position


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_positions_key_names_its_table(table: str) -> None:
    """The key of a position record gives its table."""
    assert table_of_key(position_key(table)) == table


def test_other_records_are_no_positions() -> None:
    """The record with the set of tables is not taken for a table's position."""
    assert table_of_key(TABLES_KEY) is None


@given(st.lists(st.text(), max_size=5))
def test_the_set_of_tables_has_no_order(patterns: list[str]) -> None:
    """The set of tables comes back sorted, each pattern once."""
    assert decode_tables(encode_tables(patterns)) == tuple(sorted(set(patterns)))


@pytest.mark.parametrize("value", [b"", b"x", b"[]", b"{}", b"null", b"1", b"\xff"])
def test_records_of_others_break_an_invariant(value: bytes) -> None:
    """A record that cdcd did not write raises InvariantBroken."""
    with pytest.raises(InvariantBroken):
        decode_position(value)


def test_records_of_a_newer_version_are_refused() -> None:
    """A record of a version to come raises ConfigurationError, which says to run the newer cdcd."""
    newer = json.dumps({"v": 2, "anything": 1}).encode()
    with pytest.raises(ConfigurationError, match="newer cdcd"):
        decode_position(newer)
    with pytest.raises(ConfigurationError, match="newer cdcd"):
        decode_tables(newer)


def test_fields_of_a_later_cdcd_are_passed_over() -> None:
    """A field that was added to a record of the same version does not hinder an older cdcd."""
    value = json.loads(encode_position(POSITION)) | {"added_later": 1}
    assert decode_position(json.dumps(value).encode()) == POSITION
