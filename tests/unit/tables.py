"""Tables and their changes, drawn by chance or made of texts."""

from typing import Any

from hypothesis import strategies as st

from cdcd.model.change import ChangeEvent, Identity, Operation
from cdcd.model.cqltype import CqlType, UdtFields, parse
from cdcd.model.table import Column, ColumnKind, TableSpec
from tests.unit import cql_values

KINDS = {"p": ColumnKind.PARTITION_KEY, "c": ColumnKind.CLUSTERING, "r": ColumnKind.REGULAR}

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
        columns.append(Column(name, draw(cql_values.types), kind, descending))
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
    """Changes of a table: of one row, or of a whole partition."""
    op = draw(st.sampled_from([*_WRITES, Operation.DELETE, Operation.PARTITION_DELETE]))
    whole = op is Operation.PARTITION_DELETE
    values: dict[str, Any] = {}
    nulls = []
    for column in spec.regular if op in _WRITES else ():
        fate = draw(st.sampled_from(["set", "null", "untouched"]))
        if fate == "set":
            values[column.name] = draw(cql_values.values(column.type)).avro
        elif fate == "null" and op is not Operation.READ:
            nulls.append(column.name)
    return ChangeEvent(
        table=spec,
        op=op,
        partition=tuple(draw(cql_values.values(c.type)).avro for c in spec.partition_key),
        clustering=tuple(
            None if whole else draw(cql_values.values(c.type)).avro for c in spec.clustering_key
        ),
        time_us=draw(st.integers(-(2**50), 2**52)),
        token=draw(st.integers(-(2**63), 2**63 - 1)),
        identity=draw(st.none() | identities),
        values=values,
        nulls=tuple(nulls),
        ttl_seconds=draw(st.none() | st.integers(1, 2**31 - 1)),
    )
