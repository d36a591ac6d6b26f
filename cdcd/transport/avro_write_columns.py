"""Avro's binary encoding, of the same field of many records at once. Pure.

A field's values become a list of their encodings, by a few steps of numpy for all of them. What is
written is taken for strings that NULs pad, as numpy has them: none of them ends with one. A step
has as many elements as there are records, for the reason that RECORDS_MAX gives.
"""

from binascii import hexlify
from collections.abc import Sequence

import numpy as np

# A number of 64 bits, seven of them a byte.
_OCTETS_MAX = 10
_SEVEN, _LOW_7, _MORE_FOLLOW = np.uint64(7), np.uint64(0x7F), np.uint64(0x80)

_UUID_BYTES = 16
# Its digits stand in five groups; the text has its size before it, and hyphens between them.
_GROUPS = {"0": "S8", "1": "S4", "2": "S4", "3": "S4", "4": "S12"}
_DIGITS = np.dtype(list(_GROUPS.items()))
_UUID_TEXT = b"\x48" + b"-" * 36
_PLACES = np.dtype(
    {
        "names": list(_GROUPS),
        "formats": list(_GROUPS.values()),
        "offsets": [1, 10, 15, 20, 25],
        "itemsize": len(_UUID_TEXT),
    }
)


def longs(numbers: Sequence[int]) -> list[bytes]:
    """The numbers as Avro's ints or longs. Raises OverflowError for one of more than 64 bits."""
    values = np.fromiter(numbers, np.int64, len(numbers))
    left = ((values << 1) ^ (values >> 63)).view(np.uint64)
    octets = np.zeros((len(numbers), _OCTETS_MAX), np.uint8)
    for n in range(_OCTETS_MAX):
        octet = left & _LOW_7
        left >>= _SEVEN
        more = left != 0
        octets[:, n] = octet | more * _MORE_FOLLOW
        if not more.any():
            break
    found: list[bytes] = octets.view(f"S{_OCTETS_MAX}").ravel().tolist()
    return found if values.all() else [encoded or b"\x00" for encoded in found]


def uuid_texts(uuids: Sequence[bytes]) -> list[bytes]:
    """The uuids, of 16 bytes each, as Avro's strings of their text.

    Raises ValueError where they have another size.
    """
    if not set(map(len, uuids)) <= {_UUID_BYTES}:
        raise ValueError(f"a uuid of other than {_UUID_BYTES} bytes")
    digits = np.frombuffer(hexlify(b"".join(uuids)), _DIGITS)
    texts = np.full(len(uuids), _UUID_TEXT)
    places = texts.view(_PLACES)
    for group in _GROUPS:
        places[group] = digits[group]
    found: list[bytes] = texts.tolist()
    return found
