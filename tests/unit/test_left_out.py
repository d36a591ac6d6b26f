"""A gap in a topic: which offsets it is about."""

from dataclasses import replace

from cdcd.sink.left_out import Gap, Saved

# Retention was faster in partition 1.
GAP = Gap("topic", "why", Saved({0: 5, 1: 6}, ("id", 2)), ("id", 2), {1: 20})


def test_only_offsets_that_it_is_about_count() -> None:
    """A partition that has no gap may move on while the copy is asked for, one that has may not."""
    assert GAP.is_there({0: 5, 1: 6})
    assert GAP.is_there({0: 7, 1: 6})
    assert not GAP.is_there({0: 5, 1: 7})
    assert not GAP.is_there({0: 5})


def test_partitions_without_a_saved_offset_have_none_still() -> None:
    """A gap of a partition that was never applied is one only while nothing is saved of it."""
    gap = replace(GAP, saved=Saved({0: 5}, None))
    assert gap.is_there({0: 5})
    assert not gap.is_there({0: 5, 1: 0})


def test_another_topic_is_about_all_offsets() -> None:
    """Of another topic no saved offset says anything, so none of them may have moved."""
    gap = replace(GAP, identity=("other", 2))
    assert gap.is_of_another_topic
    assert not gap.is_there({0: 7, 1: 6})
    assert not replace(GAP, saved=Saved({}, None)).is_of_another_topic


def test_rows_move_where_the_number_of_partitions_is_another() -> None:
    """Only another number of partitions than the known one moves rows."""
    assert replace(GAP, identity=("id", 3)).has_moved_keys
    assert not replace(GAP, identity=("other", 2)).has_moved_keys
    assert not replace(GAP, saved=Saved({}, None)).has_moved_keys
