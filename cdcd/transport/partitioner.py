"""Which partition a record goes to: Kafka's murmur2 of the encoded partition key. Pure.

All changes of a Scylla partition share a Kafka partition, because range deletes, partition deletes
and static columns act on the whole of it. The hash is the one of Kafka's default partitioner
(`org.apache.kafka.common.utils.Utils.murmur2`), so other producers can place records alike.
"""

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF

# Longer keys are hashed one by one: side by side each would take as much room as the longest.
_TOGETHER_BYTES_MAX = 64


def murmur2(data: bytes) -> int:
    """The unsigned 32-bit hash."""
    length = len(data)
    words = length >> 2
    h = _SEED ^ length
    for word in struct.unpack_from(f"<{words}I", data):
        k = word * _M & _MASK
        h = (h * _M ^ (k ^ k >> 24) * _M) & _MASK
    rest = data[words << 2 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_of(encoded_partition_key: bytes, partitions: int) -> int:
    """The partition of a topic with so many partitions."""
    return (murmur2(encoded_partition_key) & 0x7FFFFFFF) % partitions


def partitions_of(encoded_partition_keys: Sequence[bytes], partitions: int) -> list[int]:
    """The partition of each, as `partition_of` says."""
    longest = max(map(len, encoded_partition_keys), default=0)
    if longest > _TOGETHER_BYTES_MAX:
        return [partition_of(key, partitions) for key in encoded_partition_keys]
    hashes = _murmur2_of_all(encoded_partition_keys, longest)
    found: list[int] = ((hashes & 0x7FFFFFFF) % partitions).tolist()
    return found


def _murmur2_of_all(keys: Sequence[bytes], longest: int) -> npt.NDArray[np.uint32]:
    """As `murmur2`, step by step for all; who is shorter keeps what it has."""
    words_max = longest // 4 + 1
    words = np.array(keys, f"S{4 * words_max}").view("<u4").reshape(len(keys), words_max)
    lengths = np.fromiter(map(len, keys), np.uint32, len(keys))
    # Multiplication is modulo 2^32 by the type.
    m, down_13, down_15, down_24 = (np.uint32(number) for number in (_M, 13, 15, 24))
    h = np.uint32(_SEED) ^ lengths
    for n in range(words_max):
        word = words[:, n]
        k = word * m
        whole = h * m ^ (k ^ k >> down_24) * m
        # Behind a key's end are zeros, as if its last bytes were a number, the lowest first.
        rest = (h ^ word) * m
        h = np.where(lengths >= 4 * n + 4, whole, np.where(lengths > 4 * n, rest, h))
    h = (h ^ h >> down_13) * m
    hashed: npt.NDArray[np.uint32] = h ^ h >> down_15
    return hashed
