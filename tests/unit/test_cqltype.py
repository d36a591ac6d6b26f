"""CQL types read from the texts of the system tables, and written as such texts."""

import pytest
from hypothesis import given, settings

from cdcd.model.cqltype import ATOMIC, CqlType, UdtFields, parse
from tests.unit import cql_values

UDTS: dict[str, UdtFields] = {
    "inner": (("a", "int"), ("b", "list<text>")),
    "outer": (("i", "inner"), ("m", "map<int, frozen<inner>>")),
    "Odd <name>": (("x", "int"),),
}


def _udts_of(cql: CqlType) -> dict[str, UdtFields]:
    found = {name: fields for arg in cql.args for name, fields in _udts_of(arg).items()}
    if cql.udt:
        found[cql.udt] = tuple(zip(cql.fields, map(str, cql.args), strict=True))
    return found


@settings(max_examples=50)
@given(cql_values.types)
def test_a_type_is_read_back_from_its_text(cql: CqlType) -> None:
    """The text of a type, with its user-defined types, gives the type again."""
    assert parse(str(cql), _udts_of(cql)) == cql


@pytest.mark.parametrize("name", sorted(ATOMIC))
def test_atomic_types(name: str) -> None:
    """Every atomic type is read by its name, in any case of letters."""
    assert parse(name) == parse(name.upper()) == CqlType(name)


def test_varchar_is_text() -> None:
    """The two names of the text type mean one type."""
    assert parse("varchar") == CqlType("text")


@pytest.mark.parametrize(
    ("text", "multicell"),
    [
        ("list<int>", True),
        ("map<int, text>", True),
        ("inner", True),
        ("frozen<list<int>>", False),
        ("frozen<inner>", False),
        ("tuple<int, text>", False),
        ("vector<float, 3>", False),
        ("int", False),
    ],
)
def test_what_has_cells_of_its_own(text: str, multicell: bool) -> None:
    """Collections and UDTs that are not frozen consist of cells; nothing else does."""
    assert parse(text, UDTS).is_multicell is multicell


def test_what_is_nested_is_frozen() -> None:
    """Inside of a type everything is frozen, whether the text says so or not."""
    assert not any(a.is_multicell for a in parse("outer", UDTS).args)
    assert parse("list<list<int>>") == parse("list<frozen<list<int>>>")


def test_fields_keep_their_order_and_types() -> None:
    """A user-defined type has its fields in the order of their declaration."""
    outer = parse("frozen<outer>", UDTS)
    assert outer.fields == ("i", "m")
    assert outer.args[0].fields == ("a", "b")
    assert outer.args[1].args[1].udt == "inner"


def test_quoted_names_are_taken_as_they_are() -> None:
    """A quoted name of a user-defined type may hold what the grammar is made of."""
    odd = parse('frozen<"Odd <name>">', UDTS)
    assert odd.udt == "Odd <name>"
    assert str(odd) == 'frozen<"Odd <name>">'


@pytest.mark.parametrize("name", ["int", "list", "frozen", "text", "varchar", "tuple", "vector"])
def test_a_udt_named_like_a_type_is_not_that_type(name: str) -> None:
    """A user-defined type that is called like a built-in one is read back as what it is."""
    udts: dict[str, UdtFields] = {name: (("x", "int"),)}
    cql = parse(f'frozen<"{name}">', udts)
    assert parse(str(cql), udts) == cql


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing_known",
        "list<int",
        "list<int>>",
        "list<int, int>",
        "map<int>",
        "vector<int>",
        "vector<int, x>",
        "int int",
        "int;",
        "'org.apache.cassandra.db.marshal.EmptyType'",
    ],
)
def test_what_is_no_type_is_refused(text: str) -> None:
    """A text that is no type of this grammar raises ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        parse(text, UDTS)
