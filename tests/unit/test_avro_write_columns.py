"""Many records' same field has the bytes that each has alone."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.transport.avro_write import long, string
from cdcd.transport.avro_write_columns import longs, uuid_texts

# As many of each size as of another.
NUMBERS = st.integers(0, 63).flatmap(lambda bits: st.integers(-(2**bits), 2**bits - 1))


@given(st.lists(NUMBERS))
def test_longs(numbers: list[int]) -> None:
    """Numbers of any sizes, and zero, are written as one by one."""
    assert longs(numbers) == [long(number) for number in numbers]


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_more_than_64_bits(number: int) -> None:
    """A number that does not fit is refused, not cut."""
    with pytest.raises(OverflowError):
        longs([1, number])


@given(st.lists(st.uuids()))
def test_uuid_texts(uuids: list[UUID]) -> None:
    """A uuid is written as its text."""
    assert uuid_texts([uuid.bytes for uuid in uuids]) == [string(str(uuid)) for uuid in uuids]


@pytest.mark.parametrize("sizes", [(16, 15), (15, 17), (8,)])
def test_what_is_no_uuid(sizes: tuple[int, ...]) -> None:
    """Another size is refused."""
    with pytest.raises(ValueError, match="other than 16 bytes"):
        uuid_texts([bytes(size) for size in sizes])
