"""The tables that a worker follows, in moments in which they are ended."""

from typing import Any, cast

from cdcd.model.errors import TableStopped
from cdcd.source.follower import Follower
from cdcd.source.idling import Idling
from cdcd.source.tables import Tables, _Followed


class Around:
    """What a follower shares with others."""

    idling = Idling(500, 150.0)


class Stopping:
    """A follower whose table cannot go on."""

    async def run(self) -> None:
        """Say so."""
        raise TableStopped("ks.t", "its log is gone")


def following(other: Stopping | None) -> Tables:
    """Tables of which one has such a follower, or none any more."""
    tables = cast("Any", Tables.__new__(Tables))
    tables._following = {"ks.t": _Followed(cast("Follower", other), cast("Any", None))}
    if other is None:
        tables._following = {}
    tables._around = Around()
    return cast("Tables", tables)


async def test_a_table_that_stops_while_it_is_left() -> None:
    """A follower that was ended a moment before its table stops has nothing more to say."""
    tables = following(None)
    await tables._guarded("ks.t", cast("Follower", Stopping()))
    assert tables._following == {}


async def test_a_table_that_stops_when_it_has_another_follower() -> None:
    """What an ended follower still meets does not end the one after it."""
    successor = Stopping()
    tables = following(successor)
    await tables._guarded("ks.t", cast("Follower", Stopping()))
    assert tables._following["ks.t"].follower is cast("Follower", successor)
