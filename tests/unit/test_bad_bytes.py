"""Whatever bytes come in, what comes out is a value or a failure that cdcd names: never another.

Bytes of chance, and good ones with a part changed: those get further.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cdcd.config.settings import Settings, load
from cdcd.model.cqltype import parse
from cdcd.model.errors import ConfigurationError, Fatal, TableStopped, Transient
from cdcd.model.position import Position, TokenRange
from cdcd.model.refresh import Listed, Request, Row, Tokens
from cdcd.ops.tracing import Tracing
from cdcd.source.decode import LogDecoder
from cdcd.source.session import partition_token
from cdcd.transport import lane_records
from cdcd.transport.avro import Codec, MalformedRecord, schema_id_of
from cdcd.transport.record_reader import RecordReader, key_reader
from cdcd.transport.record_writer import RecordWriter, SchemaIds
from cdcd.transport.records import LATE_HEADER, TRACE_HEADER, Headers, read_headers
from cdcd.transport.schema import key_schema, table_from_schema, value_schema
from tests.model import steps
from tests.model.servers import TABLE, log_rows

Kinds = type[Exception] | tuple[type[Exception], ...]
MANY = settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)


@st.composite
def mangled(draw: st.DrawFn, good: bytes) -> bytes:
    """Good bytes with some replaced, cut off, doubled or put in."""
    return mangle(good, draw(st.randoms()))


def mangle(good: bytes, chance: Random) -> bytes:
    """Good bytes with some replaced, cut off, doubled or put in."""
    at, to = sorted((chance.randint(0, len(good)), chance.randint(0, len(good))))
    return good[:at] + chance.randbytes(chance.randint(0, 9)) + good[chance.choice([at, to]) :]


SEEDS = range(12)
TRACING = Tracing(Settings(tracing={"ratio": 1.0}), SimpleSpanProcessor(InMemorySpanExporter()))

HEADERS = st.lists(
    st.tuples(
        st.sampled_from([LATE_HEADER, TRACE_HEADER]) | st.text(),
        st.none()
        | st.binary()
        | st.text()
        | mangled(b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"),
    )
)


@MANY
@given(HEADERS)
def test_headers(headers: Headers) -> None:
    """Whatever headers a record has, it is late or not, and has a context of a trace or none."""
    is_late, traceparent = read_headers(headers)
    assert is_late == any(name == LATE_HEADER for name, _ in headers)
    assert traceparent in (None, *(value for name, value in headers if name == TRACE_HEADER))


@pytest.mark.parametrize("seed", SEEDS)
def test_log_rows(seed: int) -> None:
    """Rows of the log are changes, or stop the table, or are read again."""
    chance, decode = Random(seed), LogDecoder(TABLE, partition_token).changes
    for mutation in steps.run(seed).mutations * 5:
        rows = [list(row) for row in log_rows(mutation, bytes(16))]
        for _ in range(chance.randint(1, 3)):
            row = chance.choice(rows)
            at = chance.randrange(len(row))
            raw = row[at] or b""
            row[at] = chance.choice([None, mangle(raw, chance), chance.randbytes(len(raw))])
        _only((TableStopped, Transient), lambda bad: decode(bad, _all), [tuple(r) for r in rows])


def _all(_: int) -> bool:
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_records(seed: int) -> None:
    """A record's key and value are a change, or malformed, by each of the ways to read them."""
    chance, line = Random(seed), steps.run(seed)
    write = RecordWriter(TABLE, "t", "p", SchemaIds(1, 2), 3).records
    keys, values = key_schema(TABLE, "t"), value_schema(TABLE, "t")
    read_keys, read_values = key_reader(keys), RecordReader(values, TABLE).changes
    for event in line.decoded(range(len(line.mutations))):
        ((_, key, value),) = write([event], 0)
        row = read_keys([key])
        for _ in range(3):
            for read in (lambda bad: read_keys([bad]), Codec(keys, 1).decode, schema_id_of):
                _only(MalformedRecord, read, mangle(key, chance))
            bad = mangle(value, chance)
            _only(MalformedRecord, partial(read_values, row), [bad])
            _only(MalformedRecord, Codec(values, 1).decode, bad)


def _only(kind: Kinds, read: Callable[[Any], object], what: object) -> None:
    """It gives something, or raises one of these kinds and no other."""
    try:
        read(what)
    except kind:
        return


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)
VALUE_SCHEMA = value_schema(TABLE, "t")


@MANY
@given(st.data())
def test_schemas(data: st.DataObject) -> None:
    """A schema that the registry holds is a table's, or refused by name."""
    text = json.dumps(VALUE_SCHEMA)
    bad = data.draw(mangled(text.encode()))
    try:
        schema = json.loads(bad)
    except ValueError:
        schema = data.draw(JSON)
    # A version that is mangled may be a newer one.
    _only((ValueError, ConfigurationError), table_from_schema, schema)
    _only(ValueError, lambda found: RecordReader(found, TABLE), schema)


@pytest.mark.parametrize("field", ["op", "before", "after", "source", "delta"])
def test_a_schema_that_lacks_a_field(field: str) -> None:
    """A schema without what a change is made of is refused, and the field is named."""
    kept = [f for f in VALUE_SCHEMA["fields"] if f["name"] != field]
    with pytest.raises(ValueError, match=field):
        RecordReader({**VALUE_SCHEMA, "fields": kept}, TABLE)


@pytest.mark.parametrize("field", ["ts_us", "token"])
def test_a_schema_whose_source_lacks_a_field(field: str) -> None:
    """Write time and token stand in `source`, and are named where they do not."""
    fields = [
        {
            **f,
            "type": {**f["type"], "fields": [s for s in f["type"]["fields"] if s["name"] != field]},
        }
        if f["name"] == "source"
        else f
        for f in VALUE_SCHEMA["fields"]
    ]
    with pytest.raises(ValueError, match=field):
        RecordReader({**VALUE_SCHEMA, "fields": fields}, TABLE)


SCOPE = Row((b"\x01",), (b"\x02",))
LANE_RECORDS = [
    lane_records.encode_position(Position("log", 1, 2, 3)),
    lane_records.encode_request(Request("id", "ks.t", SCOPE, 5, 6)),
    lane_records.encode_request(Request("id", "ks.t", Tokens(TokenRange(1, 2)), 5)),
    lane_records.encode_listed(Listed("id", "ks.t", SCOPE, 5, 6)),
    lane_records.encode_tables(["ks.*"]),
    b"[" * 100_000,
]
READS: list[Callable[[bytes], object]] = [
    lane_records.decode_position,
    lane_records.decode_cell,
    lane_records.decode_tables,
    lane_records.decode_pauses,
    lambda raw: lane_records.decode_request("id", raw),
    lambda raw: lane_records.decode_listed("id", raw),
]
KEYS: list[Callable[[bytes], object]] = [
    lane_records.table_of_key,
    lane_records.cell_of_key,
    lane_records.request_of_key,
    lane_records.listed_of_key,
]


@MANY
@given(st.data())
def test_lane_records(data: st.DataObject) -> None:
    """A record of the lanes topic is cdcd's, or the process ends and says whose it is not."""
    good = data.draw(st.sampled_from(LANE_RECORDS))
    fields = st.dictionaries(st.sampled_from(["v", "table", "scope", "tables", "token"]), JSON)
    made = (JSON | fields).map(lambda found: json.dumps(found).encode())
    raw = data.draw(mangled(good) | st.binary(max_size=30) | made)
    for read in READS:
        _only(Fatal, read, raw)


@MANY
@given(
    st.sampled_from([b"", b"position/", b"cell/", b"cell/10/", b"request/", b"listed/"]),
    st.binary(max_size=12),
)
def test_lane_keys(kind: bytes, rest: bytes) -> None:
    """A key in the lanes topic is of a kind, or of none, or the process ends."""
    for read in KEYS:
        _only(Fatal, read, kind + rest)


@MANY
@given(st.text(max_size=60) | st.binary(max_size=60), st.sampled_from(["", "name = ", "[kafka]\n"]))
def test_settings_files(tmp_path_factory: pytest.TempPathFactory, text: Any, head: str) -> None:
    """A settings file is taken, or refused as a wrong setting."""
    file = tmp_path_factory.getbasetemp() / "settings.toml"
    file.write_bytes(
        head.encode() + (text.encode("utf-8", "replace") if isinstance(text, str) else text)
    )
    _only(ConfigurationError, load, file)


VARIABLES = ["CDCD_NAME", "CDCD_TABLES", "CDCD_KAFKA", "CDCD_SCYLLA__PORT", "CDCD_SCYLLA__HOSTS"]
VARIABLES += ["CDCD_SOURCE__SETTLE_DELAYS_SECONDS", "CDCD_POSTGRES__URL", "CDCD_REGISTRY__URL"]
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@MANY
@given(st.sampled_from(VARIABLES), TEXTS | JSON.map(json.dumps).filter(lambda t: "\0" not in t))
def test_variables(name: str, text: str) -> None:
    """A variable is taken, or refused as a wrong setting."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, text)
        _only(ConfigurationError, load, None)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 5000, b"a = " + b"[" * 100_000])
def test_files_that_are_no_text(tmp_path: Path, content: bytes) -> None:
    """A file that is not UTF-8, or nested without end, is a wrong setting and no traceback."""
    file = tmp_path / "settings.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError):
        load(file)


def test_types_nested_without_end() -> None:
    """A type that is nested thousands of times, or in itself, is refused by name."""
    with pytest.raises(ValueError, match="nested without end"):
        parse("frozen<" * 3000 + "int" + ">" * 3000)
    with pytest.raises(ValueError, match="nested without end"):
        parse("u", {"u": (("f", "u"),)})


@MANY
@given(st.binary() | mangled(b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"))
def test_contexts_of_traces(context: bytes) -> None:
    """What a record says of its trace is gone on with, or is none; it stops nothing."""
    span = TRACING.follow(context, "apply", {}, 1, others=[context])
    if span is not None:
        assert span.traceparent[3:35] == context.strip()[3:35]
