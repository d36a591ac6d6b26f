"""What a change touched, and which changes tie."""

from dataclasses import replace

import pytest

from cdcd.model.change import ChangeEvent, Operation
from cdcd.model.refresh import Partition, Row, StaticRow
from cdcd.model.touched import touched
from cdcd.source.touched import hash_of, ties
from tests.unit.published import TOKENS, change

ZERO = (b"\0\0\0\0",)
ROW, STATIC, PARTITION = Row(ZERO, ZERO), StaticRow(ZERO), Partition(ZERO)


@pytest.mark.parametrize(
    ("op", "c", "scope"),
    [
        (Operation.CREATE, 0, ROW),
        (Operation.UPDATE, 0, ROW),
        (Operation.DELETE, 0, ROW),
        (Operation.UPDATE, None, STATIC),
        (Operation.PARTITION_DELETE, None, PARTITION),
        (Operation.RANGE_DELETE, None, PARTITION),
    ],
)
def test_what_a_change_touched(
    op: Operation, c: int | None, scope: Row | StaticRow | Partition
) -> None:
    """A change touches its row, the static row, or for ranges the whole partition."""
    assert touched(change(1, op, c=c)) == scope


def whole(group: int) -> ChangeEvent:
    """A delete of the partition."""
    return change(1, Operation.PARTITION_DELETE, c=None, group=group)


@pytest.mark.parametrize(
    ("events", "scopes"),
    [
        ([change(1, group=1), change(1, group=2)], {ROW}),
        # One group's rows have an order of their own.
        ([change(1, group=1), change(1, group=1, seq=1)], set()),
        ([change(1, group=1), change(2, group=2)], set()),
        ([change(1, c=1, group=1), change(1, c=2, group=2)], set()),
        ([change(1, group=1), change(1, c=None, group=2)], set()),
        ([change(1, c=None, group=1), change(1, c=None, group=2)], {STATIC}),
        ([change(1, group=1), whole(2)], {PARTITION}),
        ([change(1, c=None, group=1), whole(2)], {PARTITION}),
        ([whole(1), whole(2)], {PARTITION}),
        ([change(1, group=1), change(1, c=5, group=1, seq=1), change(1, group=2)], {ROW}),
    ],
)
def test_ties(events: list[ChangeEvent], scopes: set[object]) -> None:
    """Two groups of one partition and microsecond tie in what they touch in common."""
    assert {scope for scope, _ in ties(events)} == scopes
    assert {scope for scope, _ in ties(events[::-1])} == scopes


def test_ties_are_of_one_partition() -> None:
    """Changes of other partitions at the same time do not tie, and each tie has its token."""
    pair = [change(1, lane=lane, group=group) for group in (1, 2) for lane in (0, 1)]
    assert {token for _, token in ties(pair)} == {TOKENS[0], TOKENS[1]}
    assert ties(pair[:2]) == []


def test_hashes_are_of_log_rows() -> None:
    """Stream, time and sequence each make another hash; a refresh has none."""
    event = change(1)
    assert event.identity is not None
    others = [
        event.identity._replace(stream=b"x" * 16),
        event.identity._replace(time=b"x" * 16),
        event.identity._replace(seq=9),
    ]
    assert len({hash_of(event), *(hash_of(replace(event, identity=i)) for i in others)}) == 4
    assert hash_of(replace(event, identity=None)) is None
