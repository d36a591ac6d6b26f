"""`cdcd status` without a daemon: what the pipeline keeps, and what is away."""

from pathlib import Path

import pytest

from tests.integration.command import Command
from tests.stack import Stack


@pytest.fixture
def cdcd(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line."""
    return Command(stack, tmp_path, capsys)


def test_new_pipeline_has_nothing_to_show(cdcd: Command) -> None:
    """Before the first run there are no tables, and that is no failure."""
    answer = cdcd("status")
    assert (answer.code, answer.err) == (0, "")
    assert "has no tables yet" in answer.out


@pytest.mark.parametrize(
    ("service", "values"),
    [
        ("kafka", {"bootstrap_servers": "127.0.0.1:1"}),
        ("postgres", {"dsn": "postgresql://me:hunter2@127.0.0.1:1/x"}),
    ],
)
def test_what_is_away_is_named(cdcd: Command, service: str, values: dict[str, object]) -> None:
    """A service that is away is named, the rest is still shown, and the exit code is 3."""
    cdcd.set(service, **values)
    answer = cdcd("status", "--json")
    assert answer.code == 3
    assert list(answer.json["away"]) == [service]
    assert f"{service} is away" in answer.err
    assert "hunter2" not in answer.out + answer.err


def test_wrong_password_is_a_wrong_setting(cdcd: Command, stack: Stack) -> None:
    """A wrong password ends with message and hint and exit code 2."""
    before, _, after = stack.postgres.rpartition("@")
    cdcd.set("postgres", dsn=f"{before}x@{after}")
    answer = cdcd("status")
    assert answer.code == 2
    assert "password authentication failed" in answer.err
    assert "Traceback" not in answer.err
