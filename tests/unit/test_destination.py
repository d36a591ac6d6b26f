"""Another topic of the same name, or of another shape, is not taken for the one before."""

import pytest

from cdcd.model.destination import GONE, Destination, check_destination
from cdcd.model.errors import TableStopped

HERE = Destination("one", 6)


@pytest.mark.parametrize(("saved", "now"), [(HERE, HERE), (None, HERE), (HERE, None), (None, GONE)])
def test_the_same_topic_is_gone_on_with(saved: Destination | None, now: Destination | None) -> None:
    """So is one of which an older release saved nothing."""
    check_destination("ks.t", saved, now)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (Destination("two", 6), "deleted, or made again"),
        (GONE, "deleted, or made again"),
        (Destination("one", 12), "had 6 partitions and has 12"),
    ],
)
def test_another_topic_asks_for_a_copy(now: Destination, words: str) -> None:
    """What was published is gone, or its order is broken."""
    with pytest.raises(TableStopped, match=words) as stopped:
        check_destination("ks.t", HERE, now)
    assert stopped.value.needs_snapshot
    assert "cdcd backfill ks.t" in stopped.value.hint
