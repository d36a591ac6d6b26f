"""Rows as digests that are the same from ScyllaDB's bytes and from PostgreSQL. Pure.

A row's canonical form is what PostgreSQL's `record_send` makes of the key and then the other
columns by name: for each the type's number, the length and the bytes of the binary protocol. Most
CQL types have the same bytes there, so the source's side costs no decoding; the others are brought
to it. Its digest is the first eight bytes of SHA-256, which PostgreSQL computes itself: a
comparison moves keys and digests, not rows. A key is identified by its columns' bytes.
"""

import json
import math
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import Any

from cdcd.model.cqlvalue import decoder
from cdcd.model.typemap import (
    EXACT,
    NOTHING_REPLACED,
    UnstorableValue,
    postgres_type,
    to_json,
)
from cdcd.reconcile.backward import from_target
from cdcd.sink.target import TargetColumn

Key = tuple[bytes, ...]
Raw = bytes | None

# What stands for a value that PostgreSQL cannot hold. No value of any type has this form there.
UNSTORABLE = b"\x00"

_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_INT64 = struct.Struct(">q")
_FLOAT = struct.Struct(">f")
_DOUBLE = struct.Struct(">d")
_INTERVAL = struct.Struct(">qii")
_NULL = _INT32.pack(-1)
_V4, _V6 = b"\x02\x20\x00\x04", b"\x03\x80\x00\x10"


@dataclass(frozen=True, slots=True)
class Sent:
    """How PostgreSQL's binary protocol has a type: the type's number (`pg_type.dat`), the function
    that gives a value's bytes, the expression that is sent with `{}` for the column, and the bytes
    of what the driver binds.
    """

    oid: int
    function: str
    pack: Callable[[Any], bytes]
    sql: str = "{}"


def _counted(layout: struct.Struct, bound: tuple[int]) -> bytes:
    return layout.pack(*bound)


def _interval(bound: tuple[int, int, int]) -> bytes:
    months, days, microseconds = bound
    return _INTERVAL.pack(microseconds, days, months)


def _address(text: str) -> bytes:
    raw = socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    return _inet(raw)


def _number(bound: Decimal | int) -> bytes:
    """Numbers are compared by value: 1.5 and 1.50 are the same."""
    return _plain_number(Decimal(bound).normalize(EXACT)).encode()


def _document(text: str) -> bytes:
    return jsonb_text(json.loads(text, parse_float=Decimal, parse_int=Decimal)).encode()


def _without_nulls(value: Any) -> Any:
    """Without the members of objects that are null, at any depth (`jsonb_strip_nulls`)."""
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value


def _set_fields(text: str) -> bytes:
    plain = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return jsonb_text(_without_nulls(plain)).encode()


def _float_sql(kind: str) -> str:
    # The many bit patterns of "not a number" are one value.
    return f"CASE WHEN {{}} = 'NaN'::{kind} THEN 'NaN'::{kind} ELSE {{}} END"


def _float(layout: struct.Struct, bound: float) -> bytes:
    return layout.pack(math.nan if math.isnan(bound) else bound)


_SENT = {
    "boolean": Sent(16, "boolsend", lambda bound: b"\x01" if bound else b"\x00"),
    "bytea": Sent(17, "byteasend", bytes),
    "bigint": Sent(20, "int8send", _INT64.pack),
    "smallint": Sent(21, "int2send", _INT16.pack),
    "integer": Sent(23, "int4send", _INT32.pack),
    "text": Sent(25, "textsend", str.encode),
    "varchar": Sent(25, "textsend", str.encode, "{}::text"),
    "numeric": Sent(25, "textsend", _number, "trim_scale({})::text"),
    "jsonb": Sent(25, "textsend", _document, "{}::text"),
    "real": Sent(700, "float4send", partial(_float, _FLOAT), _float_sql("float4")),
    "double precision": Sent(701, "float8send", partial(_float, _DOUBLE), _float_sql("float8")),
    "inet": Sent(869, "inet_send", _address),
    "date": Sent(1082, "date_send", partial(_counted, _INT32)),
    "time": Sent(1083, "time_send", partial(_counted, _INT64)),
    "timestamp": Sent(1114, "timestamp_send", partial(_counted, _INT64)),
    "timestamptz": Sent(1184, "timestamptz_send", partial(_counted, _INT64)),
    "interval": Sent(1186, "interval_send", _interval),
    "uuid": Sent(2950, "uuid_send", lambda bound: bytes.fromhex(str(bound).replace("-", ""))),
}

# Whether an "empty" value, of no bytes, is a value; for other types it is null.
_EMPTY_IS_A_VALUE = frozenset({"ascii", "text", "blob"})


@dataclass(frozen=True, slots=True)
class Form:
    """One column: how PostgreSQL sends it, and the bytes that it sends for the source's.

    `from_cql` is None where they are the same. `to_cql` goes back; `is_exact` says that this gives
    the very bytes that the source has.
    """

    sent: Sent
    from_cql: Callable[[bytes], Raw] | None
    to_cql: Callable[[bytes], bytes]
    is_exact: bool
    empty_is_value: bool

    def canonical(self, raw: Raw) -> Raw:
        """The bytes of one value; None is null."""
        if raw is None or (not raw and not self.empty_is_value):
            return None
        return raw if self.from_cql is None else self.from_cql(raw)


# Of a key that tells 1.0 from 1.00 the scale is seen.
_SCALED = Sent(25, "textsend", lambda bound: format(bound, "f").encode(), "{}::text")


# A row that was written before a type gained a field does not have it, which is a null field. The
# types of keys stay as they are.
_SET_FIELDS = Sent(25, "textsend", _set_fields, "jsonb_strip_nulls({})::text")


def _sent(column: TargetColumn, base: str) -> Sent:
    if column.is_scaled:
        return _SCALED
    return _SET_FIELDS if base == "jsonb" and _may_grow(column) else _SENT[base]


def _may_grow(column: TargetColumn) -> bool:
    return column.source.type.has_udt and not column.is_of_key


def form_of(column: TargetColumn) -> Form:
    """The form of a column."""
    cql = column.source.type
    base = column.kind.partition("(")[0]
    sent = _sent(column, base)
    is_own = column.kind == postgres_type(cql)
    plain = column.replaced == NOTHING_REPLACED or cql.name not in {"text", "ascii"}
    from_cql: Callable[[bytes], Raw] | None
    as_bound = column.is_of_key and cql.name not in _ALL_HELD
    if is_own and plain and cql.name in _SAME and not as_bound:
        from_cql = _SAME[cql.name]
    elif is_own and base == "jsonb" and not as_bound:
        from_cql = _nested(column)
    else:
        from_cql = _bound(column, sent)
    return Form(
        sent,
        from_cql,
        from_target(cql, base),
        is_own and cql.name in _EXACT,
        cql.name in _EMPTY_IS_A_VALUE,
    )


def _bound(column: TargetColumn, sent: Sent) -> Callable[[bytes], Raw]:
    """By way of what the sink binds."""
    decode, convert, pack = decoder(column.source.type), column.convert, sent.pack
    is_of_key = column.is_of_key

    def from_cql(raw: bytes) -> Raw:
        value = decode(raw)
        try:
            bound = None if value is None else convert(value)
        except UnstorableValue:
            # Rows whose keys are refused are told apart all the same.
            return UNSTORABLE + raw if is_of_key else UNSTORABLE
        return None if bound is None else pack(bound)

    return from_cql


def _nested(column: TargetColumn) -> Callable[[bytes], Raw]:
    cql = column.source.type
    decode, plain = decoder(cql), to_json(cql, column.replaced)
    seen = _without_nulls if _may_grow(column) else _as_it_is

    def from_cql(raw: bytes) -> Raw:
        value = decode(raw)
        try:
            return None if value is None else jsonb_text(seen(plain(value))).encode()
        except UnstorableValue:
            return UNSTORABLE

    return from_cql


def _as_it_is(value: Any) -> Any:
    return value


def jsonb_text(value: Any) -> str:
    """The text that PostgreSQL gives for a jsonb value (`JsonbToCString`)."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(jsonb_text, value))}]"
    if isinstance(value, dict):
        # jsonb keeps an object's keys by length and then by bytes.
        encoded = sorted((len(k.encode()), k.encode(), k) for k in value)
        parts = (
            f"{json.dumps(k, ensure_ascii=False)}: {jsonb_text(value[k])}" for *_, k in encoded
        )
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, float | Decimal):
        return _plain_number(Decimal(str(value)))
    return json.dumps(value)


def _plain_number(number: Decimal) -> str:
    """As numeric's output: without an exponent, and without the sign of a zero."""
    return format(abs(number) if number.is_zero() else number, "f")


def _inet(raw: bytes) -> bytes:
    return (_V4 if len(raw) == 4 else _V6) + raw


def _sign_extended(raw: bytes) -> bytes:
    return (b"\xff" if raw[0] & 0x80 else b"\x00") + raw


def _bits(raw: bytes) -> bytes:
    """A float's bytes, of the many that are no number the one that PostgreSQL is asked for."""
    layout = _FLOAT if len(raw) == 4 else _DOUBLE
    if raw[0] & 0x7F != 0x7F or not math.isnan(layout.unpack(raw)[0]):
        return raw
    return layout.pack(math.nan)


# Types whose bytes need no decoding where the target has the type's own.
_SAME: dict[str, Callable[[bytes], Raw] | None] = {
    "ascii": None,
    "text": None,
    "blob": None,
    "tinyint": _sign_extended,
    "smallint": None,
    "int": None,
    "bigint": None,
    "float": _bits,
    "double": _bits,
    "boolean": lambda raw: b"\x00" if raw == b"\x00" else b"\x01",
    "uuid": None,
    "timeuuid": None,
    "inet": _inet,
}
_EXACT = frozenset({*_SAME, "timestamp", "date", "varint"})
_ALL_HELD = frozenset(_SAME) - {"float", "double"}


class RowForm:
    """Digests of a target's rows; a source row is the raw bytes of the key, then of `columns`."""

    def __init__(self, key: Sequence[TargetColumn], columns: Sequence[TargetColumn]) -> None:
        self.key = tuple(key)
        self.columns = tuple(sorted(columns, key=lambda c: c.name))
        self._forms = [form_of(c) for c in (*self.key, *self.columns)]
        self._key_forms = self._forms[: len(self.key)]
        self._head = _INT32.pack(len(self._forms))
        self._parts = [(_INT32.pack(f.sent.oid), f.canonical) for f in self._forms]

    @property
    def is_exact(self) -> bool:
        """Whether the source's key can be told from the target's."""
        return all(f.is_exact for f in self._key_forms)

    def key_of(self, row: Sequence[Raw]) -> Key:
        """The key of a source row."""
        pairs = zip(self._key_forms, row[: len(self.key)], strict=True)
        return tuple([form.canonical(raw) or b"" for form, raw in pairs])

    def cql_key(self, key: Key) -> Key:
        """The source's bytes of a key that the target has."""
        return tuple(f.to_cql(part) for f, part in zip(self._key_forms, key, strict=True))

    def digest(self, row: Sequence[Raw]) -> bytes:
        """The digest of a source row."""
        parts = [self._head]
        for (prefix, canonical), raw in zip(self._parts, row, strict=True):
            value = canonical(raw)
            if value is None:
                parts += prefix, _NULL
            else:
                parts += prefix, _INT32.pack(len(value)), value
        return sha256(b"".join(parts)).digest()[:8]

    def values(self, row: Sequence[Raw]) -> tuple[Raw, ...]:
        """The canonical bytes of each column that is not the key's."""
        rest = row[len(self.key) :]
        forms = self._forms[len(self.key) :]
        return tuple(form.canonical(raw) for form, raw in zip(forms, rest, strict=True))

    def sql_digest(self, names: Sequence[str]) -> str:
        """The digest in PostgreSQL of the columns, key and then `columns`, by these names."""
        sent = ", ".join(self._expressions(names))
        return f"substr(sha256(record_send(ROW({sent}))), 1, 8)"

    def sql_bytes(self, names: Sequence[str]) -> list[str]:
        """The bytes of each column in PostgreSQL."""
        functions = [form.sent.function for form in self._forms]
        return list(map("{}({})".format, functions, self._expressions(names)))

    def _expressions(self, names: Sequence[str]) -> list[str]:
        return [
            form.sent.sql.replace("{}", name) for form, name in zip(self._forms, names, strict=True)
        ]
