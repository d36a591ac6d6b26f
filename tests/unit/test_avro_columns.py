"""The same field of many records is read at once, as one after the other."""

import io
import struct
from random import Random
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.transport import avro_read, avro_write
from cdcd.transport.avro_columns import (
    RECORDS_MAX,
    AtSight,
    Buffer,
    Malformed,
    longs,
    reader,
    skipper,
)

ROW = {
    "type": "record",
    "name": "Row",
    "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": ["null", "string"]}],
}
LONGS = st.integers(-(2**63), 2**63 - 1)
VALUES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", LONGS),
    ("float", st.floats(width=32, allow_nan=False)),
    ("double", st.floats(allow_nan=False)),
    ("bytes", st.binary(max_size=200)),
    ("string", st.text(max_size=200)),
    (["null", "long"], st.none() | LONGS),
    (["string", "null"], st.none() | st.text(max_size=9)),
    (["null", ROW], st.none() | st.fixed_dictionaries({"a": LONGS, "b": st.none() | st.text()})),
    ({"type": "array", "items": "string"}, st.lists(st.text(max_size=9), max_size=5)),
]
EDGES = [
    0,
    -1,
    1,
    *(sign * (2**bits + more) for bits in range(5, 63) for sign in (1, -1) for more in (-1, 0, 1)),
]


def encoded(schema: Any, values: list[Any]) -> list[bytes]:
    """Each value's encoding, by fastavro."""
    parsed = fastavro.parse_schema(schema, named_schemas={})
    return [_one(parsed, value) for value in values]


def _one(parsed: Any, value: Any) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, parsed, value)
    return stream.getvalue()


@pytest.mark.parametrize(("schema", "strategy"), VALUES, ids=lambda v: str(v)[:20])
@given(st.data())
def test_values_come_back(
    schema: Any, strategy: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """What was written of each record is read, up to its end, and passed over up to its end."""
    values = data.draw(st.lists(strategy, min_size=1, max_size=20))
    buffer = Buffer(encoded(schema, values))
    found, ends = reader(schema, {})(buffer, buffer.starts)
    assert found.tolist() == values
    assert ends.tolist() == buffer.ends.tolist()
    assert skipper(schema, {})(buffer, buffer.starts).tolist() == buffer.ends.tolist()


def test_numbers_of_every_size() -> None:
    """Numbers at the edges of each size of theirs come back, the lowest and the highest too."""
    values = [*EDGES, 2**63 - 1, -(2**63)]
    for first in range(0, len(values), RECORDS_MAX):
        part = values[first : first + RECORDS_MAX]
        buffer = Buffer(encoded("long", part))
        found, ends = longs(buffer, buffer.starts)
        assert found.tolist() == part
        assert ends.tolist() == buffer.ends.tolist()


@pytest.mark.parametrize("raw", [b"\xff" * 9 + b"\x02", b"\xff" * 10, b"\x80" * 10 + b"\x01"])
def test_numbers_of_more_than_64_bits(raw: bytes) -> None:
    """A number that is too long for its type is malformed."""
    buffer = Buffer([b"\x02", raw])
    with pytest.raises(Malformed):
        longs(buffer, buffer.starts)


@pytest.mark.parametrize("schema", ["string", "bytes"])
def test_negative_sizes(schema: str) -> None:
    """A size below nothing is malformed: it would lead back."""
    buffer = Buffer([b"\x02x", b"\x01"])
    with pytest.raises(Malformed):
        reader(schema, {})(buffer, buffer.starts)


def test_a_huge_size_ends_past_all() -> None:
    """A size beyond all bytes ends where no record ends."""
    buffer = Buffer([avro_write.long(2**63 - 1), b"\x00"])
    _, ends = reader("bytes", {})(buffer, buffer.starts)
    assert ends[0] > buffer.ends[-1]
    assert ends[1] == buffer.ends[-1]


def test_a_type_that_the_union_lacks() -> None:
    """A union's third type is malformed where there are two."""
    buffer = Buffer([b"\x00", b"\x04\x02"])
    with pytest.raises(Malformed):
        reader(["null", "long"], {})(buffer, buffer.starts)


def test_a_union_of_more_is_refused() -> None:
    """A union of several types beside null is no schema of cdcd's."""
    with pytest.raises(ValueError, match="union"):
        reader(["null", "long", "string"], {})


@given(
    st.lists(st.sampled_from(["", "x", "abcdefg", "abcdefgh", "abcdefghi", "y" * 40]), min_size=1)
)
def test_at_sight(texts: list[str]) -> None:
    """What is recognised is what would be read, whether it was met before or not."""
    names = {text: object() for text in texts}

    def read(data: bytes, at: int) -> tuple[object, int]:
        text, end = avro_read.text(data, at)
        return names[text], end

    at_sight = AtSight(read, known_max=3)
    for _ in range(2):
        buffer = Buffer(encoded("string", texts))
        found, ends = at_sight(buffer, buffer.starts)
        assert found.tolist() == [names[text] for text in texts]
        assert ends.tolist() == buffer.ends.tolist()


@pytest.mark.parametrize("size", [1, 6, 7, 8, 9, 40])
def test_what_was_met_is_not_read_again(size: int) -> None:
    """Bytes of any size that were met before are recognised, whatever follows them."""
    reads = []

    def read(data: bytes, at: int) -> tuple[int, int]:
        reads.append(at)
        return at, avro_read.text(data, at)[1]

    at_sight = AtSight(read, known_max=3)
    buffer = Buffer(encoded("string", ["x" * size]) * 2 + [b"\xff" * 9])
    for _ in range(3):
        at_sight(buffer, buffer.starts[:2])
    assert reads == [0, buffer.starts[1]]


@pytest.mark.parametrize("seed", range(20))
def test_cut_and_mangled(seed: int) -> None:
    """Whatever the bytes are, reading ends with places at which records end or not, or Malformed;
    never with another failure.
    """
    chance = Random(seed)
    for schema, _ in VALUES:
        raws = [chance.randbytes(chance.randrange(30)) for _ in range(5)]
        buffer = Buffer(raws)
        try:
            _, ends = reader(schema, {})(buffer, buffer.starts)
        except (ValueError, OverflowError):
            continue
        assert (ends >= buffer.starts).all()


def test_no_step_gives_the_lock_away() -> None:
    """A portion is below the size from which numpy lets other threads in at each step."""
    assert RECORDS_MAX <= 500


def test_doubles_are_exact() -> None:
    """A double comes back bit by bit."""
    raw = struct.pack("<d", float("nan"))
    buffer = Buffer([raw])
    found, _ = reader("double", {})(buffer, buffer.starts)
    assert np.asarray(found).tobytes() == raw
