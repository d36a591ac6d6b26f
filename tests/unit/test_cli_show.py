"""How reports look to people, and how a daemon's last words get into its log."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from rich.console import Console

from cdcd.cli.ending import report
from cdcd.cli.invocation import Invocation
from cdcd.cli.show import duration, show_report, show_standing
from cdcd.cli.standing import Standing, TableStanding
from cdcd.config.settings import LogSettings
from cdcd.model.errors import ConfigurationError, Transient
from cdcd.ops import logs
from cdcd.preflight.report import Report, ended, failed, note, skipped, warning

NOW_MS = 1_700_000_000_000


@pytest.fixture
def out() -> Console:
    """A console that keeps what is printed."""
    return Console(file=io.StringIO(), width=200, highlight=False)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The daemon's log."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    written = io.StringIO()
    logs.configure(LogSettings(format="json"), written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def _text(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


REPORT = Report(
    (
        ended("scylla", "clock", [note("within 3 ms")], 0.1),
        ended("kafka", "replication", [warning("too few [brokers]", "add some")], 0.1),
        failed("postgres", "connection", Transient("away: postgresql://me:hunter2@host/db"), 0.1),
        skipped("postgres", "rights"),
    )
)


def test_report_shows_what_matters(out: Console) -> None:
    """Findings and failures are shown with their hints, the rest is counted."""
    show_report(out, REPORT, verbose=False)
    text = _text(out)
    assert "too few [brokers]" in text
    assert "add some" in text
    assert "not finished" in text
    assert "within 3 ms" not in text
    assert text.splitlines()[-1] == "1 of 4 checks are good, 1 were skipped"


def test_report_shows_everything_when_asked(out: Console) -> None:
    """With verbose every check and every note is shown."""
    show_report(out, REPORT, verbose=True)
    assert "within 3 ms" in _text(out)
    assert "skipped" in _text(out)


def test_report_hides_secrets(out: Console) -> None:
    """A password in a message is hidden."""
    show_report(out, REPORT, verbose=True)
    assert "hunter2" not in _text(out)


def test_standing_has_a_line_for_each_table(out: Console) -> None:
    """What is known of a table is shown, and what is not known is left empty."""
    tables = (
        TableStanding("ks.known", NOW_MS, 3.21, 16, 5, NOW_MS),
        TableStanding("ks.unknown", None, None, 0, None, None),
    )
    show_standing(out, Standing("cdcd", NOW_MS, 16, (), tables, {}))
    header, known, unknown = _text(out).splitlines()
    assert header.split()[0] == "table"
    assert known.split() == [
        *("ks.known", "2023-11-14", "22:13:20Z", "3.2", "s", "5"),
        *("2023-11-14", "22:13:20Z", "16/16"),
    ]
    assert unknown.split() == ["ks.unknown", "0/16"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (61, "1 min 1 s"),
        (3_660, "1 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_have_the_units_that_matter(seconds: float, text: str) -> None:
    """A span is shown in at most two units."""
    assert duration(seconds) == text


def test_daemon_ends_in_its_log(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    """A command that logs says its end there, with the exit code, and nothing on stderr."""
    invocation = Invocation(ends_in_log=True)
    assert report(ConfigurationError("it is wrong", "mend it"), invocation) == 2
    line = json.loads(log.getvalue())
    assert (line["event"], line["error"], line["hint"]) == ("stopped", "it is wrong", "mend it")
    assert line["exit_code"] == 2
    assert capsys.readouterr().err == ""


def test_daemon_names_its_crash_file_in_its_log(
    log: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug's line in the log says where the traceback is, and holds none."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert report(ZeroDivisionError(), Invocation(ends_in_log=True)) == 4
    line = json.loads(log.getvalue())
    assert str(tmp_path) in line["hint"]
    assert "Traceback" not in log.getvalue()


def test_no_room_for_a_crash_file_is_no_second_crash(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no file can be written, the line points to --verbose."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert report(ZeroDivisionError(), Invocation()) == 4
    assert "--verbose" in capsys.readouterr().err


def test_without_a_crash_file_the_log_has_the_traceback(
    log: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a read-only machine a daemon's traceback goes to its log, so that it is not lost."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    report(ZeroDivisionError(), Invocation(ends_in_log=True))
    assert "ZeroDivisionError" in json.loads(log.getvalue())["exception"]
