"""`cdcd dlq`: what waits is listed, shown, asked for and dropped, and nothing without a word."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.integration.command import Answer, Command
from tests.integration.feeding import Feed, change, eventually, sinking, table
from tests.integration.letters import letters, states
from tests.stack import Stack

SPEC = table("letters", "p:id int; r:v text")
OTHER = table("others", "p:id int; r:v text")

Run = Callable[..., Awaitable[Answer]]


@pytest.fixture
def run(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str], feed: Feed) -> Run:
    """Runs `cdcd dlq` for the pipeline of the test."""
    command = Command(stack, tmp_path, capsys)

    async def dlq(verb: str, *arguments: str) -> Answer:
        return await asyncio.to_thread(command, "dlq", verb, "--name", feed.pipeline, *arguments)

    return dlq


async def make_letters(feed: Feed) -> None:
    """Three dead letters of one table and one of another."""
    async with sinking(feed.plan()):
        for spec, poison in ((SPEC, {1, 2, 3}), (OTHER, {1})):
            values = {n: "secret\0" if n in poison else "fine" for n in range(5)}
            await feed.publish(spec, [change(spec, "c", (n,), {"v": v}) for n, v in values.items()])
        await eventually(lambda: in_topic(feed), 4)


async def in_topic(feed: Feed) -> int:
    """How many letters are marked as carried."""
    return sum(letter["carried_at"] is not None for letter in await letters(feed))


async def test_nothing_is_listed_where_there_is_nothing(run: Run) -> None:
    """A pipeline without dead letters says so, and ends with 0."""
    answer = await run("list")
    assert (answer.code, answer.err) == (0, "")
    assert "no dead letters" in answer.out


async def test_letters_are_listed_with_their_reasons(feed: Feed, run: Run) -> None:
    """The list counts by table and reason, names each letter, has no value, and ends with 1."""
    await make_letters(feed)
    answer = await run("list")
    assert answer.code == 1
    assert "ks.letters" in answer.out
    assert 'column "v"' in answer.out
    assert "secret" not in answer.out
    of_one = await run("list", "--table", "ks.others", "--json")
    assert of_one.json["count"] == 1
    (letter,) = of_one.json["letters"]
    assert (letter["table"], letter["reason"], letter["state"]) == (
        "ks.others",
        "unstorable",
        "open",
    )
    short = await run("list", "--limit", "1", "--json")
    assert (short.json["count"], len(short.json["letters"])) == (4, 1)
    assert (await run("list", "--reason", "trigger")).code == 0


async def test_values_are_shown_only_when_asked_for(feed: Feed, run: Run) -> None:
    """`show` has a row's values with --values, and never else; an unknown number ends with 2."""
    await make_letters(feed)
    number = str((await run("list", "--json")).json["letters"][0]["number"])
    for form in ((), ("--json",)):
        assert "secret" not in (await run("show", number, *form)).out
        assert "secret" in (await run("show", number, "--values", *form)).out
    found = (await run("show", number, "--values", "--json")).json
    assert found["key"] == {"id": 1}
    assert found["value"]["after"] == {"id": 1, "v": "secret\0"}
    missing = await run("show", "999999999")
    assert missing.code == 2
    assert "no dead letter 999999999" in missing.err


async def test_nothing_is_changed_without_yes(feed: Feed, run: Run) -> None:
    """`replay` and `drop` say what they would do; which letters has to be said."""
    await make_letters(feed)
    for verb in ("replay", "drop"):
        assert (await run(verb)).code == 2
        preview = await run(verb, "--all")
        assert preview.code == 0
        assert "4 to" in preview.out
        assert "--yes" in preview.out
    assert await states(feed) == ["open"] * 4
    assert await feed.requests() == []


async def test_what_is_chosen_is_replayed_or_dropped(feed: Feed, run: Run) -> None:
    """Chosen letters alone are asked for or dropped, with a line for the audit; both can be said of
    a letter again without harm.
    """
    await make_letters(feed)
    listed = (await run("list", "--table", "ks.letters", "--json")).json["letters"]
    first = str(listed[0]["number"])
    dropped = await run("drop", first, "--yes", "--json")
    assert (dropped.json["count"], dropped.json["done"]) == (1, 1)
    assert '"command": "dlq drop"' in dropped.err
    assert (await run("drop", first, "--yes", "--json")).json["done"] == 0
    for _ in range(2):
        replayed = await run("replay", "--table", "ks.letters", "--yes", "--json")
        assert replayed.json["done"] == 2
        assert '"command": "dlq replay"' in replayed.err
    assert len(await feed.requests()) == 4
    assert sorted(await states(feed)) == ["dropped", "open", "requested", "requested"]
    closed = await run("show", first, "--values", "--json")
    assert closed.json["value"] is None
