"""Tables and their changes, drawn by chance or made of texts."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from cdcd.model.change import Bounds, ChangeEvent, Elements, Identity, Operation
from cdcd.model.cqltype import COLLECTIONS, CqlType, UdtFields, element_type, parse, put_type
from cdcd.model.table import Column, ColumnKind, TableSpec
from tests.unit import cql_values

KINDS = {
    "p": ColumnKind.PARTITION_KEY,
    "c": ColumnKind.CLUSTERING,
    "r": ColumnKind.REGULAR,
    "s": ColumnKind.STATIC,
}

# Letters that make names odd: quotes, dots, a digit first, and what looks like our own escapes.
names = st.text("aU_u0159é$. \"'-😀", min_size=1, max_size=7)


def table(
    columns: dict[str, str], udts: dict[str, UdtFields] | None = None, name: str = "t"
) -> TableSpec:
    """A table of columns given as `{"p:id": "int", "c:n desc": "text", "r:v": "blob"}`."""
    found = []
    for text, cql in columns.items():
        kind, _, column = text.partition(":")
        plain = column.removesuffix(" desc")
        found.append(Column(plain, parse(cql, udts or {}), KINDS[kind], plain != column))
    return TableSpec("ks", name, tuple(found), udts or {})


def _udts_of(cql: CqlType) -> dict[str, UdtFields]:
    found = {name: fields for arg in cql.args for name, fields in _udts_of(arg).items()}
    if cql.udt:
        found[cql.udt] = tuple(zip(cql.fields, map(str, cql.args), strict=True))
    return found


@st.composite
def specs(draw: st.DrawFn) -> TableSpec:
    """Tables of up to six columns of any type, with odd names and descending keys."""
    found = draw(st.lists(names, min_size=1, max_size=6, unique=True))
    partition = draw(st.integers(1, len(found)))
    key = draw(st.integers(partition, len(found)))
    columns = []
    for at, name in enumerate([*found[:key], *sorted(found[key:])]):
        kind = ColumnKind.CLUSTERING if at < key else ColumnKind.REGULAR
        kind = ColumnKind.PARTITION_KEY if at < partition else kind
        descending = kind is ColumnKind.CLUSTERING and draw(st.booleans())
        cql = draw(cql_values.types)
        if kind is ColumnKind.REGULAR and (cql.name in COLLECTIONS or cql.udt):
            cql = replace(cql, frozen=draw(st.booleans()))
        columns.append(Column(name, cql, kind, descending))
    udts = {name: f for c in columns for name, f in _udts_of(c.type).items()}
    return TableSpec(draw(names), draw(names), tuple(columns), udts)


identities = st.builds(
    Identity,
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**31 - 1),
)
_WRITES = [Operation.CREATE, Operation.UPDATE, Operation.READ]


@st.composite
def events(draw: st.DrawFn, spec: TableSpec) -> ChangeEvent:
    """Changes of a table: of one row, of a range, or of a whole partition; some with images."""
    ops = [*_WRITES, Operation.DELETE, Operation.PARTITION_DELETE]
    op = draw(st.sampled_from([*ops, Operation.RANGE_DELETE] if spec.clustering_key else ops))
    of_many = op in (Operation.PARTITION_DELETE, Operation.RANGE_DELETE)
    values: dict[str, Any] = {}
    nulls = []
    parts: dict[str, Elements] = {}
    for column in spec.regular if op in _WRITES else ():
        fate = draw(st.sampled_from(["set", "null", "part", "untouched"]))
        if fate == "set":
            values[column.name] = draw(cql_values.values(column.type)).avro
        elif fate == "null" and op is not Operation.READ:
            nulls.append(column.name)
        elif fate == "part" and op is not Operation.READ and column.type.is_multicell:
            parts[column.name] = draw(elements(column.type))
    return ChangeEvent(
        table=spec,
        op=op,
        partition=draw(keys(spec.partition_key)),
        clustering=(None,) * len(spec.clustering_key)
        if of_many
        else draw(keys(spec.clustering_key)),
        time_us=draw(st.integers(-(2**50), 2**52)),
        token=draw(st.integers(-(2**63), 2**63 - 1)),
        identity=draw(st.none() | identities),
        values=values,
        nulls=tuple(nulls),
        ttl_seconds=draw(st.none() | st.integers(1, 2**31 - 1)),
        elements=parts,
        bounds=draw(bounds(spec)) if op is Operation.RANGE_DELETE else None,
        before=draw(st.none() | images(spec)),
        after=draw(st.none() | images(spec)) if op in _WRITES[:2] else None,
    )


@st.composite
def keys(draw: st.DrawFn, columns: tuple[Column, ...]) -> tuple[Any, ...]:
    """Values of some columns of a key."""
    return tuple(draw(cql_values.values(c.type)).avro for c in columns)


@st.composite
def elements(draw: st.DrawFn, cql: CqlType) -> Elements:
    """Changes of a part of a collection or of a user-defined type."""
    put = draw(st.none() | cql_values.values(put_type(cql)).map(lambda v: v.avro))
    if cql.udt:
        return Elements(put, tuple(draw(st.lists(st.sampled_from(cql.fields), max_size=2))))
    removed = draw(st.lists(cql_values.values(element_type(cql)), max_size=2))
    return Elements(put, tuple(v.avro for v in removed))


@st.composite
def bounds(draw: st.DrawFn, spec: TableSpec) -> Bounds:
    """Ranges of a partition's rows."""
    sides = [draw(keys(spec.clustering_key[: draw(st.integers(0, 2))])) for _ in range(2)]
    return Bounds(sides[0], draw(st.booleans()), sides[1], draw(st.booleans()))


@st.composite
def images(draw: st.DrawFn, spec: TableSpec) -> dict[str, Any]:
    """Images of a row, which show the columns that are not null."""
    shown = [c for c in spec.regular if draw(st.booleans())]
    return {c.name: draw(cql_values.values(c.type)).avro for c in shown}
