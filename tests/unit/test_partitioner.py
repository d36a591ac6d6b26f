"""Records go to the partition that Kafka's own default partitioner would take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.transport.partitioner import murmur2, partition_of, partitions_of


def signed(value: int) -> int:
    """A 32-bit number as Java shows it."""
    return value - 2**32 if value >= 2**31 else value


# `UtilsTest.testMurmur2` in Apache Kafka.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_kafkas(text: bytes, expected: int) -> None:
    """The hash has the values of Kafka's own tests."""
    assert signed(murmur2(text)) == expected


@given(st.binary(max_size=40), st.integers(1, 100))
def test_partitions_are_those_of_the_topic(key: bytes, partitions: int) -> None:
    """Every key has a partition, and it depends on the hash's lower 31 bits."""
    found = partition_of(key, partitions)
    assert 0 <= found < partitions
    assert found == (murmur2(key) & 0x7FFFFFFF) % partitions


@given(st.lists(st.binary(max_size=18) | st.binary(max_size=70)), st.integers(1, 100))
def test_many_at_once(keys: list[bytes], partitions: int) -> None:
    """Keys of any sizes side by side have the partitions that each has alone."""
    assert partitions_of(keys, partitions) == [partition_of(key, partitions) for key in keys]


@given(st.binary(max_size=40))
def test_the_hash_is_32_bits(key: bytes) -> None:
    """The hash is an unsigned 32-bit number."""
    assert 0 <= murmur2(key) < 2**32
