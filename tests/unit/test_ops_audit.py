"""The audit line: always written, once, with who, what and when."""

import getpass
import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from cdcd.config.settings import LogSettings
from cdcd.ops import logs
from cdcd.ops.audit import audit, user


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """What is logged at level error."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    logs.configure(LogSettings(format="json", level="error"), stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_an_audit_line_says_who_what_and_when(out: io.StringIO) -> None:
    """A command's line has user, host, time, command and what it changed, at any log level."""
    logs.get_logger().info("noise")
    audit("pause", "shop", tables=["ks.t"], password="hunter2")  # noqa: S106  a test of hiding it
    (line,) = [json.loads(text) for text in out.getvalue().splitlines()]
    assert line["event"] == "audit"
    assert (line["command"], line["pipeline"], line["tables"]) == ("pause", "shop", ["ks.t"])
    assert line["user"] == getpass.getuser()
    assert line["host"]
    assert line["timestamp"].endswith("Z")
    assert line["password"] == logs.HIDDEN


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """An arbitrary uid, as containers have, does not fail the command."""

    def nameless() -> str:
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert user().startswith("uid ")
