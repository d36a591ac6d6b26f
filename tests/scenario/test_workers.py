"""Several workers of one pipeline: lanes and partitions move, and no change is lost or doubled."""

from collections.abc import Callable

import pytest

from tests.scenario.conftest import Place
from tests.scenario.daemon import Daemon
from tests.scenario.ending import SETTLED_SOON, Writer, expect_equal, expect_equal_and_settled

MakeTable = Callable[[str], None]


@pytest.fixture
def workers(place: Place, make_table: MakeTable) -> tuple[Daemon, Daemon]:
    """Two workers that are ready, and a table that is written to until they have shared it."""
    place.settings["source"] = SETTLED_SOON
    make_table("items (pk int, ck int, a text, b bigint, PRIMARY KEY (pk, ck))")
    made = [
        place.daemon("--table", f"{place.name}.*", instance=instance) for instance in ("a", "b")
    ]
    for daemon in made:
        daemon.start()
    for daemon in made:
        daemon.wait_ready()
    return made[0], made[1]


@pytest.mark.timeout(240)
def test_both_have_work(place: Place, workers: tuple[Daemon, Daemon]) -> None:
    """The lanes are shared: both workers publish."""
    writer = Writer(place, 4000)
    writer.start()
    writer.finish()
    expect_equal(place, "items", ("pk", "ck"))
    for daemon in workers:
        assert daemon.published() > 0, daemon.output[-1000:]


@pytest.mark.timeout(240)
def test_the_other_takes_over(place: Place, workers: tuple[Daemon, Daemon]) -> None:
    """When one of two is killed and does not come back, the other one does all, and publishes
    nothing again that the first one did.
    """
    writer = Writer(place, 8000)
    writer.start()
    writer.wait_for(2000)
    workers[0].kill()
    writer.finish()
    expect_equal_and_settled(place, "items", ("pk", "ck"))


@pytest.mark.timeout(240)
def test_a_doubled_instance_is_told(place: Place, workers: tuple[Daemon, Daemon]) -> None:
    """A second worker under a name that is in use takes over; the first one stops and says why."""
    again = place.daemon("--table", f"{place.name}.*", instance="a")
    again.start()
    assert workers[0].exit_code == 2
    assert "instance" in workers[0].output.strip().splitlines()[-1]
    assert again.is_running
