"""Log rows to range deletes: two rows are one change."""

import pytest

from cdcd.model.change import Bounds, ChangeEvent, Identity, Operation
from cdcd.source.row_readers import RawRow
from tests.unit.log_rows import INSERT, SPEC, STREAM, TIME, TRUE, UPDATE, decode, log_row, number

START_INCLUSIVE, START_EXCLUSIVE, END_INCLUSIVE, END_EXCLUSIVE = 5, 6, 7, 8
Prefix = tuple[str | int, ...]


def bound(operation: int, prefix: Prefix, seq: int, end: bytes | None = None) -> RawRow:
    """The log row of a bound."""
    a, b = (*prefix, None, None)[:2]
    return log_row(
        operation,
        a=None if a is None else str(a).encode(),
        b=None if b is None else number(int(b)),
        **{"cdc$batch_seq_no": number(seq), "cdc$end_of_batch": end},
    )


def test_a_range_is_one_change() -> None:
    """A range delete has key, time and token of its partition, and the identity of its start."""
    rows = bound(START_INCLUSIVE, ("x",), 3), bound(END_EXCLUSIVE, ("x", 9), 4, TRUE)
    assert decode(*rows) == [
        ChangeEvent(
            table=SPEC,
            op=Operation.RANGE_DELETE,
            partition=(1,),
            clustering=(None, None),
            time_us=1_000_000,
            token=4,
            identity=Identity(STREAM, TIME, 3),
            values={},
            bounds=Bounds(("x",), True, ("x", 9), False),
        )
    ]


@pytest.mark.parametrize(
    ("start", "start_inclusive"), [(START_INCLUSIVE, True), (START_EXCLUSIVE, False)]
)
@pytest.mark.parametrize("end_inclusive", [True, False])
@pytest.mark.parametrize("prefixes", [((), ("a",)), (("a", 1), ()), (("a", 1), ("b", 2)), ((), ())])
def test_bounds_are_prefixes(
    start: int, start_inclusive: bool, end_inclusive: bool, prefixes: tuple[Prefix, Prefix]
) -> None:
    """A bound has the clustering columns that are there, and its operation says if it belongs."""
    end = END_INCLUSIVE if end_inclusive else END_EXCLUSIVE
    (event,) = decode(bound(start, prefixes[0], 0), bound(end, prefixes[1], 1, TRUE))
    assert event.bounds == Bounds(prefixes[0], start_inclusive, prefixes[1], end_inclusive)


def test_ranges_and_rows_stay_in_order() -> None:
    """The changes of a batch stand where their rows do, and each end belongs to its own start."""
    more = {"cdc$end_of_batch": None}
    found = decode(
        log_row(UPDATE, **more),
        bound(START_INCLUSIVE, ("a",), 1),
        bound(END_INCLUSIVE, ("b",), 2),
        bound(START_INCLUSIVE, ("c",), 3),
        bound(END_INCLUSIVE, ("d",), 4),
        log_row(INSERT),
    )
    assert [e.op.value for e in found] == ["u", "g", "g", "c"]
    assert [(e.bounds.start, e.bounds.end) for e in found if e.bounds] == [
        (("a",), ("b",)),
        (("c",), ("d",)),
    ]
