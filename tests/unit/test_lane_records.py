"""Records of the lanes topic, as they are read after a restart or by another version."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.control import Pause
from cdcd.model.destination import Destination
from cdcd.model.errors import ConfigurationError, InvariantBroken
from cdcd.model.fingerprint import Fingerprint, Merged
from cdcd.model.position import Position, TokenRange
from cdcd.model.refresh import (
    Copied,
    Copy,
    Listed,
    Partition,
    Request,
    Rest,
    Row,
    StaticRow,
    Tokens,
)
from cdcd.transport.lane_records import (
    TABLES_KEY,
    cell_key,
    cell_of_key,
    copied_key,
    copied_of_key,
    decode_cell,
    decode_copied,
    decode_listed,
    decode_merged,
    decode_pauses,
    decode_position,
    decode_request,
    decode_tables,
    encode_cell,
    encode_copied,
    encode_listed,
    encode_merged,
    encode_pauses,
    encode_position,
    encode_request,
    encode_tables,
    listed_key,
    listed_of_key,
    merged_key,
    merged_of_key,
    position_key,
    request_key,
    request_of_key,
    table_of_key,
)

POSITION = Position("5bc52802-de25-35ed-aeab-188eecebb090", 1, 2)


@given(st.text(), st.integers(-(2**63), 2**63), st.integers(-(2**63), 2**63), st.booleans())
def test_positions_come_back(
    log_id: str, generation_ms: int, frontier_ms: int, from_oldest: bool
) -> None:
    """A position is the same after its way through the topic."""
    for ttl_seconds in (None, 0, 86400):
        position = Position(log_id, generation_ms, frontier_ms, 0, from_oldest, ttl_seconds)
        assert decode_position(encode_position(position)) == position
    placed = replace(POSITION, destination=Destination("q2w3", 6))
    assert decode_position(encode_position(placed)) == placed


def test_a_position_of_an_older_release_is_taken_over() -> None:
    """One that saved neither the log's time to live nor the topic is read without them."""
    value = json.loads(encode_position(POSITION))
    del value["ttl_seconds"], value["destination"]
    assert decode_position(json.dumps(value).encode()) == POSITION


def test_a_position_without_audits_is_read() -> None:
    """A position of a release without audits says so with a 0, and an older release reads ours."""
    fields = json.loads(encode_position(Position("log", 1, 2, 3, audited_ms=4)))
    assert (fields["v"], fields.pop("audited_ms")) == (1, 4)
    assert decode_position(json.dumps(fields).encode()) == Position("log", 1, 2, 3)


def test_merged_fingerprints_come_back() -> None:
    """A merged fingerprint keeps its cell and what it counts, and is no narrow cell's."""
    merged = Merged(Fingerprint(3, 2**64 - 1), 7)
    assert decode_merged(encode_merged(merged)) == merged
    assert merged_of_key(merged_key("ks.t", 600_000)) == ("ks.t", 600_000)
    assert cell_of_key(merged_key("ks.t", 600_000)) is None


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


def test_pauses_come_back_as_they_were() -> None:
    """Pauses keep pattern, stage, time and name."""
    pauses = (Pause("ks.*", "sink", 5, "me@here"), Pause("ks.a", "source", 7, "you@there"))
    assert decode_pauses(encode_pauses(pauses)) == pauses


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
    with pytest.raises(ConfigurationError, match="newer cdcd"):
        decode_pauses(newer)


def test_fields_of_a_later_cdcd_are_passed_over() -> None:
    """A field that was added to a record of the same version does not hinder an older cdcd."""
    value = json.loads(encode_position(POSITION)) | {"added_later": 1}
    assert decode_position(json.dumps(value).encode()) == POSITION


names = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.lists(st.binary(max_size=8), max_size=3).map(tuple)
tokens = st.integers(-(2**63), 2**63 - 1)
scopes = st.one_of(
    st.builds(Row, keys, keys),
    st.builds(StaticRow, keys),
    st.builds(Partition, keys),
    st.builds(Rest, keys, keys),
    st.builds(Tokens, ranges := st.builds(TokenRange, tokens, tokens)),
    st.builds(Tokens, ranges, st.lists(keys, min_size=1, max_size=2).map(tuple), keys),
)
times = st.integers(0, 2**53)
copies = st.none() | st.builds(Copy, names, ranges, times, times, times)


@given(st.builds(Request, names, names, scopes, tokens, times, copies, names, st.booleans()))
def test_requests_come_back(request: Request) -> None:
    """A request is the same after its way through the topic, and its key gives its id."""
    assert request_of_key(request_key(request.id)) == request.id
    assert decode_request(request.id, encode_request(request)) == request


requests = st.builds(Request, names, names, scopes, tokens, times, copies)


@given(st.builds(Copied, names, tokens, names, times, times, times, st.none() | requests))
def test_copies_that_ended_come_back(copied: Copied) -> None:
    """The record of a copy's end is the same after its way, and its key gives its table."""
    assert copied_of_key(copied_key(copied.table)) == copied.table
    assert decode_copied(encode_copied(copied)) == copied


@given(st.builds(Listed, names, names, scopes, tokens, st.integers(0, 2**53)))
def test_listed_refreshes_come_back(listed: Listed) -> None:
    """A listed refresh is the same after its way through the topic, and its key gives its id."""
    assert listed_of_key(listed_key(listed.id)) == listed.id
    assert decode_listed(listed.id, encode_listed(listed)) == listed


@given(names, st.integers(0, 2**53), st.integers(0, 2**31), st.integers(0, 2**64 - 1))
def test_fingerprints_come_back(table: str, start_ms: int, count: int, xor: int) -> None:
    """A fingerprint is the same after its way through the topic, and its key gives its cell."""
    assert cell_of_key(cell_key(table, start_ms)) == (table, start_ms)
    assert decode_cell(encode_cell(Fingerprint(count, xor))) == Fingerprint(count, xor)


@given(names, st.integers(0, 2**53))
def test_a_key_is_of_one_kind(name: str, start_ms: int) -> None:
    """No key of one kind is taken for one of another."""
    kinds = [table_of_key, cell_of_key, request_of_key, listed_of_key, copied_of_key]
    made = [position_key(name), cell_key(name, start_ms), request_key(name), listed_key(name)]
    made.append(copied_key(name))
    for at, key in enumerate([*made, TABLES_KEY]):
        assert [n for n, kind in enumerate(kinds) if kind(key) is not None] == [at][: at < 5]
