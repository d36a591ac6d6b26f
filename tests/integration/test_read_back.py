"""What was published is read back from where it went, as far as it is asked for."""

import time
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid1

from cdcd.model.change import ChangeEvent, Identity
from cdcd.model.position import Window
from cdcd.model.published import PublishedRow, Sought
from cdcd.source.touched import hash_of
from cdcd.transport import read_back
from cdcd.transport.read_back import Place
from cdcd.transport.topics import Topics
from tests.integration.feeding import Feed, change, table


def now_ms() -> int:
    """This machine's clock, by which records are stamped."""
    return time.time_ns() // 1_000_000


async def hashes(feed: Feed, place: Place, sought: Sought) -> list[int]:
    """The hashes of what is read back, in order of time."""
    found: list[PublishedRow] = []

    async def take(rows: Sequence[PublishedRow]) -> None:
        found.extend(rows)

    await read_back.read_back(feed.kafka, place, sought, take)
    return [row.row_hash for row in sorted(found, key=lambda row: row.time_ms)]


async def test_what_was_published_by_a_time(feed: Feed) -> None:
    """The identities of a window's rows come back: of those that were published by a time, or of
    all.
    """
    spec = table("t", "p:id int; r:v int")
    begin_ms = now_ms()

    def made(number: int) -> ChangeEvent:
        event = change(spec, "c", (number,), {"v": number})
        return replace(event, identity=Identity(b"s" * 16, uuid1().bytes, number))

    first, second = made(1), made(2)
    await feed.publish(spec, [first])
    between_ms = now_ms() + 1
    while now_ms() <= between_ms:
        pass
    await feed.publish(spec, [second])
    place = Place(Topics(feed.kafka), feed.registry, feed.topic(spec))
    window = Window(begin_ms, now_ms() + 1)
    for until_ms, events in (
        (None, [first, second]),
        (now_ms() + 1, [first, second]),
        (between_ms, [first]),
        (begin_ms - 1, []),
    ):
        found = await hashes(feed, place, Sought(window, until_ms, margin_ms=0))
        assert found == [hash_of(event) for event in events]
    old = Window(begin_ms - 20, begin_ms - 10)
    assert await hashes(feed, place, Sought(old, None, margin_ms=0)) == []


async def test_clocks_that_are_apart(feed: Feed) -> None:
    """A row whose time is behind the stamp of its record is found as far as the margin reaches."""
    spec = table("t", "p:id int; r:v int")
    event = change(spec, "c", (1,), {"v": 1})
    event = replace(event, identity=Identity(b"s" * 16, uuid1().bytes, 0))
    window = Window(now_ms() - 10_000, now_ms() + 10_000)
    await feed.publish(spec, [event])
    later_ms = now_ms() + 1
    while now_ms() <= later_ms:
        pass
    place = Place(Topics(feed.kafka), feed.registry, feed.topic(spec))
    assert await hashes(feed, place, Sought(window, window.start_ms, margin_ms=0)) == []
    found = await hashes(feed, place, Sought(window, window.start_ms, margin_ms=60_000))
    assert found == [hash_of(event)]
