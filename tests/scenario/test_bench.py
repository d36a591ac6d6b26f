"""`cdcd bench` on the real servers, in a small size: it measures, and leaves nothing."""

import asyncio
import json
import subprocess
import sys

import pytest

from cdcd.bench.ground import NAME, new_place
from cdcd.bench.profiles import Profile, Step
from cdcd.bench.run import bench
from cdcd.config.settings import load
from tests.scenario.conftest import Place
from tests.scenario.left import left_behind

TINY = Profile("tiny", "is for a test", 500, (Step(100, 2), Step(200, 2)))


@pytest.mark.timeout(180)
def test_it_measures_and_leaves_nothing(place: Place) -> None:
    """Both parts have figures, each step was watched, and what was made is gone."""
    before = left_behind(place, NAME)
    here, file = new_place(), place.config()
    said: set[str] = set()
    settings = load(file, {"name": here.pipeline, "postgres": {"target_schema": here.schema}})
    report = asyncio.run(
        bench(settings, TINY, here, file, lambda text, _: said.add(text), keep=False)
    )
    found = report.as_json()
    assert found["backlog"]["changes_per_second"] > 0
    assert found["backlog"]["cpu_us_per_change"] > 0
    assert found["peak_memory_bytes"] > 2**20
    for step in found["steps"]:
        assert (step["unseen"], step["samples"] > 5) == (0, True)
        assert 0 < step["p50_seconds"] <= step["p95_seconds"] <= step["max_seconds"]
    assert "catching up" in said
    assert left_behind(place, NAME) == before


@pytest.mark.timeout(180)
def test_one_that_is_broken_off_leaves_nothing(place: Place) -> None:
    """A benchmark that is ended in its middle ends its worker, and takes away what it made."""
    before = left_behind(place, NAME)
    here, file = new_place(), place.config()
    flags = {"name": here.pipeline, "postgres": {"target_schema": here.schema}}
    settings = load(file, flags)

    async def broken_off() -> None:
        there = asyncio.Event()

        def tell(text: str, _: float | None) -> None:
            if text.startswith("100 changes/s"):
                there.set()

        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(bench(settings, TINY, here, file, tell, keep=False))
            await there.wait()
            running.cancel()
        assert running.cancelled()

    asyncio.run(broken_off())
    assert left_behind(place, NAME) == before


def test_nothing_is_done_without_yes(place: Place) -> None:
    """Without --yes it is said what would be made and where, and nothing is."""
    before = left_behind(place, NAME)
    command = [sys.executable, "-m", "cdcd", "-c", str(place.config()), "bench"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert "nothing is done yet" in done.stdout
    assert place.stack.kafka in done.stdout
    done = subprocess.run([*command, "--json"], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout)["done"] is False
    assert left_behind(place, NAME) == before
