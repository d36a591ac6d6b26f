"""Logs: one pipeline for all, secrets hidden, our failures without a traceback."""

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from pydantic import SecretStr

from cdcd.config.settings import LogSettings
from cdcd.model.errors import Fatal, Transient
from cdcd.ops import logs

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Logging at level info as JSON; gives what was written."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out = io.StringIO()
    logs.configure(LogSettings(format="json"), out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_lines_are_json_with_time_and_level(lines: Lines) -> None:
    """A line holds the event, its values, its level and the time in UTC."""
    logs.get_logger(stage="source").info("window read", rows=3)
    (line,) = lines()
    assert line["event"] == "window read"
    assert (line["rows"], line["stage"], line["level"]) == (3, "source", "info")
    assert str(line["timestamp"]).endswith("Z")


def test_levels_below_are_left_out(lines: Lines) -> None:
    """At level info debug lines are not written."""
    logs.get_logger().debug("detail")
    assert lines() == []


def test_libraries_speak_through_the_same_pipeline(lines: Lines) -> None:
    """Libraries' warnings are lines like ours, with secrets hidden, and their chatter is not."""
    logging.getLogger("cassandra").info("chatter")
    logging.getLogger("aiohttp.server").warning("lost %s", "postgresql://me:hunter2@host/db")
    (line,) = lines()
    assert line["logger"] == "aiohttp.server"
    assert line["event"] == "lost postgresql://me:***@host/db"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("password", "hunter2"),
        ("dsn", "postgresql://me:hunter2@host/db"),
        ("anything", SecretStr("hunter2")),
        ("url", "https://me:hunter2@host/path"),
        ("url", "https://me:hun@ter2hunter2@host/path"),
        ("text", "host=a password=hunter2 dbname=b"),
        ("properties", {"sasl.password": "hunter2"}),
        ("parts", ["https://me:hunter2@host"]),
        ("error", "cannot reach postgresql://me:hunter2@host/db"),
    ],
)
def test_secrets_are_hidden(lines: Lines, key: str, value: object) -> None:
    """Secrets are hidden by key, by type, inside of URLs and inside of other values."""
    logs.get_logger().warning("said", **{key: value})
    assert "hunter2" not in json.dumps(lines())


def test_words_of_the_ring_are_no_secrets(lines: Lines) -> None:
    """A partition's token and an empty password are shown."""
    logs.get_logger().info("read", token=-5, password=None)
    (line,) = lines()
    assert (line["token"], line["password"]) == (-5, None)


def test_our_failures_are_message_and_hint(lines: Lines) -> None:
    """A failure that cdcd names is written as its message and hint, without a traceback."""
    try:
        raise Transient("Kafka is away", "start it")
    except Transient:
        logs.get_logger().error("stage failed", exc_info=True)
    (line,) = lines()
    assert (line["error"], line["hint"]) == ("Kafka is away", "start it")
    assert "exception" not in line


def test_groups_of_our_failures_are_messages(lines: Lines) -> None:
    """A group in which cdcd names all failures is written as their messages."""
    group = ExceptionGroup("tasks", [Transient("a", "x"), ExceptionGroup("b", [Fatal("c", "x")])])
    logs.get_logger().error("ended", exc_info=group)
    (line,) = lines()
    assert (line["error"], line["hint"]) == ("a; c", "x")


def test_other_failures_keep_their_traceback(lines: Lines) -> None:
    """An unexpected exception is written with its traceback, secrets hidden."""
    try:
        raise ValueError("https://me:hunter2@host")
    except ValueError:
        logs.get_logger().exception("bug")
    (line,) = lines()
    assert "Traceback" in str(line["exception"])
    assert "hunter2" not in str(line["exception"])


def test_console_has_no_local_variables() -> None:
    """The console's traceback shows no local variables, which may hold row values."""
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logs.configure(LogSettings(format="console"), out)
    try:
        row = "value-" + "of-a-row"
        raise ValueError(len(row))
    except ValueError:
        logs.get_logger().exception("bug")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()
    assert "Traceback" in out.getvalue()
    assert "value-of-a-row" not in out.getvalue()
