"""Settings of single tables: which entry wins, what is named in vain, and how they are given."""

from pathlib import Path

import pytest

from cdcd.config.origin import origins, unknown_variables
from cdcd.config.settings import load
from cdcd.config.tables import (
    ColumnSettings,
    TableSettings,
    require_columns,
    settings_of,
    unknown_columns,
)
from cdcd.model.errors import ConfigurationError


def test_without_entries_the_defaults_hold() -> None:
    """A table that no entry matches has the defaults."""
    assert settings_of({"ks.other": TableSettings(policy="fail")}, "ks.users") == TableSettings()


def test_later_entries_win_setting_by_setting() -> None:
    """Of two globs the later one wins where it says something, and the other where it does not."""
    entries = {
        "*": TableSettings(policy="evolve", soft_delete=True),
        "ks.*": TableSettings(policy="ignore"),
    }
    found = settings_of(entries, "ks.users")
    assert (found.policy, found.soft_delete) == ("ignore", True)


def test_a_tables_own_name_wins_over_a_later_glob() -> None:
    """An exact name is stronger than a glob that stands behind it."""
    entries = {"ks.users": TableSettings(policy="fail"), "*": TableSettings(policy="ignore")}
    assert settings_of(entries, "ks.users").policy == "fail"


def test_a_default_that_is_set_wins() -> None:
    """A setting that is given its default value again is set, and not merely left out."""
    entries = {"*": TableSettings(soft_delete=True), "ks.users": TableSettings(soft_delete=False)}
    assert settings_of(entries, "ks.users").soft_delete is False


def test_columns_are_merged_one_by_one() -> None:
    """What two entries say about one column, and about two, holds together."""
    entries = {
        "ks.*": TableSettings(
            columns={"a": ColumnSettings(rename="x", type="jsonb"), "b": ColumnSettings(rename="y")}
        ),
        "ks.users": TableSettings(columns={"a": ColumnSettings(rename="z")}),
    }
    columns = settings_of(entries, "ks.users").columns
    assert columns["a"] == ColumnSettings(rename="z", type="jsonb")
    assert columns["b"].rename == "y"


def test_a_name_with_glob_characters_is_a_name_too() -> None:
    """A table whose name reads as a glob is matched by itself."""
    entries = {"ks.a[b]": TableSettings(policy="fail")}
    assert settings_of(entries, "ks.a[b]").policy == "fail"


@pytest.mark.parametrize(
    "given",
    [
        TableSettings(include=("nmae",)),
        TableSettings(exclude=("nmae",)),
        TableSettings(columns={"nmae": ColumnSettings(exclude=True)}),
    ],
)
def test_an_unknown_column_is_said_with_its_entry(given: TableSettings) -> None:
    """A column that the table does not have is named with the entry that names it."""
    found = unknown_columns({"ks.*": given, "other.*": given}, "ks.users", ["id", "name"])
    assert found == ['[tables."ks.*"] names the column "nmae", which ks.users does not have']


def test_unknown_columns_are_wrong_settings() -> None:
    """At the start each of them is named at once, and nothing runs."""
    entries = {"*": TableSettings(include=("nmae",)), "ks.a": TableSettings(exclude=("x",))}
    with pytest.raises(ConfigurationError) as caught:
        require_columns(entries, {"ks.a": ["id"], "ks.b": ["id", "nmae"]})
    assert 'column "nmae", which ks.a' in caught.value.message
    assert 'column "x", which ks.a' in caught.value.message
    assert "ks.b" not in caught.value.message
    require_columns({"ks.b": entries["*"]}, {"ks.b": ["id", "nmae"]})


def test_known_columns_are_no_fault() -> None:
    """A column that the table has is fine wherever it is named."""
    given = TableSettings(include=("name",), columns={"id": ColumnSettings(rename="key")})
    assert unknown_columns({"ks.users": given}, "ks.users", ["id", "name"]) == []


def test_the_file_names_tables_in_quotes(tmp_path: Path) -> None:
    """The file's `[tables."ks.users"]` is an entry, its columns are tables of their own."""
    path = tmp_path / "cdcd.toml"
    path.write_text('[tables."ks.users"]\nexclude = ["a"]\ncolumns.b.rename = "c"\n')
    found = load(path).tables["ks.users"]
    assert (found.exclude, found.columns["b"].rename) == (("a",), "c")


def test_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """CDCD_TABLES holds all entries as JSON, and is no unknown variable."""
    monkeypatch.setenv("CDCD_TABLES", '{"ks.*": {"soft_delete": true}}')
    assert load(None).tables["ks.*"].soft_delete
    assert unknown_variables() == []


def test_a_wrong_entry_is_named_without_its_value(tmp_path: Path) -> None:
    """A wrong setting of a table is a configuration error with the entry's name."""
    path = tmp_path / "cdcd.toml"
    path.write_text('[tables."ks.users"]\npolicy = "hunter2"\n')
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert "tables.ks.users.policy" in caught.value.message
    assert "hunter2" not in str(caught.value)


def test_origins_of_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting of an entry is shown with where it was set, and none that was not."""
    path = tmp_path / "cdcd.toml"
    path.write_text('[tables."ks.users"]\nexclude = ["a"]\ncolumns.b.rename = "c"\n')
    monkeypatch.setenv("CDCD_TABLES", '{"ks.users": {"soft_delete": true}}')
    shown = origins(load(path), path, {})
    assert {s.name: s.origin for s in shown if s.name.startswith("tables")} == {
        'tables."ks.users".exclude': f"file {path}",
        'tables."ks.users".columns.b.rename': f"file {path}",
        'tables."ks.users".soft_delete': "environment CDCD_TABLES",
    }


def test_masked_columns_are_no_matter_of_the_sink() -> None:
    """A column that is dropped before Kafka, or only masked, is not missed in the topic's table."""
    columns = {
        "email": ColumnSettings(mask="drop", rename="mail"),
        "name": ColumnSettings(mask="hash"),
        "born": ColumnSettings(mask="hash", rename="date"),
    }
    (found,) = unknown_columns({"ks.t": TableSettings(columns=columns)}, "ks.t", ["id"])
    assert "born" in found
