"""Types that a column can have in the target instead of its own, and the rule for its values. Pure.

Only casts that keep the whole value, or refuse it. A value that does not fit raises
UnstorableValue, like any other that PostgreSQL cannot hold.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from cdcd.model.cqltype import CqlType
from cdcd.model.typemap import (
    NOTHING_REPLACED,
    Converter,
    Replaced,
    UnstorableValue,
    json_text,
    postgres_type,
    to_json,
    to_postgres,
    unscaled,
)

VARCHAR_LENGTH_MAX = 10_485_760
NUMERIC_DIGITS_MAX = 1000
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_TYPE = re.compile(r"([a-z0-9 ]+?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?")
_ALIASES = {
    "int2": "smallint",
    "int4": "integer",
    "int": "integer",
    "int8": "bigint",
    "float8": "double precision",
    "decimal": "numeric",
    "character varying": "varchar",
    "timestamp without time zone": "timestamp",
}

Form = Callable[[Replaced], Converter]


@dataclass(frozen=True)
class Cast:
    """A column's type in the target and its values' form. `is_ordered` says that the target's order
    is CQL's exactly where that of the column's own type is.
    """

    kind: str
    convert: Converter = field(compare=False)
    is_ordered: bool = True


class Rule(NamedTuple):
    """One way to write a type: what it makes of a value, for people, and how."""

    says: str
    form: Form
    is_ordered: bool = False


@lru_cache(maxsize=4096)
def cast(cql: CqlType, wanted: str | None, replaced: Replaced = NOTHING_REPLACED) -> Cast:
    """The column's form as the wanted type; None is its own. Raises ValueError with the choices."""
    own = postgres_type(cql)
    if wanted is None:
        return Cast(own, to_postgres(cql, replaced))
    base, sizes = _parsed(wanted)
    if (base, sizes) == (own, ()):
        return Cast(own, to_postgres(cql, replaced))
    rule = rules_of(cql).get(base)
    if rule is None or (sizes and base not in _SIZED):
        choices = ", ".join([own, *rules_of(cql)])
        raise ValueError(f'{cql} is not written to "{wanted}", but to one of: {choices}')
    kind = f"{base}({','.join(map(str, sizes))})" if sizes else base
    convert = rule.form(replaced)
    if sizes:
        convert = _then(convert, _SIZED[base](wanted, sizes))
    return Cast(kind, convert, rule.is_ordered)


def rules_of(cql: CqlType) -> Mapping[str, Rule]:
    """What a type can be written to beside its own, by PostgreSQL's name."""
    own = postgres_type(cql)
    found = dict(_RULES.get(cql.name, {}))
    if cql.name not in ("text", "ascii"):
        found["text"] = Rule("its JSON form as text", _text_of(cql))
        found["jsonb"] = Rule("its JSON form", _json_of(cql))
    return {base: rule for base, rule in found.items() if base != own or base in _SIZED}


def _parsed(wanted: str) -> tuple[str, tuple[int, ...]]:
    match = _TYPE.fullmatch(wanted.strip().lower())
    if match is None:
        return wanted, ()
    base = re.sub(r"\s+", " ", match[1])
    return _ALIASES.get(base, base), tuple(int(n) for n in match.groups()[1:] if n is not None)


def _then(first: Converter, second: Converter) -> Converter:
    return lambda value: second(first(value))


def _same(value: Any) -> Any:
    return value


def _plain(convert: Converter) -> Form:
    return lambda _: convert


def _own(name: str) -> Form:
    return lambda replaced: to_postgres(CqlType(name), replaced)


def _json_of(cql: CqlType) -> Form:
    return lambda replaced: _then(to_json(cql, replaced), json_text)


def _text_of(cql: CqlType) -> Form:
    if cql.name in ("float", "double"):
        return _plain(json.dumps)  # NaN and Infinity, as PostgreSQL has them

    def form(replaced: Replaced) -> Converter:
        plain = to_json(cql, replaced)
        return lambda value: v if isinstance(v := plain(value), str) else json_text(v)

    return form


def _within(low: int, high: int) -> Converter:
    def convert(value: Any) -> int:
        number = unscaled(value)
        if not low <= number <= high:
            raise UnstorableValue("a number outside of the type's range")
        return int(number)

    return convert


def _document(replaced: Replaced) -> Converter:
    text_form = to_postgres(CqlType("text"), replaced)

    def convert(text: str) -> str:
        try:
            found = json.loads(text_form(text), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise UnstorableValue("text that is no JSON document") from None
        if not all(map(_is_storable, _texts(found))):
            raise UnstorableValue("a character that jsonb cannot hold")
        return text

    return convert


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _is_storable(text: str) -> bool:
    """Without a NUL and without half of a surrogate pair, which JSON can write as escapes."""
    return "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise UnstorableValue("text that is no uuid") from None


def _finite_decimal(replaced: Replaced) -> Converter:
    def convert(value: float) -> Decimal | None:
        if math.isfinite(value):
            return Decimal(repr(value))
        if replaced.not_finite:
            return None
        raise UnstorableValue(f"{value} in numeric")

    return convert


def _interval(value: Mapping[str, int]) -> tuple[int, int, int]:
    nanoseconds = value["nanoseconds"]
    cut = abs(nanoseconds) // 1000
    return value["months"], value["days"], cut if nanoseconds >= 0 else -cut


def _varchar_of(wanted: str, sizes: tuple[int, ...]) -> Converter:
    if len(sizes) != 1 or not 1 <= sizes[0] <= VARCHAR_LENGTH_MAX:
        raise ValueError(f'"{wanted}" is no type of PostgreSQL')

    def convert(text: str) -> str:
        if len(text) > sizes[0]:
            raise UnstorableValue(f"text of more than {sizes[0]} characters")
        return text

    return convert


def _numeric_of(wanted: str, sizes: tuple[int, ...]) -> Converter:
    precision, scale = sizes if len(sizes) == 2 else (sizes[0], 0)
    if not (1 <= precision <= NUMERIC_DIGITS_MAX and scale <= precision):
        raise ValueError(f'"{wanted}" is no type of PostgreSQL that holds this column')
    unit, end = Decimal(1).scaleb(-scale, _EXACT), Decimal(1).scaleb(precision - scale, _EXACT)

    def convert(number: Decimal | None) -> Decimal | None:
        if number is None:
            return None
        if abs(number) >= end or number.quantize(unit, context=_EXACT) != number:
            raise UnstorableValue(f"a number that numeric({precision},{scale}) would round")
        return number

    return convert


_SIZED = {"varchar": _varchar_of, "numeric": _numeric_of}

_WIDER = Rule("the same number", _plain(_same), is_ordered=True)
_AS_NUMERIC = Rule("the same number", _plain(Decimal), is_ordered=True)
_EXACT_NUMBER = Rule(
    "the same number; one that would be rounded is refused", _plain(unscaled), is_ordered=True
)
_AS_BIGINT = Rule(
    "the same number; refused past 64 bits", _plain(_within(-(2**63), 2**63 - 1)), is_ordered=True
)
_FLOAT_AS_NUMERIC = Rule("the shortest number that reads as the same double", _finite_decimal)
_TEXT = {
    "varchar": Rule("the same text; refused where it is too long", _own("text"), is_ordered=True),
    "uuid": Rule("the uuid that the text is; other text is refused", _plain(_uuid)),
    "jsonb": Rule("the document that the text is; other text is refused", _document),
}

_RULES: Mapping[str, Mapping[str, Rule]] = {
    "ascii": _TEXT,
    "text": _TEXT,
    "tinyint": {"integer": _WIDER, "bigint": _WIDER, "numeric": _AS_NUMERIC},
    "smallint": {"integer": _WIDER, "bigint": _WIDER, "numeric": _AS_NUMERIC},
    "int": {"bigint": _WIDER, "numeric": _AS_NUMERIC},
    "bigint": {"numeric": _AS_NUMERIC},
    "varint": {"bigint": _AS_BIGINT, "numeric": _EXACT_NUMBER},
    "decimal": {"numeric": _EXACT_NUMBER},
    "float": {
        "double precision": Rule("the same number", _plain(_same)),
        "numeric": _FLOAT_AS_NUMERIC,
    },
    "double": {"numeric": _FLOAT_AS_NUMERIC},
    "timestamp": {
        "timestamp": Rule("the same time in UTC", _own("timestamp"), is_ordered=True),
        "bigint": Rule("milliseconds since 1970", _plain(_same), is_ordered=True),
    },
    "time": {"bigint": Rule("nanoseconds since midnight, all of them", _plain(_same))},
    "duration": {"interval": Rule("the same, cut to microseconds", _plain(_interval))},
}
