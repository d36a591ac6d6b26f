"""Which changes of a table its topic can follow."""

from dataclasses import replace

import pytest

from cdcd.model.cqltype import parse
from cdcd.model.errors import TableStopped
from cdcd.model.masking import Mask, Masker
from cdcd.model.table import ColumnKind, TableSpec
from cdcd.transport.evolution import check_evolution, remasked
from tests.unit.tables import table

BEFORE = table({"p:p": "int", "c:c": "text", "r:v": "text", "r:w": "int"})


def stopped(after: TableSpec) -> TableStopped:
    """The error that the change makes."""
    with pytest.raises(TableStopped) as caught:
        check_evolution(BEFORE, after)
    return caught.value


@pytest.mark.parametrize(
    "columns",
    [
        {"p:p": "int", "c:c": "text", "r:v": "text", "r:w": "int", "r:x": "blob"},
        {"p:p": "int", "c:c": "text", "r:v": "text"},
        {"p:p": "int", "c:c": "text", "r:v": "text", "r:w": "int"},
    ],
    ids=["added", "dropped", "same"],
)
def test_columns_may_come_and_go(columns: dict[str, str]) -> None:
    """Columns that were added or dropped are no reason to stop."""
    check_evolution(BEFORE, table(columns))


def test_a_type_may_gain_fields() -> None:
    """A user-defined type of a column that is no key may have gained fields."""
    columns = {"p:p": "int", "r:u": "thing"}
    old = table(columns, {"thing": (("a", "int"),)})
    check_evolution(old, table(columns, {"thing": (("a", "int"), ("b", "text"))}))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"p:q": "int", "c:c": "text"}, "its key was renamed: p became q"),
        ({"p:p": "int", "c:d": "text"}, "its key was renamed: c became d"),
        (
            {"p:p": "int", "c:c desc": "text"},
            "its key was (p int, c text) and is (p int, c text desc)",
        ),
        ({"p:p": "bigint", "c:c": "text"}, "is (p bigint, c text)"),
        ({"p:p": "int"}, "is (p int)"),
        ({"p:p": "int", "c:c": "text", "r:v": "blob"}, "column v was text and is blob"),
    ],
)
def test_what_stops_a_table(columns: dict[str, str], words: str) -> None:
    """Another key, and another type under an old name, stop the table with the next step."""
    error = stopped(table(columns))
    assert words in error.message
    assert "cdcd tables remove ks.t" in error.hint
    assert error.needs_snapshot


def test_a_key_whose_type_gained_a_field_is_another_key() -> None:
    """The encoding of a key decides its partition, so a key may not gain a field."""
    columns = {"p:p": "frozen<thing>", "r:v": "int"}
    old = table(columns, {"thing": (("a", "int"),)})
    with pytest.raises(TableStopped):
        check_evolution(old, table(columns, {"thing": (("a", "int"), ("b", "text"))}))


def test_a_column_that_became_static_is_another_column() -> None:
    """Static columns have another place in the target."""
    v = replace(BEFORE.by_name["v"], kind=ColumnKind.STATIC, type=parse("text"))
    after = replace(BEFORE, columns=(*BEFORE.key, v, BEFORE.by_name["w"]))
    assert "column v was text and is static text" in stopped(after).message


def test_other_masks_are_noticed() -> None:
    """Another key of hashes, another mask, and one where there was none, are told from the same."""
    plain = table({"p:a": "int", "r:v": "text"})
    one, two = (Masker(plain, {"v": Mask("hash")}, key).table for key in (b"one", b"two"))
    last = Masker(plain, {"v": Mask("keep_last", 2)}, b"").table
    assert remasked(one, two) == remasked(plain, one) == remasked(one, last) == ["v"]
    assert remasked(one, one) == remasked(plain, plain) == []
    assert remasked(plain, table({"p:a": "int"})) == []
    check_evolution(plain, one)


def test_a_mask_that_changes_the_type_stops() -> None:
    """A number that is hashed from now on is text, which its topic cannot follow."""
    plain = table({"p:a": "int", "r:v": "int"})
    masked = Masker(plain, {"v": Mask("hash")}, b"key").table
    with pytest.raises(TableStopped, match=r"v was int and is text: .* masked in another way"):
        check_evolution(plain, masked)
