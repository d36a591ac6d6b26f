"""A member of the sinks' group whose name another one takes: it ends, and never falls silent."""

import time
from collections.abc import AsyncIterator

import pytest

from cdcd.model.errors import CdcdError, ConfigurationError, Transient
from cdcd.transport.consumer import ChangeConsumer
from tests.integration.pipelines import Pipeline, new_pipeline
from tests.stack import Stack

LIMIT_SECONDS = 30.0
SESSION_SECONDS = 6.0


@pytest.fixture
async def pipeline(stack: Stack) -> AsyncIterator[Pipeline]:
    """A pipeline that no other test uses; its lanes topic is the one that is read."""
    async with new_pipeline(stack) as made:
        yield made


async def assigned(member: ChangeConsumer) -> None:
    """Return when the group has given the member its partitions."""
    ends = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < ends:
        if (await member.fetch(10, 0.1)).assigned:
            return
    raise TimeoutError("the group gave nothing")


async def ending(member: ChangeConsumer) -> CdcdError:
    """What a member ends with."""
    ends = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < ends:
        try:
            await member.fetch(10, 0.1)
        except CdcdError as error:
            return error
    raise TimeoutError("the member goes on, and reads nothing")


@pytest.mark.parametrize(("is_late", "told"), [(False, ConfigurationError), (True, Transient)])
async def test_a_member_whose_name_is_taken_ends(
    pipeline: Pipeline, is_late: bool, told: type[CdcdError]
) -> None:
    """Its client is told once, and reads nothing afterwards. One that came by in time has a double;
    one that stood still has been its own successor, and begins again.
    """
    settings = pipeline.settings.model_copy(update={"session_timeout_seconds": SESSION_SECONDS})
    async with (
        ChangeConsumer(settings, pipeline.name, "a") as first,
        ChangeConsumer(settings, pipeline.name, "a") as second,
    ):
        await first.subscribe([pipeline.topic])
        await assigned(first)
        if is_late:
            time.sleep(SESSION_SECONDS * 0.75)  # noqa: ASYNC251  standing still is what it does
        await second.subscribe([pipeline.topic])
        await assigned(second)
        assert isinstance(found := await ending(first), told), repr(found)
