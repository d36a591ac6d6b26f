"""Which partition a record goes to: Kafka's murmur2 of the encoded partition key. Pure.

All changes of a Scylla partition share a Kafka partition, because range deletes, partition deletes
and static columns act on the whole of it. The hash is the one of Kafka's default partitioner
(`org.apache.kafka.common.utils.Utils.murmur2`), so other producers can place records alike.
"""

import struct

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


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
