"""What was published is read back from where it went, as far as it is asked for."""

import time
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid1

import pytest

from cdcd.model.change import ChangeEvent, Identity
from cdcd.model.fingerprint import PublishedRow
from cdcd.model.position import Window
from cdcd.source.touched import hash_of
from cdcd.transport import read_back
from cdcd.transport.read_back import Place
from cdcd.transport.topics import Topics
from tests.integration.feeding import Feed, change, table


def now_ms() -> int:
    """This machine's clock, by which records are stamped."""
    return time.time_ns() // 1_000_000


async def hashes(feed: Feed, place: Place, window: Window, until_ms: int | None) -> list[int]:
    """The hashes of what is read back, in order of time."""
    found: list[PublishedRow] = []

    async def take(rows: Sequence[PublishedRow]) -> None:
        found.extend(rows)

    await read_back.read_back(feed.kafka, place, window, until_ms, take)
    return [row.row_hash for row in sorted(found, key=lambda row: row.time_ms)]


async def test_what_was_published_by_a_time(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The identities of a window's rows come back: of those that were published by a time, or of
    all.
    """
    monkeypatch.setattr(read_back, "_CLOCKS_MS", 0)
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
        assert await hashes(feed, place, window, until_ms) == [hash_of(event) for event in events]
    assert await hashes(feed, place, Window(begin_ms - 20, begin_ms - 10), None) == []
