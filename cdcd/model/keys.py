"""Values of keys that ScyllaDB tells apart and a type of PostgreSQL's does not. Pure.

In a key they are refused, so that two rows never become one. ScyllaDB compares partition keys by
their bytes, and clustering columns as their type is ordered: there 1.0 is 1.00, and whatever is not
a number is one value.
"""

import json
import math
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from cdcd.model.cqltype import CqlType
from cdcd.model.cqlvalue import field_names, has_text_keys
from cdcd.model.typemap import ATOMIC, Converter, UnstorableValue, unscaled

_DOUBLE = struct.Struct(">d")
_NOT_A_NUMBER = _DOUBLE.pack(math.nan)
_FLOATS = frozenset({"float", "double"})
_AS_TEXT = frozenset({"text", "varchar", "jsonb"})


class SharedValue(UnstorableValue):
    """A value of a key that looks in PostgreSQL like another. The text names none of them."""


class Scaled(Decimal):
    """A number that is equal only to one of the same scale, as decimals of a partition key are."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        """Whether digits and scale are the same."""
        return isinstance(other, Scaled) and self.as_tuple() == other.as_tuple()

    def __ne__(self, other: object) -> bool:
        """The contrary, which `Decimal` would answer by value."""
        return not self == other

    def __hash__(self) -> int:
        """Of digits and scale."""
        return hash(self.as_tuple())


class KeyRule(NamedTuple):
    """Which values are refused in a key: how to tell one of its Avro form, in words for people, and
    the type that holds them all. There are no words for what no driver writes of itself.
    """

    refuses: Callable[[Any], bool]
    says: str = ""
    instead: str = ""


def key_rule(cql: CqlType, kind: str, *, of_partition: bool) -> KeyRule | None:
    """The rule for a column of a key that is written to a type of PostgreSQL's; none where any two
    values that ScyllaDB tells apart are two there.
    """
    base = kind.partition("(")[0]
    if (cql.name, base) == ("time", "time"):
        return KeyRule(lambda ns: ns % 1000 != 0, "times finer than a microsecond", "bigint")
    if cql.name in ("text", "ascii") and base == "uuid":
        says = "uuids that are not in lower case with hyphens"
        return KeyRule(lambda text: not _is_plain_uuid(text), says, "text")
    if cql.name == "decimal" and of_partition and base in _AS_TEXT:
        return KeyRule(lambda number: _is_padded(number["value"]))
    if cql.name == "decimal" and of_partition and base == "numeric":
        return _number_rule(kind)
    names = _names(cql)
    if names.isdisjoint(_FLOATS) and not (of_partition and names & {"decimal", "varint"}):
        return None

    def refuses(value: Any) -> bool:
        return any(
            _is_shared(name, atom, base, of_partition=of_partition)
            for name, atom in _atoms(cql, value)
        )

    signed = not names.isdisjoint(_FLOATS) and base not in ("text", "varchar")
    scaled = of_partition and "decimal" in names
    said = ["a zero with a minus sign"] if signed else []
    said += ["decimals with a negative scale, as 1E+1 has"] if scaled else []
    return KeyRule(refuses, " and ".join(said), "text" if said and cql.name in ATOMIC else "")


def keeps_scale(cql: CqlType, kind: str) -> bool:
    """Whether a column of decimals keeps the scale of each."""
    return cql.name == "decimal" and kind == "numeric"


def _number_rule(kind: str) -> KeyRule:
    """Of decimals in `numeric`, which has no negative scale, or in one with a scale of its own."""
    if kind == "numeric":
        return KeyRule(
            lambda number: number["scale"] < 0 or _is_padded(number["value"]),
            "numbers with a negative scale (1E+1), and all but the first of those that differ in "
            "scale alone (1.0, 1.00),",
            "text",
        )
    scale = int(kind.rstrip(")").partition(",")[2] or 0)
    return KeyRule(
        lambda number: number["scale"] != scale or _is_padded(number["value"]),
        f"numbers with another scale than {scale}",
        "numeric",
    )


def key_converter(cql: CqlType, kind: str, convert: Converter, *, of_partition: bool) -> Converter:
    """A column's form in a key. It raises SharedValue beside what `convert` raises."""
    base = kind.partition("(")[0]
    if cql.name == "decimal" and of_partition and base in _AS_TEXT:
        convert = _with_scale if base != "jsonb" else lambda value: json.dumps(_with_scale(value))
    if of_partition and keeps_scale(cql, kind):
        convert = _scaled
    if cql.name in _FLOATS:
        convert = _with_one_nan(convert)
    rule = key_rule(cql, kind, of_partition=of_partition)
    if rule is None:
        return convert
    refuses = rule.refuses
    mend = f'; `type = "{rule.instead}"` does' if rule.instead else ""
    reason = f"a value that PostgreSQL's {kind} does not tell from another row's{mend}"

    def checked(value: Any) -> Any:
        if value is not None and refuses(value):
            raise SharedValue(reason)
        return convert(value)

    return checked


def _with_one_nan(convert: Converter) -> Converter:
    """What is not a number is one value in a key, and Python takes each such object for another."""

    def converted(value: Any) -> Any:
        found = convert(value)
        return math.nan if found != found else found  # noqa: PLR0124

    return converted


def _scaled(value: dict[str, Any]) -> Scaled:
    return Scaled(unscaled(value))


def _with_scale(value: dict[str, Any]) -> str:
    """A number as text from which its scale can be told."""
    number = unscaled(value)
    if value["scale"] >= 0:
        return format(number, "f")
    digits = int.from_bytes(value["value"], "big", signed=True)
    return f"{digits}E+{-value['scale']}"


def _is_shared(name: str, value: Any, base: str, *, of_partition: bool) -> bool:
    if name in _FLOATS:
        if value == 0:
            return base not in ("text", "varchar") and math.copysign(1, value) < 0
        return of_partition and math.isnan(value) and _DOUBLE.pack(value) != _NOT_A_NUMBER
    if not of_partition or name not in ("decimal", "varint"):
        return False
    return value["scale"] < 0 or _is_padded(value["value"])


def _is_padded(raw: bytes) -> bool:
    """Whether a number has more bytes than it needs."""
    return len(raw) > 1 and raw[0] in (0, 0xFF) and (raw[0] ^ raw[1]) & 0x80 == 0


def _is_plain_uuid(text: str) -> bool:
    """Whether the text is what PostgreSQL shows for a uuid, or no uuid at all."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return True


def _names(cql: CqlType) -> frozenset[str]:
    """The atomic types that a type is made of."""
    if cql.name in ATOMIC:
        return frozenset({cql.name})
    return frozenset().union(*map(_names, cql.args))


def _atoms(cql: CqlType, value: Any) -> Iterator[tuple[str, Any]]:
    """The atomic values inside of a value, with the names of their types."""
    if value is None:
        return
    if cql.name in ATOMIC:
        yield cql.name, value
    elif cql.name in ("list", "set", "vector"):
        for element in value:
            yield from _atoms(cql.args[0], element)
    elif cql.name == "map":
        pairs = value.items() if has_text_keys(cql) else ((e["key"], e["value"]) for e in value)
        for pair in pairs:
            for part, each in zip(cql.args, pair, strict=True):
                yield from _atoms(part, each)
    else:
        for name, part in zip(field_names(cql), cql.args, strict=True):
            yield from _atoms(part, value[name])
