"""What systemd is told, read from a socket such as its own."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdcd.ops.systemd import Notifier


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[socket.socket]:
    """A bound datagram socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.settimeout(5)
        yield bound


def _notifier(supervisor: socket.socket) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": supervisor.getsockname()})


def test_states_arrive(supervisor: socket.socket) -> None:
    """A state is one datagram."""
    _notifier(supervisor).say("READY=1\nSTATUS=replicating")
    assert supervisor.recv(100) == b"READY=1\nSTATUS=replicating"


def test_same_state_goes_once(supervisor: socket.socket) -> None:
    """A state that was said last is not said again."""
    notifier = _notifier(supervisor)
    for state in ("READY=1", "READY=1", "STOPPING=1"):
        notifier.say(state)
    assert [supervisor.recv(100), supervisor.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_watchdog_is_fed_each_time(supervisor: socket.socket) -> None:
    """Every sign of life goes out."""
    notifier = _notifier(supervisor)
    notifier.alive()
    notifier.alive()
    assert [supervisor.recv(100), supervisor.recv(100)] == [b"WATCHDOG=1"] * 2


def test_abstract_sockets_are_reached() -> None:
    """A name that begins with @ is one of the abstract namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind("")  # the kernel chooses an abstract name
        bound.settimeout(5)
        name = bound.getsockname()
        Notifier({"NOTIFY_SOCKET": "@" + name[1:].decode()}).alive()
        assert bound.recv(100) == b"WATCHDOG=1"


def test_supervisor_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    """A socket that nobody reads is no failure."""
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).alive()


def test_outside_of_systemd_nothing_is_sent() -> None:
    """Without a socket's name there is nothing to do."""
    Notifier({}).say("READY=1")
