"""CQL types as a tree, read from the text that `system_schema` holds.

`parse("frozen<map<text, int>>")` gives the tree; unknown names are looked up among the keyspace's
user-defined types. The grammar is the one of `system_schema.columns.type` in ScyllaDB and
Cassandra: a name, optionally `<` arguments `>`, where `vector` takes a type and a whole number.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

ATOMIC = frozenset(
    "ascii bigint blob boolean counter date decimal double duration float inet int smallint text "
    "time timestamp timeuuid tinyint uuid varint".split()
)
COLLECTIONS = {"list": 1, "set": 1, "map": 2}
# A user-defined type may bear one of these names too, in quotes.
_BUILT_IN = ATOMIC | COLLECTIONS.keys() | {"frozen", "tuple", "varchar", "vector"}

# A user-defined type: field names with the texts of their types, in declaration order.
UdtFields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CqlType:
    """One node of a type. `fields` and `udt` are set for user-defined types alone."""

    name: str
    args: tuple["CqlType", ...] = ()
    frozen: bool = False
    fields: tuple[str, ...] = ()
    dimension: int = 0
    udt: str = ""

    @property
    def is_multicell(self) -> bool:
        """Whether elements are cells of their own, so that a change may touch some of them."""
        return not self.frozen and (self.name in COLLECTIONS or self.name == "udt")

    @property
    def has_udt(self) -> bool:
        """Whether it is, or has inside, a user-defined type."""
        return self.name == "udt" or any(arg.has_udt for arg in self.args)

    def __str__(self) -> str:
        if self.name == "udt":
            plain = re.fullmatch("[a-z][a-z0-9_]*", self.udt) and self.udt not in _BUILT_IN
            text = self.udt if plain else '"' + self.udt.replace('"', '""') + '"'
        elif self.name == "vector":
            text = f"vector<{self.args[0]}, {self.dimension}>"
        elif self.args:
            text = f"{self.name}<{', '.join(map(str, self.args))}>"
        else:
            text = self.name
        wrapped = self.frozen and (self.name in COLLECTIONS or self.name == "udt")
        return f"frozen<{text}>" if wrapped else text


_TOKEN = re.compile(r'\s*("(?:[^"]|"")*"|[A-Za-z0-9_.$]+|\'[^\']*\'|[<>,])')


def parse(text: str, udts: Mapping[str, UdtFields] | None = None) -> CqlType:
    """Parse a type's text. Raises ValueError for what is no CQL type that this module knows."""
    tokens, end = [], 0
    while match := _TOKEN.match(text, end):
        tokens.append(match.group(1))
        end = match.end()
    if text[end:].strip():
        raise ValueError(f"not a CQL type: {text!r}")
    parser = _Parser(tokens, udts or {})
    try:
        found = parser.type()
    except RecursionError:
        raise ValueError("a CQL type that is nested without end") from None
    if parser.rest:
        raise ValueError(f"not a CQL type: {text!r}")
    return found


class _Parser:
    def __init__(self, tokens: list[str], udts: Mapping[str, UdtFields]) -> None:
        self.rest = tokens[::-1]
        self.udts = udts

    def take(self, expected: str = "") -> str:
        token = self.rest.pop() if self.rest else ""
        if not token or (expected and token != expected):
            raise ValueError(f"expected {expected or 'a type'} and found {token or 'the end'}")
        return token

    def type(self) -> CqlType:
        token = self.take()
        name = token.lower() if not token.startswith('"') else ""
        if name == "frozen":
            self.take("<")
            inner = self.type()
            self.take(">")
            return _frozen(inner)
        if name == "varchar":
            return CqlType("text")
        if name in ATOMIC:
            return CqlType(name)
        if name == "vector":
            self.take("<")
            element = self.type()
            self.take(",")
            dimension = int(self.take())
            self.take(">")
            return CqlType("vector", (_frozen(element),), frozen=True, dimension=dimension)
        if name == "tuple":
            return CqlType("tuple", tuple(_frozen(a) for a in self.args()), frozen=True)
        if name in COLLECTIONS:
            args = self.args()
            if len(args) != COLLECTIONS[name]:
                raise ValueError(f"{name} takes {COLLECTIONS[name]} types")
            return CqlType(name, tuple(_frozen(a) for a in args))
        return self.udt(token)

    def args(self) -> list[CqlType]:
        self.take("<")
        found = [self.type()]
        while self.rest and self.rest[-1] == ",":
            self.take(",")
            found.append(self.type())
        self.take(">")
        return found

    def udt(self, token: str) -> CqlType:
        name = token[1:-1].replace('""', '"') if token.startswith('"') else token
        fields = self.udts.get(name)
        if fields is None:
            raise ValueError(f"unknown type {name}")
        types = tuple(_frozen(parse(text, self.udts)) for _, text in fields)
        return CqlType("udt", types, fields=tuple(f for f, _ in fields), udt=name)


def _frozen(inner: CqlType) -> CqlType:
    """What is nested is always frozen, whether the text says so or not."""
    if inner.frozen or inner.name in ATOMIC:
        return inner
    return CqlType(inner.name, inner.args, True, inner.fields, inner.dimension, inner.udt)


def put_type(cql: CqlType) -> CqlType:
    """The type that holds some elements of a non-frozen type: a list's are by their hidden keys."""
    if cql.name == "list":
        return CqlType("map", (CqlType("timeuuid"), cql.args[0]), frozen=True)
    return CqlType(cql.name, cql.args, frozen=True, fields=cql.fields, udt=cql.udt)


def element_type(cql: CqlType) -> CqlType:
    """The type of what names one element: a hidden key, a member, a map's key, a field's name."""
    if cql.name == "list":
        return CqlType("timeuuid")
    return CqlType("text") if cql.udt else cql.args[0]
