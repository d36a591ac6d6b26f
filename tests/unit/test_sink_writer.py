"""What becomes of a batch that could not be written for now."""

from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import pytest

from cdcd.model.errors import Transient
from cdcd.sink.batch import Batch
from cdcd.sink.pool import Connection, Pool
from cdcd.sink.writer import Write, write

WORK = Write("t", [], cast("Batch", None), None)


class WaitingPool:
    """Connections whose transactions wait in vain for another session's lock."""

    keeps_sessions = True

    def __init__(self, looking: Transient | None = None) -> None:
        self.looked = 0
        self._looking = looking

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """None that could write."""
        raise Transient("canceling statement due to statement timeout")

    async def end_frozen(self) -> int:
        """Note that somebody has looked."""
        self.looked += 1
        if self._looking is not None:
            raise self._looking
        return 1


async def _ask(_: Any) -> None:
    """Nothing is asked for."""


@pytest.mark.parametrize("looking", [None, Transient("PostgreSQL is away")])
async def test_whoever_waited_in_vain_ends_frozen_sessions(looking: Transient | None) -> None:
    """Before it tries again; that the look fails too hides nothing."""
    pool = WaitingPool(looking)
    with pytest.raises(Transient, match="statement timeout"):
        await write(cast("Pool", pool), "p", WORK, _ask)
    assert pool.looked == 1
