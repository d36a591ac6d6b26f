"""The servers' clock is that of the slowest server that was asked lately."""

import pytest

from cdcd.source import server_clock
from cdcd.source.server_clock import SAMPLES, ServerClock


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """This machine's clock, as the one item of a list."""
    clock = [1_000_000]
    monkeypatch.setattr(server_clock, "wall_clock_ms", lambda: clock[0])
    monkeypatch.setattr(server_clock, "monotonic_ms", lambda: 0)
    return clock


@pytest.mark.parametrize(
    ("asked", "server", "answered", "ahead"),
    [
        (100, 100, 100, 0),
        (100, 105, 110, 0),
        (100, 90, 110, -10),
        (100, 150, 110, 40),
    ],
)
def test_a_sample(wall: list[int], asked: int, server: int, answered: int, ahead: int) -> None:
    """A difference that the time of the question may explain is none; of others the least."""
    clock = ServerClock()
    clock.take(asked, server, answered)
    assert clock.now_ms() == wall[0] + ahead


def test_the_slowest_counts(wall: list[int]) -> None:
    """Of several servers the one that is behind sets the time."""
    clock = ServerClock()
    for ahead in (500, -200, 0):
        clock.take(1000, 1000 + ahead, 1000)
    assert clock.now_ms() == wall[0] - 200


def test_old_samples_go(wall: list[int]) -> None:
    """A server that was slow once is forgotten after as many samples as are kept."""
    clock = ServerClock()
    clock.take(1000, 0, 1000)
    for _ in range(SAMPLES):
        clock.take(1000, 1000, 1000)
    assert clock.now_ms() == wall[0]


def test_before_the_first_sample(wall: list[int]) -> None:
    """Before any server was asked the time is this machine's."""
    assert ServerClock().now_ms() == wall[0]


def test_setting_this_machines_clock_changes_nothing(wall: list[int]) -> None:
    """When this machine's clock is set forward the servers' time does not jump: a frontier in the
    future would make everything late, and what is settled there is never read again.
    """
    clock = ServerClock()
    clock.take(wall[0], wall[0], wall[0])
    before = clock.now_ms()
    wall[0] += 3_600_000
    assert clock.now_ms() - before < 1000
