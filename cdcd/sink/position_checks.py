"""Whether a topic still has every change behind the offsets that are saved in the target. Pure."""

from cdcd.model.errors import TableStopped
from cdcd.transport.records import Partition
from cdcd.transport.topic_facts import TopicFacts


def check_topic(table: str, topic: str, facts: TopicFacts, known: tuple[str, int]) -> None:
    """Raise TableStopped where the saved offsets are not this topic's, or its order is broken.

    `known` has the id and number of partitions of the topic that the offsets are of.
    """
    topic_id, partitions = known
    if facts.topic_id != topic_id:
        what = (
            f"{topic} is another topic than the one that was applied: it was deleted and made again"
        )
    elif facts.partitions != partitions:
        numbers = f"has {facts.partitions} partitions and had {partitions}"
        what = f"{topic} {numbers}: changes of one row are in two of them, out of order"
    elif facts.faults:
        raise TableStopped(table, f"{topic}: {facts.faults[0]}")
    else:
        return
    raise TableStopped(table, what, "only a new copy makes it right", needs_snapshot=True)


def check_compacted(table: str, partition: Partition, saved: int, whole: int) -> None:
    """Raise TableStopped where compaction may have taken changes behind the saved offset.

    From the offset `whole` on the records are too young for that: until a record is as old as
    `min.compaction.lag.ms` it stays, whatever comes behind it.
    """
    if saved < whole:
        place = f"{partition.topic}/{partition.number}"
        what = f"{place} may have been compacted up to {whole}, past the saved offset {saved}"
        raise TableStopped(table, what, "only a new copy makes it right", needs_snapshot=True)


def check_offset(
    table: str, partition: Partition, saved: int | None, bounds: tuple[int, int]
) -> None:
    """Raise TableStopped when reading on from the saved offset would leave changes out.

    `bounds` are the partition's first offset and the one behind its last.
    """
    start, end = bounds
    place = f"{partition.topic}/{partition.number}"
    if saved is None and start > 0:
        what = f"{place} begins at {start} and no offset is saved, so changes before it are gone"
    elif saved is not None and saved < start:
        what = f"{place} begins at {start}, past the saved offset {saved}: retention was faster"
    elif saved is not None and saved > end:
        what = f"{place} ends at {end}, before the saved offset {saved}: is it another topic?"
    else:
        return
    raise TableStopped(table, what, "only a new copy makes it right", needs_snapshot=True)
