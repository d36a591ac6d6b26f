"""Turns of a table's batches."""

import asyncio
from contextlib import ExitStack, suppress

import pytest

from cdcd.config.settings import PostgresSettings
from cdcd.sink import turns
from cdcd.sink.pool import Pool
from cdcd.sink.turns import NotYet, Turns, Void


def _never() -> bool:
    return False


async def test_a_turn_comes_when_the_one_before_is_done() -> None:
    """Whoever asked first is first, whatever becomes of it."""
    found = Turns(asyncio.Lock())
    with suppress(ValueError), found.next(_never) as first, found.next(_never) as second:
        assert (first.has_come, second.has_come) == (True, False)
        raise ValueError
    with found.next(_never) as third:
        assert third.has_come


async def test_whoever_has_the_turn_takes_the_lock_first() -> None:
    """Before a connection, as the sweeper does: else both could wait in a circle."""
    lock = asyncio.Lock()
    with Turns(lock).next(_never) as turn:
        async with turn.taken() as come:
            assert lock.locked()
            await come()
        assert not lock.locked()


async def test_a_batch_that_is_ahead_takes_the_lock_with_its_turn() -> None:
    """Until then others may have it; asked for twice it is taken once."""
    lock = asyncio.Lock()
    found = Turns(lock)
    with ExitStack() as first:
        first.enter_context(found.next(_never))
        with found.next(_never) as second:
            async with second.taken() as come:
                assert not lock.locked()
                first.close()
                await come()
                await come()
                assert lock.locked()
            assert not lock.locked()


@pytest.mark.parametrize("has_come", [True, False])
async def test_what_is_void_is_not_begun(has_come: bool) -> None:
    """A batch that was read before a rebalance costs nothing more, whether it is ahead or not."""
    lock = asyncio.Lock()
    found = Turns(lock)
    with ExitStack() as first:
        first.enter_context(found.next(_never))
        with found.next(lambda: True) as second:
            if has_come:
                first.close()
            with pytest.raises(Void):
                await second.taken().__aenter__()
    assert not lock.locked()


async def test_what_became_void_ends_with_its_turn() -> None:
    """A batch that was copied before a rebalance learns of it when it would be applied."""
    lock, void = asyncio.Lock(), False
    found = Turns(lock)
    with ExitStack() as first:
        first.enter_context(found.next(_never))
        with found.next(lambda: void) as second:
            async with second.taken() as come:
                void = True
                first.close()
                with pytest.raises(Void):
                    await come()
    assert not lock.locked()


async def test_an_open_transaction_waits_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up before PostgreSQL would end it."""
    monkeypatch.setattr(turns, "OPEN_SECONDS_MAX", 0.01)
    found = Turns(asyncio.Lock())
    with found.next(_never), found.next(_never) as second:
        async with second.taken() as come:
            with pytest.raises(NotYet):
                await come()


def test_half_of_the_connections_are_for_those_that_wait_for_nobody() -> None:
    """Of three connections one may be used ahead; it is free again with the block."""
    pool = Pool(PostgresSettings(pool_connections_max=3), "test")
    with pool.ahead() as first, pool.ahead() as second:
        assert (first, second) == (True, False)
    with pool.ahead() as again:
        assert again


@pytest.mark.parametrize("settings", [{"pool_connections_max": 1}, {"transaction_pooling": True}])
def test_nothing_is_ahead_where_connections_are_scarce(settings: dict[str, object]) -> None:
    """A transaction that waits would hold the only connection, or one of PgBouncer's few."""
    pool = Pool(PostgresSettings.model_validate(settings), "test")
    with pool.ahead() as may:
        assert not may
