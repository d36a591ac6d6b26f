"""Which partition a record goes to: Kafka's murmur2 of the encoded partition key. Pure.

All changes of a Scylla partition share a Kafka partition, because range deletes, partition deletes
and static columns act on the whole of it. The hash is the one of Kafka's default partitioner
(`org.apache.kafka.common.utils.Utils.murmur2`), so other producers can place records alike.
"""

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The unsigned 32-bit hash."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_of(encoded_partition_key: bytes, partitions: int) -> int:
    """The partition of a topic with so many partitions."""
    return (murmur2(encoded_partition_key) & 0x7FFFFFFF) % partitions
