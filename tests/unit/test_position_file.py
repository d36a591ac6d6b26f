"""A pipeline's position as a document, and the way back to it."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from cdcd.model.errors import ConfigurationError
from cdcd.model.position import Position as LanePosition
from cdcd.transport.lane_records import encode_position
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


def test_restoring_removes_progress_and_keeps_wishes() -> None:
    """Positions and fingerprints become the backup's; requests and pauses since stay."""
    now = {
        (0, "position/ks.t"): _at(30),
        (0, "position/ks.new"): _at(30),
        (0, "cell/0/ks.t"): "{}",
        (0, "request/a"): "{}",
        (0, "control/paused"): "{}",
        (0, "control/tables"): "{}",
    }
    assert sorted(restoring(POSITION.records, now), key=repr) == sorted(
        [
            (0, "position/ks.new", None),
            (0, "cell/0/ks.t", None),
            (0, "position/ks.t", _at(20)),
            (1, "position/ks.t", _at(10)),
        ],
        key=repr,
    )


def test_resetting_forgets_only_these_tables() -> None:
    """Positions and fingerprints of the named tables go, and nothing else."""
    records = {**POSITION.records, (2, "cell/0/ks.t"): "{}", (2, "position/ks.u"): _at(1)}
    now = replace(POSITION, records=records).records
    assert sorted(resetting(now, ["ks.t"])) == [
        (0, "position/ks.t", None),
        (1, "position/ks.t", None),
        (2, "cell/0/ks.t", None),
    ]
