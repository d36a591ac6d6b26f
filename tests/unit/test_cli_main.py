"""The command line: help, mistakes, and how failures end."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from cdcd import __version__
from cdcd.cli.ending import report
from cdcd.cli.invocation import Invocation
from cdcd.cli.main import SECTIONS, cli, main
from cdcd.model.errors import (
    ConfigurationError,
    ExitCode,
    Fatal,
    InvariantBroken,
    TableStopped,
    Transient,
    exit_code,
)

Capture = pytest.CaptureFixture[str]
SCREEN_LINES, SCREEN_COLUMNS = 24, 80
# The list of all commands takes a window as people open it now.
WINDOW_LINES = 40


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the shell or of the clone, and crash files in a folder of the test's own."""
    monkeypatch.delenv("CDCD_CONFIG", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.fixture
def failing() -> Iterator[Callable[[BaseException], None]]:
    """Adds a command `fail` that raises what it is given."""

    def add(error: BaseException) -> None:
        @click.command()
        def fail() -> None:
            raise error

        cli.add_command(fail, "fail")

    yield add
    cli.commands.pop("fail", None)


def test_help_fits_one_screen(capsys: Capture) -> None:
    """--help is on stdout, fits a window of 80 columns, and ends with 0."""
    assert main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) <= WINDOW_LINES
    assert max(map(len, out.splitlines())) <= SCREEN_COLUMNS


@pytest.mark.parametrize("command", [c.name for group in SECTIONS.values() for c in group])
def test_each_command_has_help_on_one_screen(capsys: Capture, command: str) -> None:
    """Each command's --help fits a screen, too."""
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) <= SCREEN_LINES
    assert max(map(len, out.splitlines())) <= SCREEN_COLUMNS


def test_help_lists_every_command() -> None:
    """Every command is in one of the groups of the help text."""
    listed = {c.name for group in SECTIONS.values() for c in group}
    assert listed == set(cli.commands)


def test_version(capsys: Capture) -> None:
    """--version prints name and version."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cdcd {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["rnu"], "run"),
        (["run", "--tabel", "ks.t"], "--table"),
        (["run", "--table", "ks.t", "--stage", "snik"], "sink"),
        (["pause"], "--all"),
        (["pause", "ks.t", "--all"], "--all"),
        (["check", "--service", "oracle"], "postgres"),
    ],
)
def test_mistakes_are_two_lines(capsys: Capture, arguments: list[str], named: str) -> None:
    """A typo gives two lines on stderr that name what was meant, and exit code 2."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 2
    assert named in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("it is wrong", "mend it"), 2),
        (Fatal("it is wrong", "mend it"), 3),
        (Transient("it is wrong", "mend it"), 3),
        (InvariantBroken("it is wrong", "mend it"), 4),
        (ExceptionGroup("tasks", [Transient("it is wrong", "mend it")]), 3),
    ],
)
def test_our_failures_are_message_and_hint(
    capsys: Capture, failing: Callable[[BaseException], None], error: Exception, code: int
) -> None:
    """A failure that cdcd names is its message, its hint and its exit code."""
    failing(error)
    assert main(["fail"]) == code
    assert capsys.readouterr().err.splitlines() == ["cdcd: it is wrong", "  mend it"]


def test_gravest_of_a_group_decides(failing: Callable[[BaseException], None]) -> None:
    """Of several failures the gravest gives the exit code."""
    failing(ExceptionGroup("tasks", [Transient("a"), InvariantBroken("b")]))
    assert main(["fail"]) == ExitCode.INVARIANT


def test_bug_is_one_line_and_a_file(
    capsys: Capture, failing: Callable[[BaseException], None]
) -> None:
    """What nobody expected is two lines, exit code 4, and a file only its owner reads."""
    failing(ZeroDivisionError("https://me:hunter2@host"))
    assert main(["fail"]) == 4
    err = capsys.readouterr().err
    assert "ZeroDivisionError" in err
    assert "Traceback" not in err
    file = Path(err.split("details are in ")[1].split(";")[0])
    assert "Traceback" in file.read_text()
    assert "hunter2" not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_verbose_shows_the_traceback(
    capsys: Capture, failing: Callable[[BaseException], None]
) -> None:
    """With --verbose the traceback is on stderr."""
    failing(ZeroDivisionError())
    assert main(["--verbose", "fail"]) == 4
    assert "Traceback" in capsys.readouterr().err


def test_interrupt_is_one_line(capsys: Capture) -> None:
    """Ctrl-C ends a command with one line and the shell's exit code for it."""
    assert report(KeyboardInterrupt(), Invocation()) == 130
    assert capsys.readouterr().err == "cdcd: interrupted\n"


def test_stopped_table_may_be_tried_again() -> None:
    """A failure without an exit code of its own is one of the outside."""
    assert exit_code(TableStopped("ks.t", "x")) is ExitCode.OUTSIDE


def test_config_says_where_settings_come_from(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`config --json` has each setting with its value and origin, and no secret."""
    file = tmp_path / "cdcd.toml"
    file.write_text(
        "[scylla]\npassword = 'hunter2'\n[kafka.properties]\n'sasl.password' = 'hunter2'"
    )
    monkeypatch.setenv("CDCD_POSTGRES__DSN", "postgresql://me:hunter2@db/warehouse")
    assert main(["--config", str(file), "config", "--json"]) == 0
    out = capsys.readouterr().out
    found = json.loads(out)
    assert "hunter2" not in out
    assert found["scylla.password"] == {"value": "***", "from": f"file {file}"}
    assert found["postgres.dsn"] == {
        "value": "postgresql://me:***@db/warehouse",
        "from": "environment CDCD_POSTGRES__DSN",
    }


def _name_and_origin(capsys: Capture, *options: str) -> dict[str, str]:
    assert main([*options, "config", "--json"]) == 0
    found: dict[str, dict[str, str]] = json.loads(capsys.readouterr().out)
    return found["name"]


def test_the_working_folder_s_file_is_read(capsys: Capture) -> None:
    """`cdcd.toml` of the working folder is read where no file is named, and `config` says so."""
    assert _name_and_origin(capsys) == {"value": "cdcd", "from": "default"}
    Path("cdcd.toml").write_text("name = 'here'")
    assert _name_and_origin(capsys) == {"value": "here", "from": "file cdcd.toml"}


def test_a_named_file_is_read_instead(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file named by `-c` or CDCD_CONFIG is read instead of the working folder's, not with it."""
    Path("cdcd.toml").write_text("name = 'here'\n[scylla]\nport = 1001")
    named = tmp_path / "named.toml"
    named.write_text("lanes = 32")
    default = {"value": "cdcd", "from": "default"}
    assert _name_and_origin(capsys, "-c", str(named)) == default
    monkeypatch.setenv("CDCD_CONFIG", str(named))
    assert _name_and_origin(capsys) == default
    named.unlink()
    assert main(["config"]) == 2
    assert f"no settings file at {named}" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[scylla", "[scylla]\nprot = 1"])
def test_a_broken_file_of_the_working_folder_is_named(capsys: Capture, text: str) -> None:
    """A file that nobody named is named where it is wrong, and ends the command with 2."""
    Path("cdcd.toml").write_text(text)
    assert main(["check"]) == 2
    assert "cdcd.toml" in capsys.readouterr().err


def test_a_file_that_another_user_laid_there_is_not_read(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could have the passwords of the environment sent to servers of its own."""
    Path("cdcd.toml").write_text("name = 'theirs'")
    if os.getuid() == 0:
        os.chown("cdcd.toml", 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert main(["config"]) == 2
    assert "belongs to another user" in capsys.readouterr().err
    monkeypatch.setenv("CDCD_CONFIG", "cdcd.toml")
    assert _name_and_origin(capsys)["value"] == "theirs"


def test_config_for_people_lists_the_same(capsys: Capture) -> None:
    """`config` prints every setting, one a line."""
    assert main(["config"]) == 0
    people = capsys.readouterr().out
    assert main(["config", "--json"]) == 0
    for name in json.loads(capsys.readouterr().out):
        assert name in people


def test_verbose_is_a_flag_like_others(capsys: Capture) -> None:
    """--verbose sets the log's level, and `config` says that a flag did."""
    assert main(["-v", "config", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["log.level"] == {"value": "debug", "from": "flag"}


def test_wrong_settings_are_one_line(capsys: Capture, tmp_path: Path) -> None:
    """A wrong file ends any command with exit code 2 and a line that names the setting."""
    file = tmp_path / "cdcd.toml"
    file.write_text("[scylla]\nprot = 'hunter2'")
    assert main(["-c", str(file), "check"]) == 2
    err = capsys.readouterr().err
    assert "scylla.prot" in err
    assert "hunter2" not in err
