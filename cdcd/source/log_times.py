"""Times of many log rows at once. Pure."""

from collections.abc import Sequence

import numpy as np

from cdcd.model.position import UUID_EPOCH_TICKS

# The fields of a version 1 uuid that hold its time (RFC 9562, section 5.1).
_UUID = np.dtype([("low", ">u4"), ("mid", ">u2"), ("version_and_high", ">u2"), ("rest", "V8")])


def uuid_times_us(uuids: Sequence[bytes | None]) -> list[int]:
    """What `uuid_time_us` gives for each of some uuids.

    Raises ValueError where not all of them are there and have 16 bytes.
    """
    known = [uuid for uuid in uuids if uuid is not None]
    if len(known) < len(uuids) or not set(map(len, known)) <= {_UUID.itemsize}:
        raise ValueError(f"a uuid of other than {_UUID.itemsize} bytes")
    fields = np.frombuffer(b"".join(known), _UUID)
    high = (fields["version_and_high"] & 0x0FFF).astype(np.int64)
    ticks = high << 48 | fields["mid"].astype(np.int64) << 32 | fields["low"]
    times_us: list[int] = ((ticks - UUID_EPOCH_TICKS) // 10).tolist()
    return times_us
