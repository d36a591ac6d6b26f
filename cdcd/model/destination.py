"""Where a table's changes go, so that another topic of the same name is not taken for it. Pure."""

from dataclasses import dataclass

from cdcd.model.errors import TableStopped


@dataclass(frozen=True, slots=True)
class Destination:
    """The topic of a table's changes: its id, which one that is made again under its name does not
    have, and its number of partitions.
    """

    topic_id: str
    partitions: int


def check_destination(table: str, saved: Destination | None, now: Destination | None) -> None:
    """Raise TableStopped where what was published is not where changes would go now. None is not
    known.
    """
    if saved is None or now is None or saved == now:
        return
    if saved.topic_id != now.topic_id:
        message = "its topic was deleted, or made again: what was published in it is gone"
    else:
        message = (
            f"its topic had {saved.partitions} partitions and has {now.partitions}:"
            " changes of one row would be in two of them, out of order"
        )
    raise TableStopped(
        table, message, f"make a new copy: cdcd backfill {table}", needs_snapshot=True
    )


# A topic that is not there.
GONE = Destination("", 0)
