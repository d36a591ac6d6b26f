"""Settings: which source wins, what a wrong one says, and that no secret is shown."""

from pathlib import Path

import pytest

from cdcd.config.origin import origins, unknown_variables
from cdcd.config.settings import load
from cdcd.model.errors import ConfigurationError, ExitCode


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A settings file that sets two ports."""
    path = tmp_path / "cdcd.toml"
    path.write_text("name = 'filed'\n[scylla]\nport = 1001\n[http]\nport = 1002\n")
    return path


def test_defaults_need_no_file() -> None:
    """Without file, environment and flags the defaults hold."""
    assert load(None).scylla.port == 9042


def test_file_beats_default(file: Path) -> None:
    """What the file says holds over the default."""
    assert load(file).scylla.port == 1001


def test_environment_beats_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says holds over the file, and leaves the file's other settings alone."""
    monkeypatch.setenv("CDCD_SCYLLA__PORT", "2001")
    settings = load(file)
    assert (settings.scylla.port, settings.http.port) == (2001, 1002)


def test_flag_beats_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a flag says holds over the environment, and leaves the section's others alone."""
    monkeypatch.setenv("CDCD_HTTP__PORT", "2002")
    monkeypatch.setenv("CDCD_HTTP__HOST", "::1")
    settings = load(file, {"http": {"port": 3002}})
    assert (settings.http.port, settings.http.host) == (3002, "::1")


def test_origins_say_who_won(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is shown with the source that it came from."""
    monkeypatch.setenv("CDCD_SCYLLA__PORT", "2001")
    flags = {"http": {"port": 3002}}
    found = {s.name: s.origin for s in origins(load(file, flags), file, flags)}
    assert found["name"] == f"file {file}"
    assert found["scylla.port"] == "environment CDCD_SCYLLA__PORT"
    assert found["http.port"] == "flag"
    assert found["http.host"] == "default"


def test_hosts_in_the_environment_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several hosts are separated by commas, without JSON."""
    monkeypatch.setenv("CDCD_SCYLLA__HOSTS", "10.0.0.1, 10.0.0.2")
    assert load(None).scylla.hosts == ("10.0.0.1", "10.0.0.2")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[scylla]\nprot = 1", "scylla.prot"),
        ("[postgres]\ndsn = 5432199", "postgres.dsn"),
        ("lanes = 5432199", "lanes"),
        ("lanes = 3", "power of two"),
        ("[log]\nlevel = 'loud5432199'", "log.level"),
        ("[scylla]\nconsistency = 'two'", "scylla.consistency"),
        ("[scylla", "is not TOML"),
    ],
)
def test_wrong_file_is_one_line_without_values(tmp_path: Path, text: str, named: str) -> None:
    """A wrong file is a configuration error that names the setting and never the value."""
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert named in caught.value.message
    assert "5432199" not in str(caught.value)
    assert "\n" not in caught.value.message
    assert caught.value.exit_code is ExitCode.CONFIGURATION


@pytest.mark.parametrize("name", ["CDCD_KAFKA", "CDCD_KAFKA__PROPERTIES", "CDCD_SCYLLA__PORT"])
def test_wrong_variable_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A variable that cannot be read is a configuration error without its value."""
    monkeypatch.setenv(name, "hunter2")
    with pytest.raises(ConfigurationError) as caught:
        load(None)
    assert "hunter2" not in str(caught.value)


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    """A file that cannot be read is a configuration error that names it."""
    path = tmp_path / "cdcd.toml"
    # No bits of the file's mode would keep root from reading it; nobody reads this one's start.
    path.symlink_to("/proc/self/mem")
    with pytest.raises(ConfigurationError, match=r"cdcd\.toml cannot be read"):
        load(path)


def test_absent_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(ConfigurationError, match="nowhere"):
        load(tmp_path / "nowhere.toml")


def test_unknown_variables_are_found() -> None:
    """A misspelt section in the environment is found; what is none of ours is not."""
    names = ["CDCD_SCYLA__PORT", "CDCD_SCYLLA__PORT", "CDCD_CONFIG", "CDCD_TEST_STACK", "HOME"]
    assert unknown_variables(dict.fromkeys(names, "")) == ["CDCD_SCYLA__PORT"]
