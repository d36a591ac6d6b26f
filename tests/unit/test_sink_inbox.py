"""The inbox: bounded, in order, and offsets that never run ahead of the records."""

from hypothesis import given
from hypothesis import strategies as st

from cdcd.sink.inbox import Inbox, Move
from cdcd.transport.records import Partition, Record


def record(number: int, offset: int, size: int = 1) -> Record:
    return Record(Partition("t", number), offset, 0, b"", b"x" * size)


def inbox(rows_max: int = 100, bytes_max: int = 1000, **saved: int | None) -> Inbox:
    """An inbox that has begun at these saved offsets: `p0=5`."""
    made = Inbox(rows_max, bytes_max)
    made.begin({int(name[1:]): offset for name, offset in saved.items()})
    return made


def test_a_slice_moves_from_the_saved_offset_behind_its_last_record() -> None:
    """A new partition's move starts at nothing, another's at what is saved."""
    box = inbox(p0=None, p1=7)
    for found in (record(0, 0), record(1, 7), record(1, 9)):
        box.offer(found)
    assert box.take(10, 1000).moves == [Move(0, None, 1), Move(1, 7, 10)]


def test_the_next_slice_moves_on_from_the_one_before() -> None:
    """Offsets chain, although the first slice is not written yet."""
    box = inbox(p0=0)
    box.offer(record(0, 0))
    box.offer(record(0, 1))
    assert box.take(1, 1000).moves == [Move(0, 0, 1)]
    assert box.take(1, 1000).moves == [Move(0, 1, 2)]


def test_records_before_the_position_are_passed_over() -> None:
    """What is applied already, or came twice, is not taken in again."""
    box = inbox(p0=5)
    for offset in (4, 5, 5, 6):
        box.offer(record(0, offset))
    assert [r.offset for r in box.take(10, 1000).records] == [5, 6]


def test_records_of_another_partition_are_passed_over() -> None:
    """A record that was under way when its partition went has no place."""
    box = inbox(p0=0)
    box.offer(record(3, 0))
    assert box.rows == 0


def test_the_end_counts_once_everything_before_it_is_taken() -> None:
    """Transaction markers are stepped over, but never a record."""
    box = inbox(p0=0)
    box.offer(record(0, 0))
    box.offer(record(0, 1))
    box.offer_end(0, 3)
    assert box.take(1, 1000).moves == [Move(0, 0, 1)]
    assert box.take(1, 1000).moves == [Move(0, 1, 3)]


def test_an_end_alone_is_a_move() -> None:
    """An idle partition's saved offset follows its end."""
    box = inbox(p0=3)
    box.offer_end(0, 4)
    taken = box.take(10, 1000)
    assert (taken.records, taken.moves) == ([], [Move(0, 3, 4)])
    assert box.take(10, 1000).moves == []


def test_an_end_never_leads_back() -> None:
    """A broker that has just started may tell an end that was passed long ago."""
    box = inbox(p0=3)
    box.offer_end(0, 2)
    assert box.take(10, 1000).moves == []
    box.offer(record(0, 3))
    assert box.take(10, 1000).moves == [Move(0, 3, 4)]
    box.offer_end(0, 3)
    assert box.take(10, 1000).moves == []


def test_a_slice_is_bounded_by_bytes_and_never_empty() -> None:
    """A record over the limit goes alone."""
    box = inbox(p0=0)
    for offset, size in enumerate((50, 50, 5000, 1)):
        box.offer(record(0, offset, size))
    sizes = [len(box.take(10, 100).records) for _ in range(3)]
    assert sizes == [2, 1, 1]
    assert box.has_room


def test_it_is_full_by_rows_or_by_bytes() -> None:
    """Either limit alone stops reading."""
    by_rows, by_bytes = inbox(rows_max=2, p0=0), inbox(bytes_max=10, p0=0)
    by_rows.offer(record(0, 0))
    by_bytes.offer(record(0, 0, 9))
    before = by_rows.is_full, by_bytes.is_full
    by_rows.offer(record(0, 1))
    by_bytes.offer(record(0, 1))
    assert before == (False, False)
    assert (by_rows.is_full, by_bytes.is_full) == (True, True)


def test_a_rebalance_voids_everything() -> None:
    """What was read before has another epoch, and nothing of it is left."""
    box = inbox(p0=0)
    box.offer(record(0, 0))
    before = box.epoch
    box.clear()
    assert (box.rows, box.positions) == (0, {})
    assert box.epoch != before


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), max_size=30), st.integers(1, 5))
def test_slices_hold_every_record_once_and_in_order(
    steps: list[tuple[int, int]], rows: int
) -> None:
    """Whatever the gaps in the offsets, slices chain and nothing is left out or doubled."""
    box = inbox(p0=None, p1=None, p2=None)
    offered: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for number, step in steps:
        offset = (offered[number][-1] if offered[number] else -1) + step
        offered[number].append(offset)
        box.offer(record(number, offset))
    taken: dict[int, list[int]] = {0: [], 1: [], 2: []}
    saved: dict[int, int | None] = {0: None, 1: None, 2: None}
    while (cut := box.take(rows, 1000)).records:
        for found in cut.records:
            taken[found.partition.number].append(found.offset)
        for move in cut.moves:
            assert move.start == saved[move.partition]
            saved[move.partition] = move.next_offset
            assert taken[move.partition][-1] == move.next_offset - 1
    assert taken == offered


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("record"), st.integers(0, 2), st.integers(1, 3)),
            st.tuples(st.just("end"), st.integers(0, 2), st.integers(0, 2)),
            st.tuples(st.just("take"), st.integers(1, 3), st.just(0)),
        ),
        max_size=30,
    )
)
def test_no_slice_leads_back(steps: list[tuple[str, int, int]]) -> None:
    """However records, ends and slices follow each other, each move begins where the one before
    ended and leads on.
    """
    box = inbox(p0=None, p1=None, p2=None)
    read = {0: 0, 1: 0, 2: 0}
    saved: dict[int, int | None] = {0: None, 1: None, 2: None}
    for kind, number, step in steps:
        if kind == "record":
            read[number] += step
            box.offer(record(number, read[number] - 1))
        elif kind == "end":
            read[number] += step
            box.offer_end(number, read[number])
        else:
            for move in box.take(number, 1000).moves:
                assert move.start == saved[move.partition]
                assert move.next_offset > (move.start or 0)
                saved[move.partition] = move.next_offset


def test_an_empty_partition_whose_end_was_seen_is_still_new() -> None:
    """A partition that was seen empty with nothing saved begins so when a record comes.

    Taken for saved at offset 0 its first step would be refused, as if another worker had made it.
    """
    box = inbox(p0=None)
    box.offer_end(0, 0)
    assert box.take(10, 1000).moves == []
    box.offer(record(0, 0))
    assert box.take(10, 1000).moves == [Move(0, None, 1)]


def test_the_oldest_record_waits_until_its_slice_is_done() -> None:
    """What is read, and what is being written, both wait; what is done or void does not."""
    box = inbox(p0=0, p1=0)
    found = [box.oldest_ms]
    for offset, ms in enumerate((30, 10, 20)):
        box.offer(Record(Partition("t", 0), offset, ms, b"k", b"v"))
    found.append(box.oldest_ms)
    for _ in range(2):
        box.take(2, 1000)
    box.offer_end(1, 5)
    box.take(2, 1000)
    found.append(box.oldest_ms)
    for _ in range(3):
        box.done()
        found.append(box.oldest_ms)
    assert found == [None, 30, 10, 20, None, None]
    box.offer(Record(Partition("t", 0), 3, 40, b"k", b"v"))
    box.clear()
    assert box.oldest_ms is None
