"""What batches leave in the lanes topic: the newest of each key."""

from dataclasses import replace

from cdcd.model.change import Batch
from cdcd.model.fingerprint import AUDIT_CELL_MS, CELL_MS, Fingerprint, Merged
from cdcd.model.position import Position
from cdcd.model.refresh import Request, Row
from cdcd.source.listed import listing
from cdcd.transport.lane_records import (
    cell_key,
    decode_position,
    encode_cell,
    encode_listed,
    encode_merged,
    encode_request,
    listed_key,
    merged_key,
    position_key,
    request_key,
)
from cdcd.transport.lanes import lane_writes
from tests.unit.published import LANES, SPEC, TOKENS, change

NAME = SPEC.full_name
ROW = Row((b"p",), (b"c",))
EMPTY = Batch(SPEC, (), {})


def written(*batches: Batch) -> dict[tuple[int, bytes], bytes | None]:
    """The records by lane and key."""
    writes = lane_writes(batches, LANES)
    found = {(w.lane, w.key): w.value for w in writes}
    assert len(found) == len(writes)
    return found


def positions(frontier_ms: int) -> dict[int, Position]:
    """All lanes at a frontier."""
    return dict.fromkeys(range(LANES), Position("log", 0, frontier_ms))


def test_positions_of_changed_lanes() -> None:
    """A lane with changes has its position written, others do not."""
    found = written(Batch(SPEC, [change(1, lane=2)], positions(5)))
    assert list(found) == [(2, position_key(NAME))]


def test_saving_writes_every_position() -> None:
    """A batch that saves writes the positions of all its lanes."""
    found = written(replace(EMPTY, positions=positions(5), save=True))
    assert list(found) == [(lane, position_key(NAME)) for lane in range(LANES)]


def test_merged_cells_are_written_and_removed() -> None:
    """A merged cell is a record of its lane, and goes with a tombstone."""
    merged = Merged(Fingerprint(1, 7), 9)
    found = written(replace(EMPTY, merged={(1, AUDIT_CELL_MS): merged, (2, 0): None}))
    assert found == {
        (1, merged_key(NAME, AUDIT_CELL_MS)): encode_merged(merged),
        (2, merged_key(NAME, 0)): None,
    }


def test_the_newest_position_counts() -> None:
    """A position that is due is written as the last batch has it."""
    found = written(Batch(SPEC, [change(1)], positions(5)), Batch(SPEC, (), positions(9)))
    value = found[0, position_key(NAME)]
    assert value is not None
    assert decode_position(value).frontier_ms == 9


def test_batches_without_anything() -> None:
    """Empty batches and positions without changes write nothing."""
    assert written(EMPTY, Batch(SPEC, (), positions(9))) == {}


def test_fingerprints() -> None:
    """The newest fingerprint of a cell is written; one that is settled is removed."""
    older, newer = Fingerprint(1, 1), Fingerprint(2, 3)
    found = written(
        replace(EMPTY, cells={(1, 0): older, (1, CELL_MS): older}),
        replace(EMPTY, cells={(1, 0): None, (1, CELL_MS): newer}),
    )
    assert found == {
        (1, cell_key(NAME, 0)): None,
        (1, cell_key(NAME, CELL_MS)): encode_cell(newer),
    }


def test_a_listed_refresh_in_its_lane() -> None:
    """An entry is written to its token's lane; one that is removed and listed again stays."""
    entry = listing(NAME, ROW, TOKENS[3], 7)
    assert written(replace(EMPTY, listed=[(entry, False), (entry, True)])) == {
        (3, listed_key(entry.id)): encode_listed(entry)
    }
    assert written(replace(EMPTY, listed=[(entry, True), (entry, False)])) == {
        (3, listed_key(entry.id)): None
    }


def test_requests_in_their_lanes() -> None:
    """A request is written to its token's lane, and removed there when it is served."""
    one, two = (Request(name, NAME, ROW, TOKENS[2]) for name in ("one", "two"))
    assert written(replace(EMPTY, asked=[one]), replace(EMPTY, served=[one], asked=[two])) == {
        (2, request_key("one")): None,
        (2, request_key("two")): encode_request(two),
    }
