"""Makes `docs/TYPES.md` from the table of types: `python -m cdcd.model.types_page`."""

import sys
from collections.abc import Iterator
from typing import Any

from cdcd.model.casts import rules_of
from cdcd.model.cqltype import CqlType
from cdcd.model.typemap import ATOMIC, json_text, postgres_type, to_json

_HEAD = """# Types

What a column is on the wire and in PostgreSQL. Everything nested is one `jsonb` value, and so is
`duration`. Unset, null and empty stay three things up to PostgreSQL; there a non-frozen collection
that is empty is NULL, because in ScyllaDB the two are one.

| CQL | Avro | PostgreSQL | inside of jsonb |
|---|---|---|---|
"""

_NUMBER = {"scale": 2, "value": (125).to_bytes(1, "big")}
_UUID = "00000000-0000-1000-8000-000000000000"
# A value of each type in its Avro form, for the page to show inside of jsonb.
_SAMPLES: dict[str, Any] = {
    "ascii": "a",
    "text": "ä",
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint"), 7),
    "varint": {"scale": 0, "value": b"\x07"},
    "decimal": _NUMBER,
    "float": 0.5,
    "double": 0.1,
    "boolean": True,
    "blob": b"\xff\x00",
    "uuid": _UUID,
    "timeuuid": _UUID,
    "inet": "10.0.0.1",
    "timestamp": 1_769_860_800_000,
    "date": 20_484,
    "time": 43_200_000_000_001,
    "duration": {"months": 1, "days": 2, "nanoseconds": 3},
}

_NESTED = {
    "list<int>": ("array", "array"),
    "set<int>": ("array", "array, in the set's CQL order"),
    "vector<float, 3>": ("array", "array"),
    "map<text, int>": ("map", "object"),
    "map<int, int>": ("array of `{key, value}`", "array of `[key, value]`, in key order"),
    "tuple<int, text>": ("record", "array"),
    "a user-defined type": ("record", "object by field name"),
}

_NOTES = """
`time` is cut to microseconds, not rounded. Years past 9999 and before 1 have a sign and six digits
inside of jsonb: `+010000-01-01`. Counters cannot be replicated: ScyllaDB has no change log for
them.

## Values that PostgreSQL cannot hold

A change with such a value is refused: `reject`, the default. With `replace`, for a table, or with
`[tables."*"]` for all, something else is written and the rest of the row as it is.

| setting | which values | `replace` writes |
|---|---|---|
| `nul_characters` | NUL characters in text, also inside of jsonb | U+FFFD for each |
| `not_finite` | NaN and infinities inside of jsonb | `"NaN"`, `"Infinity"`: `(doc->>'x')::float8` |
| `not_finite` | NaN and infinities in a `numeric` column | NULL |
| `dates_out_of_range` | dates before 4713 BC or after 5874897 | `-infinity`, `infinity` |
| `dates_out_of_range` | timestamps before 4713 BC or after 294276 | `-infinity`, `infinity` |

Columns of type `real` and `double precision` hold NaN and infinities; nothing is replaced there.
Inside of jsonb a date of any year is text, and fits. Numbers past `numeric`'s 131072 digits before
the point, or 16383 after it, are always refused.

## Values of keys

Rows that ScyllaDB tells apart never become one in PostgreSQL. In a key nothing is replaced, and a
value that PostgreSQL's type would take for another's is refused: each change of such a row is a
[dead letter](DLQ.md), that of the other row is applied. `cdcd check` and `cdcd plan` name the
columns. ScyllaDB compares partition keys by their bytes, and clustering columns by value, where
1.0 is 1.00.

| in a key | refused | what holds them all |
|---|---|---|
| `time` as `time` | what is finer than a microsecond | `type = "bigint"` |
| `float`, `double` | a zero with a minus sign | `type = "text"` |
| the same in a partition key | NaN of other bits than the usual ones | nothing |
| `decimal` in a partition key | negative scales: 1E+1 is 10 there | `type = "text"` |
| the same, 1.0 and 1.00 | the one that comes second, while the other is there | `type = "text"` |
| the same as `numeric(p,s)` | what has another scale | `type = "numeric"` |
| `varint`, `decimal` in a partition key | needless leading bytes, as no driver writes | nothing |
| `text`, `ascii` as `uuid` | other spellings than lower case with hyphens | `type = "text"` |

The same values are refused inside of a frozen collection, tuple or user-defined type; `time` is
whole there. `text` as `jsonb` cannot be of a key: unequal texts can be equal documents.

## Other types in the target

`type` of a column (`[tables."ks.t".columns.NAME]`) writes it to another type. Only what keeps the
whole value can be set; a value that does not fit is refused. `varchar` and `numeric` may have
sizes.

| CQL | may be | what is written |
|---|---|---|
"""

_FOOT = """
A non-frozen collection or user-defined type keeps its elements' changes in each of these.

This page is made from `cdcd/model/typemap.py` and `cdcd/model/casts.py` with
`python -m cdcd.model.types_page`.
"""


def page() -> str:
    """The page's text."""
    return "".join([_HEAD, *_atomic(), *_nested(), _NOTES, *_overrides(), _FOOT])


def _atomic() -> Iterator[str]:
    for name, row in ATOMIC.items():
        inside = json_text(to_json(CqlType(name))(_SAMPLES[name]))
        yield f"| `{name}` | {_avro(row.avro)} | `{row.postgres}` | `{inside}` |\n"


def _nested() -> Iterator[str]:
    for name, (avro, inside) in _NESTED.items():
        shown = name if " user" in name else f"`{name}`"
        yield f"| {shown} | {avro} | `jsonb` | {inside} |\n"


def _avro(schema: Any) -> str:
    if isinstance(schema, str):
        return f"`{schema}`"
    if schema["type"] == "record":
        fields = ", ".join(f"{f['name']} {f['type']}" for f in schema["fields"])
        return f"`{schema['name']}` ({fields})"
    named = schema.get("logicalType") or schema["connect.name"]
    return f"`{schema['type']}`, `{named}`"


def _overrides() -> Iterator[str]:
    for name in ATOMIC:
        for kind, rule in rules_of(CqlType(name)).items():
            if kind not in ("text", "jsonb") or postgres_type(CqlType(name)) == "text":
                yield f"| `{name}` | `{kind}` | {rule.says} |\n"
    for kind, rule in rules_of(CqlType("int")).items():
        if kind in ("text", "jsonb"):
            yield f"| any other | `{kind}` | {rule.says} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
