"""Control records: commands write them, workers that run follow them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from cdcd.model.control import Control, paused, with_tables
from cdcd.model.errors import ConfigurationError, Transient
from cdcd.ops.retry import Backoff, retrying
from cdcd.transport.control import change_control, following, read_control
from cdcd.transport.lane_records import PAUSES_KEY
from cdcd.transport.lane_state import read_lanes, settle_tables
from cdcd.transport.topics import Topics
from tests.integration.command import Command
from tests.integration.pipelines import LANES, Pipeline, new_pipeline
from tests.stack import Stack

BOTH = ("source", "sink")


@pytest.fixture
async def pipeline(stack: Stack) -> AsyncIterator[Pipeline]:
    """A pipeline of two tables that no other test uses."""
    async with new_pipeline(stack) as made:
        await settle_tables(made.settings, Topics(made.settings), made.name, LANES, ["ks.a"])
        yield made


@pytest.fixture
def cdcd(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line."""
    return Command(stack, tmp_path, capsys)


async def test_a_running_worker_follows(pipeline: Pipeline) -> None:
    """What a command writes reaches those who follow, and who begins later reads the same."""
    async with following(pipeline.settings, pipeline.name) as directions:
        assert directions.now == Control(("ks.a",))
        seen = directions.now
        await change_control(
            pipeline.settings, pipeline.name, lambda c: with_tables(c, ["ks.b", "ks.c*"])
        )
        async with asyncio.timeout(10):
            seen = await directions.change_from(seen)
        assert seen.tables == ("ks.a", "ks.b", "ks.c*")
        await change_control(
            pipeline.settings, pipeline.name, lambda c: paused(c, ["ks.b"], BOTH, 5, "me@here")
        )
        async with asyncio.timeout(10):
            seen = await directions.change_from(seen)
    assert seen.pause_of("ks.b", "sink") is not None
    assert await read_control(pipeline.settings, pipeline.name) == seen
    state = await read_lanes(pipeline.settings, pipeline.name, LANES)
    assert state.control == seen


async def test_of_changes_at_once_none_is_lost(pipeline: Pipeline) -> None:
    """Commands that write at the same time all have their way, one after the other."""

    async def add(name: str) -> None:
        async def once() -> None:
            await change_control(pipeline.settings, pipeline.name, lambda c: with_tables(c, [name]))

        await retrying(once, Backoff())

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(add(f"ks.t{number}"))
    control = await read_control(pipeline.settings, pipeline.name)
    assert control is not None
    assert control.tables == ("ks.a", "ks.t0", "ks.t1", "ks.t2")


async def test_a_newer_form_is_refused(pipeline: Pipeline) -> None:
    """A worker does not guess what a later release meant: it ends with exit code 2."""
    producer = Producer({"bootstrap.servers": pipeline.settings.bootstrap_servers})
    producer.produce(pipeline.topic, json.dumps({"v": 2, "x": 1}).encode(), PAUSES_KEY, 0)
    producer.flush(10)
    with pytest.raises(ConfigurationError, match="newer cdcd") as caught:
        await read_control(pipeline.settings, pipeline.name)
    assert caught.value.exit_code == 2


async def test_kafka_that_is_away_is_transient(pipeline: Pipeline) -> None:
    """Without brokers a command may be tried again."""
    away = pipeline.settings.model_copy(
        update={"bootstrap_servers": "127.0.0.1:1", "request_timeout_seconds": 1.0}
    )
    with pytest.raises(Transient):
        await change_control(away, pipeline.name, lambda c: c)


async def begun(cdcd: Command) -> None:
    """The pipeline of a command line, as its first worker makes it."""
    settings = cdcd.kafka()
    await settle_tables(settings, Topics(settings), cdcd.name, LANES, ["ks.a", "ks.b"])


def test_commands_need_a_pipeline(cdcd: Command) -> None:
    """A command for a pipeline that is not there ends with 2: its name is likely a typo."""
    for command in (["tables", "list"], ["pause", "ks.a"], ["resume", "--all"]):
        answer = cdcd(*command)
        assert answer.code == 2
        assert f"there is no pipeline {cdcd.name}" in answer.err


def test_pause_and_resume(cdcd: Command) -> None:
    """Pausing is seen in the list and in status, is audited with its user, and ends by resume."""
    asyncio.run(begun(cdcd))
    answer = cdcd("pause", "ks.a", "--stage", "sink")
    assert answer.code == 0
    audited = json.loads(answer.err.splitlines()[-1])
    assert (audited["event"], audited["command"]) == ("audit", "pause")
    assert (audited["tables"], audited["stages"]) == (["ks.a"], ["sink"])
    shown = cdcd("tables", "list", "--json").json
    assert shown["tables"] == ["ks.a", "ks.b"]
    assert [(p["tables"], p["stage"]) for p in shown["paused"]] == [("ks.a", "sink")]
    again = cdcd("pause", "ks.a", "--stage", "sink")
    assert (again.code, again.err) == (0, "")  # nothing was changed, so nothing is audited
    assert cdcd("pause", "ks.x").code == 2
    assert cdcd("pause").code == 2
    assert cdcd("resume", "ks.a").code == 0
    assert cdcd("tables", "list", "--json").json["paused"] == []
    assert "was not paused" in cdcd("resume", "--all").out


def test_removing_a_table_is_shown_before_it_is_done(cdcd: Command) -> None:
    """Without --yes nothing is changed; with it the table leaves the set, and that is audited."""
    asyncio.run(begun(cdcd))
    preview = cdcd("tables", "remove", "ks.b")
    assert (preview.code, preview.err) == (0, "")
    assert "nothing is changed yet" in preview.out
    assert cdcd("tables", "list", "--json").json["tables"] == ["ks.a", "ks.b"]
    done = cdcd("tables", "remove", "ks.b", "--yes", "--json")
    assert (done.json["done"], done.json["tables"]) == (True, ["ks.a"])
    assert json.loads(done.err.splitlines()[-1])["command"] == "tables remove"
    assert cdcd("tables", "remove", "ks.a", "--yes").code == 2


def test_a_table_that_is_not_there_is_not_added(cdcd: Command) -> None:
    """What cannot be followed is refused by the command, not later by every worker."""
    asyncio.run(begun(cdcd))
    answer = cdcd("tables", "add", "nowhere.t")
    assert answer.code == 2
    assert "nowhere.t does not exist" in answer.err
    assert cdcd("tables", "add", "nowhere.*").code == 0
    assert cdcd("tables", "list", "--json").json["tables"] == ["ks.a", "ks.b", "nowhere.*"]
