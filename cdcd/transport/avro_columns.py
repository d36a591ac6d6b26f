"""Avro's binary decoding, of the same field of many records at once. Pure.

Records lie one behind the other in one buffer, and `at` is an array that says where in it each
record's field begins. A reader takes both, and gives the field of each record and where it ends:
a dozen steps of numpy for all records, where code that reads one after the other takes as many for
each. What numpy has no steps for (arrays, maps, records) is read one after the other, by
`cdcd.transport.avro_read`.

Bytes that were cut or are of another schema raise Malformed, or `at` ends somewhere else than the
records: whoever reads records has to compare that. It never goes back, so that one which is past
its record's end stays there.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdcd.transport import avro_read
from cdcd.transport.avro_read import Names

Ints = npt.NDArray[np.int64]
Column = npt.NDArray[Any]

# Up to here numpy keeps the interpreter's lock (`NPY_BEGIN_THREADS_THRESHOLDED`). Where other
# threads compute, giving it away and waiting for it again would cost more than any step does.
RECORDS_MAX = 480

# So far a step may look beyond where it is.
_PADDING = bytes(16)


class Malformed(ValueError):
    """At least one of the records is none of its schema."""


class Buffer:
    """Encoded records, one behind the other; `starts` and `ends` are their places."""

    def __init__(self, records: Sequence[bytes]) -> None:
        self.data = b"".join((*records, _PADDING))
        self.octets = np.frombuffer(self.data, np.uint8)
        # Eight bytes from each place on, the first one lowest.
        self.words = np.ndarray((len(self.data) - 7,), "<u8", self.data, 0, (1,))
        self.ends: Ints = np.fromiter(map(len, records), np.int64, len(records)).cumsum()
        self.starts: Ints = np.concatenate(([0], self.ends[:-1]))
        # Where those are that ran past the end: no record ends here.
        self._past = int(self.ends[-1]) + 1

    def moved(self, at: Ints, by: Ints | int) -> Ints:
        """The places behind so many more bytes."""
        moved: Ints = np.minimum(at + by, self._past)
        return moved


Reader = Callable[[Buffer, Ints], tuple[Column, Ints]]

_LOW_7 = np.uint64(0x7F7F_7F7F_7F7F_7F7F)
_HIGH = np.uint64(0x8080_8080_8080_8080)
_ONE = np.uint64(1)
# Groups of 7 bits that lie in 8, of 14 in 16, of 28 in 32: where the lower and where the upper
# of each two are, and how far the upper one moves down to join it.
_JOINS = tuple(
    (np.uint64(lower), np.uint64(upper), np.uint64(down))
    for lower, upper, down in (
        (0x007F_007F_007F_007F, 0x7F00_7F00_7F00_7F00, 1),
        (0x0000_3FFF_0000_3FFF, 0x3FFF_0000_3FFF_0000, 2),
        (0x0000_0000_0FFF_FFFF, 0x0FFF_FFFF_0000_0000, 4),
    )
)


def longs(buffer: Buffer, at: Ints) -> tuple[Ints, Ints]:
    """Ints or longs."""
    octets = buffer.octets[at]
    if not (octets & 0x80).any():
        bits = octets.astype(np.int64)
        return (bits >> 1) ^ -(bits & 1), buffer.moved(at, 1)
    words = buffer.words[at]
    # The lowest bit that says "the last byte": all below it is the number's.
    last = ~words & _HIGH
    last &= ~last + _ONE
    below = last - _ONE
    bits = words & below & _LOW_7
    for lower, upper, down in _JOINS:
        bits = (bits & lower) | ((bits & upper) >> down)
    size = (np.bitwise_count(below).astype(np.int64) + 1) >> 3
    if (long := np.flatnonzero(last == 0)).size:
        bits[long], size[long] = _longest(buffer, at[long], bits[long])
    # Zigzag: the lowest bit is the sign.
    value = (bits >> _ONE) ^ (~(bits & _ONE) + _ONE)
    return value.view(np.int64), buffer.moved(at, size)


def _longest(
    buffer: Buffer, at: Ints, low: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.uint64], Ints]:
    """Numbers of nine or ten bytes, of which the first eight are read."""
    ninth, tenth = buffer.octets[at + 8], buffer.octets[at + 9]
    is_tenth = ninth > 0x7F
    if (is_tenth & (tenth > 1)).any():
        raise Malformed("a number of more than 64 bits")
    bits = low | ((ninth & 0x7F).astype(np.uint64) << np.uint64(56))
    bits |= np.where(is_tenth, tenth, 0).astype(np.uint64) << np.uint64(63)
    return bits, np.where(is_tenth, 10, 9)


def _sized(buffer: Buffer, at: Ints) -> tuple[Ints, Ints]:
    """Where what has its size before it begins and ends."""
    size, at = longs(buffer, at)
    if (size < 0).any():
        raise Malformed("a negative size")
    # A huge one must not come round to where it was.
    return at, buffer.moved(at, np.minimum(size, len(buffer.data)))


def _texts(buffer: Buffer, at: Ints) -> tuple[Column, Ints]:
    first, end = _sized(buffer, at)
    data = buffer.data
    places = zip(first.tolist(), end.tolist(), strict=True)
    return objects([data[a:b].decode() for a, b in places]), end


def _bytes(buffer: Buffer, at: Ints) -> tuple[Column, Ints]:
    first, end = _sized(buffer, at)
    data = buffer.data
    return objects([data[a:b] for a, b in zip(first.tolist(), end.tolist(), strict=True)]), end


def _booleans(buffer: Buffer, at: Ints) -> tuple[Column, Ints]:
    return buffer.octets[at] != 0, buffer.moved(at, 1)


def _floats(buffer: Buffer, at: Ints) -> tuple[Column, Ints]:
    low = buffer.words[at].astype(np.uint32)
    return low.view(np.float32), buffer.moved(at, 4)


def _doubles(buffer: Buffer, at: Ints) -> tuple[Column, Ints]:
    return buffer.words[at].view(np.float64), buffer.moved(at, 8)


def objects(values: Sequence[Any]) -> Column:
    """An array of anything."""
    return np.fromiter(values, object, len(values))


def as_ints(values: Sequence[int]) -> Ints:
    """An array of whole numbers."""
    return np.fromiter(values, np.int64, len(values))


_READ: dict[str, Reader] = {
    "boolean": _booleans,
    "int": longs,
    "long": longs,
    "float": _floats,
    "double": _doubles,
    "bytes": _bytes,
    "string": _texts,
}

Skipper = Callable[[Buffer, Ints], Ints]

_SKIP: dict[str, Skipper] = {
    "boolean": lambda buffer, at: buffer.moved(at, 1),
    "int": lambda buffer, at: longs(buffer, at)[1],
    "long": lambda buffer, at: longs(buffer, at)[1],
    "float": lambda buffer, at: buffer.moved(at, 4),
    "double": lambda buffer, at: buffer.moved(at, 8),
    "bytes": lambda buffer, at: _sized(buffer, at)[1],
    "string": lambda buffer, at: _sized(buffer, at)[1],
}


def reader(schema: Any, names: Names) -> Reader:
    """The reader of a schema. A field that is null in a record is None there."""
    if isinstance(schema, list):
        return _nullable(schema, names)
    kind = schema["type"] if isinstance(schema, dict) else schema
    # A logical type says how other consumers see the same bytes.
    known = _READ.get(kind)
    return known or _one_by_one(avro_read.reader(schema, names))


def skipper(schema: Any, names: Names) -> Skipper:
    """What finds the end of a schema's value."""
    if isinstance(schema, list):
        null, part = parts_of(schema)
        return _where(null, skipper(part, names))
    kind = schema["type"] if isinstance(schema, dict) else schema
    known = _SKIP.get(kind)
    if known is not None:
        return known
    read = _one_by_one(avro_read.reader(schema, names))
    return lambda buffer, at: read(buffer, at)[1]


def _where(null: int, skip: Skipper) -> Skipper:
    def skip_where(buffer: Buffer, at: Ints) -> Ints:
        there, at = there_of(buffer, at, null)
        if there is None:
            return skip(buffer, at)
        if there.size:
            at[there] = skip(buffer, at[there])
        return at

    return skip_where


def _one_by_one(read: avro_read.Reader) -> Reader:
    def read_all(buffer: Buffer, at: Ints) -> tuple[Column, Ints]:
        values, ends = [], []
        for place in at.tolist():
            value, end = _read_one(read, buffer.data, place)
            values.append(value)
            ends.append(end)
        return objects(values), buffer.moved(as_ints(ends), 0)

    return read_all


def _read_one(read: avro_read.Reader, data: bytes, at: int) -> tuple[Any, int]:
    try:
        value, end = read(data, at)
    except (IndexError, KeyError, struct.error) as error:
        raise Malformed(f"not of its schema: {error!r}") from error
    return value, min(end, len(data))


def parts_of(schema: list[Any]) -> tuple[int, Any]:
    """Of a type that may be null: which byte says so, and the type.

    Raises ValueError for a union of more.
    """
    null = schema.index("null")
    if len(schema) != 2:
        raise ValueError("a union of other than null and one type")
    return 2 * null, schema[1 - null]


def there_of(buffer: Buffer, at: Ints, null: int = 0) -> tuple[Ints | None, Ints]:
    """Of which records the value is not null, None for all; and where values begin."""
    which = buffer.octets[at]
    at = buffer.moved(at, 1)
    is_there = which == 2 - null
    if is_there.all():
        return None, at
    if (which[~is_there] != null).any():
        raise Malformed("a type that the union lacks")
    return np.flatnonzero(is_there), at


def _nullable(schema: list[Any], names: Names) -> Reader:
    null, part = parts_of(schema)
    read = reader(part, names)

    def read_where(buffer: Buffer, at: Ints) -> tuple[Column, Ints]:
        there, at = there_of(buffer, at, null)
        if there is None:
            return read(buffer, at)
        values: Column = np.full(len(at), None, object)
        if there.size:
            values[there], at[there] = read(buffer, at[there])
        return values, at

    return read_where


class AtSight:
    """A reader of what seldom changes, which recognises the bytes instead of reading them again.

    That is right because no encoding begins another one of the same schema.
    """

    def __init__(self, read: avro_read.Reader, known_max: int) -> None:
        self._read = read
        self._known: dict[bytes, _Known] = {}
        self._known_max = known_max

    def __call__(self, buffer: Buffer, at: Ints) -> tuple[Column, Ints]:
        """As a Reader."""
        values: Column = np.full(len(at), None, object)
        ends, left = at.copy(), np.arange(len(at))
        for known in self._known.values():
            same = known.is_at(buffer, at[left])
            found, left = left[same], left[~same]
            values[found] = known.value
            ends[found] += known.size
            if not left.size:
                break
        for n in left.tolist():
            values[n], ends[n] = self._learn(buffer.data, int(at[n]))
        return values, buffer.moved(ends, 0)

    def _learn(self, data: bytes, at: int) -> tuple[Any, int]:
        value, end = _read_one(self._read, data, at)
        if len(self._known) < self._known_max:
            encoded = data[at:end]
            self._known[encoded] = _Known(encoded, value)
        return value, end


class _Known:
    """Bytes that were met before, and what they say: nothing that numpy takes for a sequence."""

    def __init__(self, encoded: bytes, value: object) -> None:
        self.value = value
        self.size = len(encoded)
        padded = encoded + bytes(-len(encoded) % 8)
        self._words = np.frombuffer(padded, "<u8")
        self._last = np.uint64(2 ** (8 * (len(encoded) % 8 or 8)) - 1)

    def is_at(self, buffer: Buffer, at: Ints) -> Column:
        """At which of the places they are."""
        same: Column = np.ones(len(at), np.bool_)
        places_max, last = len(buffer.words) - 1, len(self._words) - 1
        for n, word in enumerate(self._words):
            found = buffer.words[np.minimum(at + 8 * n, places_max)]
            same &= (found if n < last else found & self._last) == word
        return same
