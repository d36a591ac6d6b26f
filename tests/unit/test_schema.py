"""Avro schemas of tables: names that Avro takes, and everything needed to know the table again."""

import json
import re

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.model.cqltype import UdtFields
from cdcd.model.table import TableSpec
from cdcd.transport.schema import (
    avro_name,
    key_schema,
    table_from_schema,
    topic_namespace,
    value_schema,
)
from tests.unit import tables
from tests.unit.tables import table

AVRO_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TOPIC = "cdcd.ks.t"

_any_name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
_near_escapes = st.text("_u05fé", min_size=1, max_size=12)


@given(_any_name)
def test_names_are_avros(name: str) -> None:
    """Any name becomes one that Avro's grammar takes."""
    assert AVRO_NAME.fullmatch(avro_name(name))


@given(st.one_of(st.tuples(_any_name, _any_name), st.tuples(_near_escapes, _near_escapes)))
def test_different_names_stay_different(pair: tuple[str, str]) -> None:
    """Two names become the same Avro name only when they are the same name."""
    left, right = pair
    assert (avro_name(left) == avro_name(right)) == (left == right)


def _from_avro_name(name: str) -> str:
    """The name that an Avro name stands for: each escape is one UTF-16 unit."""
    units = re.sub(
        r"_u([0-9a-f]{4})|(.)", lambda m: m[1] or f"{ord(m[2]):04x}", name, flags=re.DOTALL
    )
    return bytes.fromhex(units).decode("utf-16-be")


@given(_any_name | _near_escapes)
def test_a_name_can_be_read_back(name: str) -> None:
    """Reading each `_uXXXX` as one UTF-16 unit gives the original name."""
    assert _from_avro_name(avro_name(name)) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("id", "id"),
        ("Mixed Case", "Mixed_u0020Case"),
        ("1st", "_u0031st"),
        ("cdc$x", "cdc_u0024x"),
        ("żó", "_u017c_u00f3"),
        ("🐙", "_ud83d_udc19"),
        ("_u0020", "_u005fu0020"),
        ("_under", "_under"),
        ("_unit", "_unit"),
    ],
)
def test_examples_of_names(name: str, expected: str) -> None:
    """Plain names stay; each other character, and a leading digit, is `_uXXXX`."""
    assert avro_name(name) == expected


@settings(max_examples=40, deadline=None)
@given(tables.specs())
def test_the_table_is_known_from_its_schema(spec: TableSpec) -> None:
    """The value schema, as JSON, gives the table again: names, types, kinds and order."""
    schema = json.loads(json.dumps(value_schema(spec, TOPIC)))
    assert table_from_schema(schema) == spec


@settings(max_examples=40, deadline=None)
@given(tables.specs())
def test_schemas_are_avro(spec: TableSpec) -> None:
    """Key, partition and value schemas of any table parse, each alone."""
    for make in (key_schema, value_schema):
        fastavro.parse_schema(json.loads(json.dumps(make(spec, TOPIC))), named_schemas={})


NESTED: dict[str, UdtFields] = {
    "inner": (("a", "decimal"), ("b", "duration")),
    "outer": (("i", "inner"), ("again", "list<inner>"), ("d", "decimal")),
}


def test_names_are_defined_once() -> None:
    """Several columns of one record type, also nested in each other, make one valid schema."""
    columns = {
        "p:p": "decimal",
        "r:a": "decimal",
        "r:b": "varint",
        "r:c": "duration",
        "r:d": "duration",
        "r:e": "frozen<outer>",
        "r:f": "frozen<outer>",
        "r:g": "frozen<list<inner>>",
        "r:h": "frozen<map<int, frozen<inner>>>",
        "r:i": "tuple<int, tuple<int, int>>",
    }
    schema = value_schema(table(columns, NESTED), TOPIC)
    fastavro.parse_schema(schema, named_schemas={})
    assert json.dumps(schema).count('"name": "io.debezium.data.VariableScaleDecimal"') == 1


@pytest.mark.parametrize(
    ("columns", "udts"),
    [
        ({"r:x": "frozen<list<tuple<int>>>", "r:x_e": "tuple<text>"}, {}),
        ({"r:x": "frozen<list<map<int, int>>>", "r:x_e": "map<text, text>"}, {}),
        ({"r:x": "frozen<list<map<int, int>>>", "r:x_e": "frozen<map<uuid, text>>"}, {}),
        ({"r:a": "tuple<tuple<int>>", "r:a_t_f0": "tuple<text>"}, {}),
        (
            {"r:x": "frozen<addr>", "r:y": "frozen<addr_f_t>"},
            {"addr": (("f", "tuple<int>"),), "addr_f_t": (("f0", "text"),)},
        ),
        ({"r:udt": "tuple<int>", "r:x": "frozen<t>"}, {"t": (("f0", "text"),)}),
    ],
)
def test_records_of_different_columns_have_different_names(
    columns: dict[str, str], udts: dict[str, UdtFields]
) -> None:
    """A column's record is never taken for another one's, however the columns are called."""
    schema = value_schema(table({"p:p": "int", **columns}, udts), TOPIC)
    fastavro.parse_schema(schema, named_schemas={})
    named = re.findall(r'"(cdcd\.ks\.t\.[^"]+)"', json.dumps(schema))
    assert sorted(named) == sorted(set(named))


@pytest.mark.parametrize("text", ["decimal", "duration", "frozen<inner>", "tuple<int>"])
def test_a_map_may_have_one_record_as_key_and_value(text: str) -> None:
    """A record that both keys and values of a map are made of is defined before it is named."""
    spec = table({"p:p": "int", "r:m": f"frozen<map<{text}, {text}>>"}, NESTED)
    fastavro.parse_schema(value_schema(spec, TOPIC), named_schemas={})


def test_only_partition_columns_are_required() -> None:
    """In key and value the partition key is required; what may be missing is null by default."""
    spec = table({"p:p": "int", "c:c": "text", "r:v": "blob"})
    for schema in (key_schema(spec, TOPIC), value_schema(spec, TOPIC)["fields"][1]["type"][1]):
        required = [f["name"] for f in schema["fields"] if "default" not in f]
        assert required == ["p"]
        assert all(f["type"][0] == "null" for f in schema["fields"][1:])


def test_the_schema_is_one_document() -> None:
    """A value schema names no type that it does not define, so it needs no references."""
    spec = table({"p:p": "int", "r:e": "frozen<outer>", "r:f": "frozen<inner>"}, NESTED)
    fastavro.parse_schema(value_schema(spec, TOPIC), named_schemas={})


def test_names_and_types_are_said_in_cql() -> None:
    """A column's field carries its CQL name, type, kind and order."""
    spec = table({"p:p": "int", "c:Odd Name desc": "text"})
    field = key_schema(spec, TOPIC)["fields"][1]
    expected = {"cql.name": "Odd Name", "cql.type": "text", "cql.kind": "clustering"}
    assert expected.items() <= field.items()
    assert field["cql.order"] == "desc"


def test_namespaces_are_topics() -> None:
    """The namespace is the topic's parts, so that two tables' records have different names."""
    assert topic_namespace("my-pipe.ks.T_1") == "my_u002dpipe.ks.T_1"


@pytest.mark.parametrize("schema", [{}, {"fields": []}, {"fields": [{"name": "before"}]}])
def test_schemas_of_others_are_refused(schema: dict[str, object]) -> None:
    """A schema that cdcd did not make raises ValueError."""
    with pytest.raises(ValueError, match="not a schema of cdcd"):
        table_from_schema(schema)


def test_debeziums_schema_is_refused() -> None:
    """An envelope of another connector raises ValueError."""
    row = {"type": "record", "name": "Value", "fields": [{"name": "id", "type": "int"}]}
    schema = {"fields": [{"name": "before", "type": ["null", row]}]}
    with pytest.raises(ValueError, match="not a schema of cdcd"):
        table_from_schema(schema)
