"""From settings to targets: names, columns and types, and every reason why there can be none."""

from typing import Any

import pytest

from cdcd.config.tables import TableSettings
from cdcd.model.cqltype import parse
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.sink.mapping import WrongMapping, key_notes, mapped, options_of
from cdcd.sink.target import Targets

TABLE = TableSpec(
    "ks",
    "t",
    (
        Column("p", parse("int"), ColumnKind.PARTITION_KEY),
        Column("c", parse("text"), ColumnKind.CLUSTERING),
        Column("a", parse("int"), ColumnKind.REGULAR),
        Column("b", parse("text"), ColumnKind.REGULAR),
        Column("s", parse("int"), ColumnKind.STATIC),
    ),
)


def targets(table: TableSpec = TABLE, **settings: Any) -> Targets:
    return mapped(table, "s", options_of(table, TableSettings(**settings)))


def names(found: Targets) -> list[str]:
    return [c.name for c in (*found.rows.key, *found.rows.columns)]


def test_without_settings_all_is_as_in_the_source() -> None:
    """Names are the source's own, and every column is there."""
    found = targets()
    assert names(found) == ["p", "c", "a", "b"]
    assert [t.name for t in found.all] == ["t", "t__static"]


def test_the_elements_of_a_targets_name() -> None:
    """Keyspace and table stand where the pattern has them, also in the names of the others."""
    found = targets(target="{keyspace}__{table}")
    assert [t.name for t in found.all] == ["ks__t", "ks__t__static"]
    assert found.full_name == "ks__t__full"


@pytest.mark.parametrize(
    "settings",
    [
        {"exclude": ["a"]},
        {"columns": {"a": {"exclude": True}}},
        {"include": ["b", "s"]},
        {"include": ["a", "b", "s"], "exclude": ["a"]},
    ],
)
def test_columns_that_are_left_out(settings: dict[str, Any]) -> None:
    """The key is there whether it is named or not, and `exclude` wins."""
    found = targets(**settings)
    assert names(found) == ["p", "c", "b"]
    assert found.rows.is_partial
    assert found.statics is not None
    assert not found.statics.is_partial


def test_without_statics_there_is_no_table_for_them() -> None:
    """When every static column is left out, so is their table."""
    assert targets(exclude=["s"]).statics is None


def test_names_and_types_of_columns() -> None:
    """A column has the name and the type that are set for it; the key's too."""
    found = targets(columns={"p": {"rename": "id", "type": "bigint"}, "b": {"type": "varchar(9)"}})
    assert found.rows.typed_columns[:4] == (
        ("id", "bigint"),
        ("c", "text"),
        ("a", "integer"),
        ("b", "varchar(9)"),
    )
    assert found.statics is not None
    assert found.statics.key_columns == (("id", "bigint"),)


def test_a_key_is_never_replaced() -> None:
    """Two keys must not become one: what PostgreSQL cannot hold is refused there in any case."""
    found = targets(nul_characters="replace")
    assert found.rows.columns[1].convert("\0") == "\ufffd"
    with pytest.raises(ValueError, match="NUL"):
        found.rows.key[1].convert("\0")


def test_an_order_that_a_type_does_not_keep() -> None:
    """A clustering column of another type is ordered as CQL orders it, or not at all."""
    assert targets(columns={"c": {"type": "varchar"}}).rows.key[1].order is not None
    assert targets(columns={"c": {"type": "uuid"}}).rows.key[1].order is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"exclude": ["c"]}, 'column "c" is of the key and cannot be left out'),
        ({"columns": {"a": {"rename": "b"}}}, 'columns "a" and "b" are both "b" in the target'),
        ({"columns": {"a": {"rename": "s"}}}, 'columns "a" and "s" are both "s"'),
        ({"columns": {"a": {"rename": "cdc_a"}}}, 'named "cdc_a" in the target: names that begin'),
        ({"columns": {"a": {"rename": "ctid"}}}, "PostgreSQL has a column of that name"),
        ({"columns": {"a": {"rename": "x" * 64}}}, "over 63 bytes"),
        ({"columns": {"a": {"type": "inet"}}}, 'column "a": int is not written to "inet"'),
        ({"target": "x" * 60}, f'"{"x" * 60}__static" is over 63 bytes; set `target` in'),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    """Each reason names the column or target, and the setting that mends it."""
    with pytest.raises(WrongMapping) as caught:
        targets(**settings)
    assert words in str(caught.value)
    assert "settings of ks.t" in str(caught.value) or '[tables."ks.t"]' in str(caught.value)


def test_a_source_name_that_is_mended() -> None:
    """A column of a name that cannot be is fine when it is renamed or left out."""
    odd = Column("cdc_x", parse("int"), ColumnKind.REGULAR)
    table = TableSpec("ks", "t", (*TABLE.columns, odd))
    with pytest.raises(WrongMapping, match=r"set `columns\.cdc_x\.rename`"):
        targets(table)
    assert "x" in names(targets(table, columns={"cdc_x": {"rename": "x"}}))
    assert len(names(targets(table, exclude=["cdc_x"]))) == 4


def test_all_reasons_are_given_at_once() -> None:
    """Nobody has to mend one to see the next."""
    with pytest.raises(WrongMapping) as caught:
        targets(exclude=["c"], columns={"a": {"rename": "cdc_a"}, "b": {"rename": "ctid"}})
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize("target", ["", "{schema}", "a{", "{table"])
def test_a_pattern_has_two_elements(target: str) -> None:
    """Other braces in a target's name are wrong settings."""
    with pytest.raises(ValueError, match="target"):
        TableSettings(target=target)


def key_table(cql: str) -> TableSpec:
    return TableSpec("ks", "t", (Column("p", parse(cql), ColumnKind.PARTITION_KEY),))


def test_refused_values_of_keys_are_said() -> None:
    """For a key of which PostgreSQL's type takes values for others it is said what to do."""
    ((what, mend),) = key_notes(targets(key_table("time")))
    assert 'key column "p"' in what
    assert mend == '`columns.p.type = "bigint"` in [tables."ks.t"] holds them all'
    assert not key_notes(targets(key_table("time"), columns={"p": {"type": "bigint"}}))
    assert not key_notes(targets())


def test_a_key_is_no_document() -> None:
    """Unequal texts can be equal documents, so a key of text cannot be jsonb. Numbers can."""
    with pytest.raises(WrongMapping, match="cannot be jsonb"):
        targets(key_table("text"), columns={"p": {"type": "jsonb"}})
    targets(key_table("int"), columns={"p": {"type": "jsonb"}})
