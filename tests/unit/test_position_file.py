"""A pipeline's position as a document, and the way back to it."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from cdcd.model.errors import ConfigurationError
from cdcd.model.position import Position as LanePosition
from cdcd.model.refresh import Copied, Listed, Request, Row
from cdcd.transport.lane_records import (
    encode_copied,
    encode_listed,
    encode_position,
    encode_request,
    encode_tables,
)
from cdcd.transport.position_file import (
    Offset,
    Position,
    decode,
    encode,
    resetting,
    restoring,
)


def _at(frontier_ms: int) -> str:
    return encode_position(LanePosition("log", 1, frontier_ms)).decode()


GAP = encode_position(LanePosition("", 1, 20)).decode()
POSITION = Position(
    "shop",
    "2026-01-01T00:00:00+00:00",
    4,
    {(0, "position/ks.t"): _at(20), (1, "position/ks.t"): _at(10), (0, "control/tables"): "{}"},
    (Offset("shop.ks.t", 0, 17),),
    {"shop.ks.t": "id"},
)


def test_document_comes_back_as_it_was() -> None:
    """What was written is what is read."""
    assert decode(encode(POSITION)) == POSITION


def test_oldest_lane_speaks_for_the_table() -> None:
    """A table's frontier is the oldest of its lanes."""
    assert POSITION.frontiers_ms() == {"ks.t": 10}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:-20], "no backup"),
        (lambda text: text.replace('"next_offset": 17', '"next_offset": 18'), "checksum"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "version 2"),
        (lambda text: text.replace("cdcd-offsets", "other"), "no backup"),
        (lambda _: json.dumps([1]), "no backup"),
    ],
    ids=["cut", "changed", "newer", "foreign", "other JSON"],
)
def test_damaged_document_is_refused(damage: Callable[[str], str], message: str) -> None:
    """A document that was cut or changed, or is not ours, is not read."""
    with pytest.raises(ConfigurationError, match=message):
        decode(damage(encode(POSITION)))


ROW = Row((b"1",), ())


def _wish(due_ms: int) -> str:
    return encode_request(Request("a", "ks.t", ROW, 1, due_ms)).decode()


def _listed(frontier_ms: int) -> str:
    return encode_listed(Listed("b", "ks.t", ROW, 1, frontier_ms)).decode()


def test_restoring_brings_back_progress() -> None:
    """Positions and fingerprints become the backup's, and those that came since go."""
    backup = {**POSITION.records, (0, "cell/10/ks.t"): "{1}"}
    now = {
        (0, "position/ks.t"): _at(30),
        (0, "cell/0/ks.t"): "{}",
        (0, "cell/10/ks.t"): "{2}",
        (0, "control/tables"): "{}",
    }
    assert sorted(restoring(backup, now), key=repr) == sorted(
        [
            (0, "cell/0/ks.t", None),
            (0, "cell/10/ks.t", "{1}"),
            (0, "position/ks.t", _at(20)),
            (1, "position/ks.t", _at(10)),
        ],
        key=repr,
    )


def test_restoring_leaves_lanes_that_the_backup_does_not_have() -> None:
    """Where nothing is known of before, a lane stays where it stands, with its fingerprints."""
    now = {
        (0, "position/ks.t"): _at(20),
        (1, "position/ks.t"): _at(10),
        (2, "position/ks.t"): _at(30),
        (2, "cell/0/ks.t"): "{}",
        (0, "position/ks.new"): _at(30),
        (0, "cell/0/ks.new"): "{}",
        (0, "control/tables"): "{}",
    }
    assert restoring(POSITION.records, now) == []


def test_restoring_leaves_lanes_that_stand_before_a_gap() -> None:
    """What is missing from the log is missing when it is read again, too."""
    now = {**POSITION.records, (0, "position/ks.t"): GAP, (0, "cell/0/ks.t"): "{}"}
    assert restoring({**POSITION.records, (0, "cell/0/ks.t"): "{1}"}, now) == []
    assert replace(POSITION, records=now).tables_with_gap() == {"ks.t"}


@pytest.mark.parametrize(
    ("key", "then", "now"),
    [
        ("control/tables", encode_tables(["ks.t"]).decode(), encode_tables(["ks.*"]).decode()),
        ("control/paused", "{1}", "{2}"),
        ("control/paused", "{1}", None),
        ("control/paused", None, "{2}"),
        ("request/a", _wish(1), _wish(2)),
        ("request/a", None, _wish(2)),
        ("listed/b", _listed(1), _listed(2)),
        ("listed/b", None, _listed(2)),
        (
            "copied/ks.t",
            encode_copied(Copied("ks.t", 1, "run", 1, 1, 1)).decode(),
            encode_copied(Copied("ks.t", 1, "later", 1, 2, 2)).decode(),
        ),
    ],
)
def test_restoring_keeps_what_came_since(key: str, then: str | None, now: str | None) -> None:
    """The set of tables, pauses and resumes, wishes and copies are as they were told last."""
    backup = {} if then is None else {(0, key): then}
    assert restoring(backup, {} if now is None else {(0, key): now}) == []


@pytest.mark.parametrize(
    ("key", "then", "now"),
    [
        ("request/a", _wish(1), None),
        ("listed/b", _listed(1), None),
        ("listed/b", _listed(2), _listed(1)),
        ("control/tables", encode_tables(["ks.t"]).decode(), None),
    ],
)
def test_restoring_brings_back_wishes(key: str, then: str, now: str | None) -> None:
    """Requests and listed refreshes that are served since come back, and so does the set of tables
    where the lanes have none.
    """
    there = {} if now is None else {(0, key): now}
    assert restoring({(0, key): then}, there) == [(0, key, then)]


def test_resetting_keeps_how_far_a_table_was_read() -> None:
    """Positions of the named tables say that the log is to be read again, and how far it was read;
    those before a gap, and other tables', stay as they are.
    """
    others = {(2, "position/ks.t"): GAP, (2, "cell/0/ks.t"): "{}", (2, "position/ks.u"): _at(1)}
    others[2, "merged/0/ks.t"] = "{}"
    now = replace(POSITION, records={**POSITION.records, **others})
    writes = resetting(now.records, ["ks.t"])
    again = {
        lane: encode_position(LanePosition("log", 1, at, from_oldest=True)).decode()
        for lane, at in enumerate((20, 10))
    }
    assert writes == [(lane, "position/ks.t", value) for lane, value in again.items()]
    written = {(lane, key): value for lane, key, value in writes if value is not None}
    after = replace(now, records={**now.records, **written})
    assert after.tables_from_oldest() == {"ks.t"}
    assert after.frontiers_ms() == now.frontiers_ms()
    assert resetting(after.records, ["ks.t"]) == []
