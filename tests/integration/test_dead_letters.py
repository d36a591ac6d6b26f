"""What the target refuses becomes a dead letter, once, and everything else is applied."""

import os
from collections import Counter
from typing import Any

from cdcd.config.settings import DlqSettings
from cdcd.dlq import desk
from cdcd.dlq.store import Choice
from cdcd.model.change import Identity
from cdcd.model.cqlencode import encoder
from cdcd.model.refresh import Row
from cdcd.ops.status import TableState
from tests.integration.feeding import Feed, change, eventually, sinking, status, table
from tests.integration.letters import carried, letters, settings, states
from tests.integration.poison import KINDS, MEND, SPEC, SPOIL, changes, good, kind_of, row

OTHER = table("other", "p:id int; r:v int")
ROWS = int(os.environ.get("CDCD_POISON_ROWS", "1100"))
EVERY = int(os.environ.get("CDCD_POISON_EVERY", "25"))
SECONDS = 60 + ROWS / 100


async def ids(feed: Feed) -> set[int]:
    return {r["id"] for r in await feed.rows("SELECT id FROM {s}.poison")}


async def numbers(feed: Feed) -> tuple[int, int]:
    """How many rows are there, and how many letters are in the topic."""
    rows = await feed.rows("SELECT count(*) FROM {s}.poison")
    done = "SELECT count(*) FROM cdcd.dead_letters WHERE pipeline = $1 AND carried_at IS NOT NULL"
    found = await feed.rows(done, feed.pipeline)
    return rows[0]["count"], found[0]["count"]


async def alter(feed: Feed, sql: str) -> None:
    connection = await feed.connect()
    await connection.execute(sql.replace("{s}", f'"{feed.schema}"'))
    await connection.close()


async def test_poison_among_good_rows(feed: Feed) -> None:
    """Of many rows with poison of every kind the good ones are applied, the others are dead letters
    once, each with its reason, and replay brings them when the causes are mended.
    """
    poison = {n: name for n in range(ROWS) if (name := kind_of(n, EVERY))}
    async with sinking(feed.plan()) as board:
        await feed.publish(SPEC, list(changes(range(1), EVERY)), partitions=2)
        await eventually(lambda: ids(feed), {0})
        await alter(feed, SPOIL)
        await feed.publish(SPEC, list(changes(range(1, ROWS), EVERY)), partitions=2)
        await eventually(lambda: numbers(feed), (ROWS - len(poison), len(poison)), SECONDS)
        assert await ids(feed) == set(range(ROWS)) - poison.keys()
        found = status(board, SPEC)
        assert (found.state, found.rejected) == (TableState.RUNNING, len(poison))
        assert found.applied == ROWS - len(poison)
        await expect_reasons(feed, poison)
        await alter(feed, MEND)
        await expect_replay(feed, set(poison))


async def expect_reasons(feed: Feed, poison: dict[int, str]) -> None:
    """Each poison record is in table and topic once, and nothing of a value in what is said."""
    rows = await letters(feed)
    records = await carried(feed)
    places = [(r["topic"], r["partition"], r["record_offset"]) for r in rows]
    assert sorted(record.place for record in records) == places
    assert {r.place: (r.key, r.value) for r in records} == {
        place: (r["record_key"], r["record_value"]) for place, r in zip(places, rows, strict=True)
    }
    expected = Counter(
        (kind.reason, kind.sqlstate, kind.constraint, kind.column)
        for kind in (KINDS[name] for name in poison.values())
    )
    seen = [(r["reason"], r["sqlstate"], r["constraint_name"], r["column_name"]) for r in rows]
    assert Counter(seen) == expected
    names = ("reason", "sqlstate", "constraint", "column")
    assert Counter(tuple(r.headers.get(f"cdcd.{n}") for n in names) for r in records) == expected
    said = [r["condition"] for r in rows] + [text for r in records for text in r.headers.values()]
    assert not any("secret" in text for text in said)


async def expect_replay(feed: Feed, poison: set[int]) -> None:
    """Replay asks for each row, and once it was read anew the letter is closed."""
    choice = Choice(feed.pipeline)
    assert await desk.replay(settings(feed), choice) == len(poison)
    serialized = encoder(SPEC.partition_key[0].type)
    requests = await feed.requests()
    asked = {r.scope for _, r in requests}
    assert asked == {Row((serialized(number),), ()) for number in poison}
    assert set(await states(feed)) == {"requested"}
    refreshed = [
        change(SPEC, "r", (n,), row(n, EVERY, mended=True), token=n) for n in sorted(poison)
    ]
    await feed.publish(SPEC, refreshed, partitions=2)
    await eventually(lambda: numbers(feed), (ROWS, len(poison)), SECONDS)
    assert await ids(feed) == set(range(ROWS))
    assert set(await states(feed)) == {"replayed"}
    assert all(r["record_value"] is None for r in await letters(feed))


async def test_a_row_that_is_refused_again_is_a_letter_of_its_own(feed: Feed) -> None:
    """A replay without mending leaves one waiting letter for the row: the newer one."""
    poison: dict[str, Any] = {"note": "a\0"}
    async with sinking(feed.plan()):
        await feed.publish(SPEC, [change(SPEC, "c", (1,), poison)])
        await eventually(lambda: states(feed), ["open"])
        await feed.publish(SPEC, [change(SPEC, "r", (1,), poison)])
        await eventually(lambda: states(feed), ["superseded", "open"])


async def test_a_delete_of_the_logs_is_no_replay(feed: Feed) -> None:
    """A letter is closed by a row that was read anew, not by what the log says of it."""
    ours = Identity(bytes(16), bytes(16), 0)
    async with sinking(feed.plan()):
        await feed.publish(SPEC, [change(SPEC, "c", (1,), {"note": "a\0"}, identity=ours)])
        await eventually(lambda: states(feed), ["open"])
        written = [change(SPEC, "d", (1,), identity=ours), change(SPEC, "c", (2,), identity=ours)]
        await feed.publish(SPEC, written)
        await eventually(lambda: ids(feed), {2})
        assert await states(feed) == ["open"]
        await feed.publish(SPEC, [change(SPEC, "d", (1,))])
        await eventually(lambda: states(feed), ["replayed"])


async def test_later_changes_of_the_row_are_applied_in_order(feed: Feed) -> None:
    """What follows a refused change in its batch is applied to the row as it is without it; only a
    refresh behind it closes the letter. What is overtaken within a batch is not refused at all.
    """
    events = [
        change(SPEC, "r", (1,), {"amount": 1, "word": "old"}),
        change(SPEC, "u", (1,), {"note": "a\0", "amount": 2}),
        change(SPEC, "u", (1,), {"word": "new"}),
        change(SPEC, "c", (2,), {"amount": 5}),
    ]
    rows = "SELECT id, amount, word, note FROM {s}.poison ORDER BY id"
    async with sinking(feed.plan()):
        await feed.publish(SPEC, events)
        await eventually(lambda: states(feed), ["open"])
        assert await feed.rows(rows) == [
            {"id": 1, "amount": 1, "word": "new", "note": None},
            {"id": 2, "amount": 5, "word": None, "note": None},
        ]
        again = [*events[1:], change(SPEC, "r", (1,), {"amount": 2, "note": "a", "word": "new"})]
        await feed.publish(SPEC, again)
        await eventually(lambda: states(feed), ["replayed"])
        assert (await feed.rows(rows))[0] == {"id": 1, "amount": 2, "word": "new", "note": "a"}


async def test_a_constraint_that_waits_for_the_commit_is_found(feed: Feed) -> None:
    """What a deferred constraint refuses at the commit is found as what is refused at once."""
    async with sinking(feed.plan()):
        await feed.publish(SPEC, [change(SPEC, "c", (0,), {"code": "a"})])
        await eventually(lambda: ids(feed), {0})
        await alter(
            feed,
            "ALTER TABLE {s}.poison ADD CONSTRAINT late UNIQUE (code) "
            "DEFERRABLE INITIALLY DEFERRED",
        )
        codes = ["b", "a", "c", "d"]
        await feed.publish(
            SPEC, [change(SPEC, "c", (n,), {"code": c}) for n, c in enumerate(codes, 1)]
        )
        await eventually(lambda: ids(feed), {0, 1, 3, 4})
    (letter,) = await letters(feed)
    assert (letter["sqlstate"], letter["constraint_name"]) == ("23505", "late")


async def test_a_flood_stops_the_table_alone(feed: Feed) -> None:
    """When too much is refused the table stops where it was and says why; the others go on."""
    limits = DlqSettings(rejected_rows_min=20, rejected_share_max=0.5)
    async with sinking(feed.plan(dlq=limits)) as board:
        await feed.publish(SPEC, [change(SPEC, "c", (n,), good(n)) for n in range(20)])
        await feed.publish(OTHER, [change(OTHER, "c", (1,), {"v": 1})])
        await eventually(lambda: ids(feed), set(range(20)))
        await alter(feed, SPOIL)
        few = [change(SPEC, "c", (n,), {**good(n), "amount": 2000}) for n in range(20, 40)]
        await feed.publish(SPEC, few)
        await eventually(lambda: states(feed), ["open"] * 20)
        before = await offsets(feed)
        more = [change(SPEC, "c", (n,), {**good(n), "amount": 2000}) for n in range(40, 80)]
        await feed.publish(SPEC, [change(SPEC, "c", (99,), good(99)), *more])

        async def state() -> TableState:
            return status(board, SPEC).state

        await eventually(state, TableState.STOPPED)
        await feed.publish(OTHER, [change(OTHER, "c", (2,), {"v": 1})])
        await eventually(lambda: count_of_other(feed), 2)
    said = status(board, SPEC).reason
    assert "were refused" in said
    assert "constraint few" in said
    assert await ids(feed) == set(range(20))
    assert await states(feed) == ["open"] * 20
    assert await offsets(feed) == before


async def offsets(feed: Feed) -> list[int]:
    query = "SELECT next_offset FROM cdcd.offsets WHERE pipeline = $1 AND topic = $2"
    return [r["next_offset"] for r in await feed.rows(query, feed.pipeline, feed.topic(SPEC))]


async def count_of_other(feed: Feed) -> int:
    return len(await feed.rows("SELECT id FROM {s}.other"))
