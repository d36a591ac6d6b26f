"""Times of many log rows at once, against each alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.position import uuid_time_us
from cdcd.source.log_times import uuid_times_us


@given(st.lists(st.binary(min_size=16, max_size=16)))
def test_many_times_are_those_of_each(uuids: list[bytes]) -> None:
    """Whatever bits a uuid has, also those that no time of these days has."""
    assert uuid_times_us(uuids) == [uuid_time_us(uuid) for uuid in uuids]


@pytest.mark.parametrize("bad", [b"", bytes(15), bytes(17)])
def test_other_sizes_are_refused(bad: bytes) -> None:
    """Two of 15 and 17 bytes are not taken for two of 16."""
    with pytest.raises(ValueError, match="a uuid of other than 16 bytes"):
        uuid_times_us([bytes(16), bad, bytes(32 - len(bad))])


def test_one_that_is_missing_is_refused() -> None:
    """A row without a time is none of another row's."""
    with pytest.raises(ValueError, match="a uuid of other than 16 bytes"):
        uuid_times_us([bytes(16), None])
