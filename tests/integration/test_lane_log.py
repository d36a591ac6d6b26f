"""Lanes: what is restored, who may publish, and what a worker that lost them leaves behind."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from confluent_kafka import KafkaException

from cdcd.model.errors import CdcdError, ConfigurationError, Transient, leading
from cdcd.transport.lane_records import position_key
from cdcd.transport.publisher import Flush, LaneWrite, Publisher
from tests.integration.pipelines import (
    LANES,
    TABLE,
    Pipeline,
    assigned,
    flush,
    frontiers,
    new_pipeline,
    owning,
    position,
)
from tests.stack import Stack


@pytest.fixture
async def pipeline(stack: Stack) -> AsyncIterator[Pipeline]:
    """A pipeline that no other test uses."""
    async with new_pipeline(stack) as made:
        yield made


async def test_a_first_worker_has_all_lanes_and_no_positions(pipeline: Pipeline) -> None:
    """On an empty lanes topic a lone worker gets every lane, and nothing is restored."""
    async with pipeline.member("a") as lane_log:
        found = await assigned(lane_log)
    assert found.lanes.owned == frozenset(range(LANES))
    assert frontiers(found) == {}


async def test_positions_are_restored(pipeline: Pipeline) -> None:
    """What was committed, the newest of each table and lane, is there when a worker comes back."""
    async with pipeline.member("a") as lane_log:
        assignment = await assigned(lane_log)
        publisher = pipeline.publisher("a")
        for step in (10, 20):
            fence = lane_log.fence(assignment, range(LANES))
            publisher.publish(flush(fence, [(lane, step + lane) for lane in range(LANES)]))
        fence = lane_log.fence(assignment, [1])
        publisher.publish(flush(fence, [(1, 5)], "ks.other"))
        gone = LaneWrite(2, position_key(TABLE), None)
        publisher.publish(Flush((), [gone], *lane_log.fence(assignment, [2])))
        publisher.close()
    async with pipeline.member("a") as lane_log:
        found = await assigned(lane_log)
    assert frontiers(found) == {0: 20, 1: 21, 3: 23}
    assert found.positions["ks.other"] == {1: position(5)}


async def test_lanes_that_come_when_a_worker_leaves_are_no_failure(pipeline: Pipeline) -> None:
    """A worker to which the group gives lanes that it takes note of only while it leaves, as one
    that starts its stage again does, leaves like any other.
    """
    lane_log = pipeline.silent("a")
    await pipeline.decided()
    await lane_log.close()
    assert lane_log._group is not None
    assert lane_log._restoring is None


async def test_workers_share_the_lanes(pipeline: Pipeline) -> None:
    """Two workers have half of the lanes each, and both restore what was committed in theirs."""
    async with pipeline.member("a") as first:
        assignment = await assigned(first)
        publisher = pipeline.publisher("a")
        fence = first.fence(assignment, range(LANES))
        publisher.publish(flush(fence, [(lane, lane) for lane in range(LANES)]))
        async with pipeline.member("b") as second:
            theirs, ours = await owning(second, 2), await owning(first, 2)
        publisher.close()
    assert theirs.lanes.owned | ours.lanes.owned == frozenset(range(LANES))
    for found in (theirs, ours):
        restored = frontiers(found)
        assert {n: restored[n] for n in found.lanes.owned} == {n: n for n in found.lanes.owned}


async def test_more_workers_than_lanes_stand_by(pipeline: Pipeline) -> None:
    """A worker without lanes has an assignment of none."""
    members = [pipeline.member(str(n)) for n in range(LANES + 1)]
    async with members[0] as a, members[1] as b, members[2] as c, members[3] as d, members[4] as e:
        async with asyncio.timeout(30):
            counts: list[int] = []
            while sorted(counts) != [0] + [1] * LANES:
                counts = [len((await m.assigned()).lanes.owned) for m in (a, b, c, d, e)]
                await asyncio.sleep(0.05)


async def test_a_worker_whose_lanes_moved_cannot_commit(pipeline: Pipeline) -> None:
    """A transaction in the name of a former assignment fails, and nobody sees its records."""
    async with pipeline.member("a") as first:
        assignment = await assigned(first)
        stale = first.fence(assignment, range(LANES))
        publisher = pipeline.publisher("a")
        publisher.publish(flush(stale, [(0, 1)]))
        async with pipeline.member("b") as second:
            await owning(second, 2)
            with pytest.raises(Transient):
                publisher.publish(flush(stale, [(lane, 99) for lane in range(LANES)]))
        publisher.close()
    assert await pipeline.positions() == {0: position(1)}


async def test_a_worker_that_left_cannot_commit(pipeline: Pipeline) -> None:
    """A transaction of a worker that came back under the same name since is refused."""
    async with pipeline.member("a") as first:
        stale = first.fence(await assigned(first), range(LANES))
    publisher = pipeline.publisher("other")
    async with pipeline.member("a") as again:
        await assigned(again)
        with pytest.raises(CdcdError):
            publisher.publish(flush(stale, [(0, 99)]))
    publisher.close()
    assert await pipeline.positions() == {}


async def test_a_worker_that_stood_still_is_its_own_successor(pipeline: Pipeline) -> None:
    """A worker that was stopped, and whose consumer is back in the group before its transaction is
    refused, begins again: exit code 2 would keep a service down.
    """
    async with pipeline.member("a") as first:
        stale = first.fence(await assigned(first), range(LANES))
    publisher = Publisher(pipeline.settings, f"{pipeline.name}-a", pipeline.topic, lambda: True)
    publisher.open()
    async with pipeline.member("a") as again:
        await assigned(again)
        with pytest.raises(Transient):
            publisher.publish(flush(stale, [(0, 99)]))
    publisher.close()
    assert await pipeline.positions() == {}


async def test_a_lost_assignment_publishes_nothing(pipeline: Pipeline) -> None:
    """A worker whose lanes are being divided anew knows it before it asks the brokers."""
    async with pipeline.member("a") as first:
        assignment = await assigned(first)
        async with pipeline.member("b"), asyncio.timeout(20):
            await first.lost(assignment)
            with pytest.raises(Exception, match=r"^$") as lost:
                first.fence(assignment, [0])
    assert lost.typename == "LanesLost"


async def test_two_publishers_of_one_name(pipeline: Pipeline) -> None:
    """When a second worker publishes under a name the first is told to take another."""
    async with pipeline.member("a") as lane_log:
        assignment = await assigned(lane_log)
        first, second = pipeline.publisher("x"), pipeline.publisher("x")
        with pytest.raises(ConfigurationError, match="another worker") as told:
            first.publish(flush(lane_log.fence(assignment, [0]), [(0, 1)]))
        assert "instance" in told.value.hint
        second.publish(flush(lane_log.fence(assignment, [0]), [(0, 2)]))
        for publisher in (first, second):
            publisher.close()
    assert await pipeline.positions() == {0: position(2)}


async def test_a_publisher_that_was_fenced_stays_fenced(pipeline: Pipeline) -> None:
    """A publisher that was told about another one is told so again when it is used once more."""
    async with pipeline.member("a") as lane_log:
        fence = lane_log.fence(await assigned(lane_log), [0])
        first, second = pipeline.publisher("x"), pipeline.publisher("x")
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="another worker"):
                first.publish(flush(fence, [(0, 1)]))
        for publisher in (first, second):
            publisher.close()


class Stalled(list[LaneWrite]):
    """Writes between which the process was stopped for some seconds."""

    def __iter__(self) -> Iterator[LaneWrite]:
        yield from super().__iter__()
        time.sleep(3.5)
        yield from super().__iter__()


async def test_a_worker_that_was_stalled_begins_again(pipeline: Pipeline) -> None:
    """A transaction that timed out, because the process was stopped, is no other worker's doing.

    The brokers fence the producer in either case, but exit code 2 would keep a service down.
    """
    settings = pipeline.settings.model_copy(
        update={"transaction_timeout_seconds": 1.0, "request_timeout_seconds": 1.0}
    )
    async with pipeline.member("a") as lane_log:
        fence = lane_log.fence(await assigned(lane_log), [0])
        publisher = Publisher(settings, f"{pipeline.name}-a", pipeline.topic)
        publisher.open()
        whole = flush(fence, [(0, 1)])
        with pytest.raises(Transient):
            await asyncio.to_thread(publisher.publish, replace(whole, lanes=Stalled(whole.lanes)))
        publisher.close()
    assert await pipeline.positions() == {}


async def test_a_record_that_is_too_large_is_not_tried_for_ever(pipeline: Pipeline) -> None:
    """A record that the brokers will never take is no failure that may pass."""
    async with pipeline.member("a") as lane_log:
        fence = lane_log.fence(await assigned(lane_log), [0])
        publisher = pipeline.publisher("a")
        with pytest.raises(CdcdError) as failed:
            publisher.publish(Flush((), [LaneWrite(0, b"large", bytes(11_000_000))], *fence))
        publisher.close()
    assert not isinstance(failed.value, Transient)


async def test_two_members_of_one_name(pipeline: Pipeline) -> None:
    """When a second worker joins under a name the first is told to take another."""

    async def join_twice() -> None:
        async with pipeline.member("a") as first:
            await assigned(first)
            async with pipeline.member("a") as second:
                await assigned(second)
                await asyncio.sleep(20)  # the first one's failure ends this block

    with pytest.raises(BaseExceptionGroup) as ended:
        await join_twice()
    told = leading(ended.value)
    assert isinstance(told, ConfigurationError), repr(told)
    assert "another worker" in told.message


@pytest.mark.parametrize("with_offsets", [True, False])
@pytest.mark.parametrize("commits", [True, False])
async def test_an_open_transaction_holds_up_who_takes_over(
    pipeline: Pipeline, with_offsets: bool, commits: bool
) -> None:
    """Lanes are not given to a successor while a transaction in them is open; how it ends decides
    what the successor restores.
    """
    async with pipeline.member("a") as first:
        assignment = await assigned(first)
        publisher = pipeline.publisher("a")
        publisher.publish(flush(first.fence(assignment, [0]), [(0, 1)]))
        publisher.close()
        open_one = pipeline.transaction(2)
        if with_offsets:
            open_one.send_offsets_to_transaction(*first.fence(assignment, [0]), 10)
    async with pipeline.member("a") as second:
        with pytest.raises(TimeoutError):
            await assigned(second, 2.5)
        await asyncio.to_thread(
            open_one.commit_transaction if commits else open_one.abort_transaction, 10
        )
        found = await assigned(second)
    assert frontiers(found) == {0: 2 if commits else 1}


async def test_offsets_alone_hold_up_who_takes_over(pipeline: Pipeline) -> None:
    """A transaction that has only offsets of a lane so far, and its records elsewhere, is waited
    for as well.
    """
    async with pipeline.member("a") as first:
        assignment = await assigned(first)
        open_one = pipeline.transaction(None)
        open_one.send_offsets_to_transaction(*first.fence(assignment, [0]), 10)
    async with pipeline.member("a") as second:
        with pytest.raises(TimeoutError):
            await assigned(second, 2.5)
        await asyncio.to_thread(open_one.abort_transaction, 10)
        await assigned(second)


async def test_the_client_waits_for_stable_offsets(pipeline: Pipeline) -> None:
    """Asked for the group's offsets while a transaction holds some, it gives no old ones."""
    async with pipeline.member("a") as lane_log:
        assignment = await assigned(lane_log)
        open_one = pipeline.transaction(2)
        fence = lane_log.fence(assignment, [0])
        open_one.send_offsets_to_transaction(*fence, 10)
        asked = fence[0]
        with pytest.raises(KafkaException):
            await lane_log._consuming.call(lane_log._consumer.committed, asked, 1.0)
        await asyncio.to_thread(open_one.commit_transaction, 10)
        found = await lane_log._consuming.call(lane_log._consumer.committed, asked, 10.0)
    assert [p.offset for p in found] == [p.offset for p in asked]


async def test_who_begins_to_publish_ends_what_its_former_self_left_open(
    pipeline: Pipeline,
) -> None:
    """A transaction that a worker left open is aborted when one of its name begins to publish."""
    async with pipeline.member("a") as first:
        await assigned(first)
        pipeline.transaction(2)
        publisher = Publisher(pipeline.settings, f"{pipeline.name}-open", pipeline.topic)
        publisher.open()
    async with pipeline.member("a") as second:
        found = await assigned(second, 8)
        publisher.publish(flush(second.fence(found, [0]), [(0, 3)]))
    publisher.close()
    assert frontiers(found) == {}
    assert await pipeline.positions() == {0: position(3)}
