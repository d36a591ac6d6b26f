"""What PostgreSQL's failures mean, and that no value of a row is in what is said of them."""

import asyncio
import logging

import asyncpg
import pytest

from cdcd.model.errors import CdcdError, ConfigurationError, TableStopped, Transient
from cdcd.sink.driver_log import is_worth_a_line
from cdcd.sink.pool import Rejected, TargetBroken, failure, ours
from cdcd.sink.position_checks import check_offset
from cdcd.sink.sqlstates import SQLSTATES, Kind, meaning_of
from cdcd.transport.records import Partition


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("08006", Kind.TRANSIENT),
        ("08P01", Kind.TRANSIENT),
        ("22001", Kind.REJECTED),
        ("23505", Kind.REJECTED),
        ("25006", Kind.TRANSIENT),
        ("28P01", Kind.CONFIGURATION),
        ("3D000", Kind.CONFIGURATION),
        ("40P01", Kind.TRANSIENT),
        ("42501", Kind.CONFIGURATION),
        ("42P01", Kind.TABLE),
        ("53100", Kind.TRANSIENT),
        ("53300", Kind.TRANSIENT),
        ("54000", Kind.REJECTED),
        ("57014", Kind.TRANSIENT),
        ("57P03", Kind.TRANSIENT),
        ("40002", Kind.REJECTED),
        ("54001", Kind.TABLE),
        ("P0002", Kind.REJECTED),
        ("ABC12", Kind.REJECTED),
        ("XX000", Kind.TABLE),
        (None, Kind.FATAL),
    ],
)
def test_a_sqlstate_has_one_meaning(sqlstate: str | None, kind: Kind) -> None:
    """The longer of code and class decides; what PostgreSQL does not have a trigger raised."""
    assert meaning_of(sqlstate).kind is kind


def test_what_is_rejected_has_a_reason_of_few() -> None:
    """Reasons are labels of a metric: few words, and only where a row is at fault."""
    reasons = {m.reason for m in SQLSTATES.values() if m.kind is Kind.REJECTED}
    assert reasons == {"data", "constraint", "trigger", "limit"}
    assert {m.reason for m in SQLSTATES.values() if m.kind is not Kind.REJECTED} == {""}


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), Transient, "Connection refused"),
        (TimeoutError(), Transient, "no answer"),
        (asyncpg.InterfaceError("connection is closed"), Transient, "closed"),
        (asyncpg.ClientConfigurationError("dsn://user:secret@h"), ConfigurationError, "dsn"),
        (asyncpg.InvalidPasswordError("no entry for user x"), ConfigurationError, "user x"),
        (asyncpg.UndefinedTableError('relation "t" is away'), TargetBroken, '"t"'),
        (asyncpg.NotNullViolationError("secret"), Rejected, "not null violation"),
        (asyncpg.DataError("invalid input: secret"), Rejected, "data"),
        (asyncpg.InvalidCachedStatementError("plan"), Transient, "another worker"),
        (asyncpg.InternalClientError("cannot switch to state 15"), Transient, "broke"),
        (asyncpg.InternalServerError("broken"), TargetBroken, "broken"),
    ],
)
def test_a_failure_of_the_driver_is_ours(
    error: Exception, expected: type[CdcdError], words: str
) -> None:
    """Each exception becomes one kind of failure, without values and passwords."""
    found = failure(error)
    assert type(found) is expected
    assert words in str(found)
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("saved", "bounds", "words"),
    [
        (None, (0, 10), None),
        (None, (1, 10), "no offset is saved"),
        (5, (5, 5), None),
        (5, (6, 9), "retention"),
        (5, (0, 4), "another topic"),
    ],
)
def test_reading_on_leaves_nothing_out(
    saved: int | None, bounds: tuple[int, int], words: str | None
) -> None:
    """An offset outside of what the topic holds stops the table and asks for a snapshot."""
    if words is None:
        check_offset("ks.t", Partition("x", 0), saved, bounds)
        return
    with pytest.raises(TableStopped, match=words) as caught:
        check_offset("ks.t", Partition("x", 0), saved, bounds)
    assert caught.value.needs_snapshot


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (ConnectionError("unexpected connection_lost() call"), False),
        (ConnectionError("another client's"), True),
        (ValueError("ours"), True),
    ],
)
def test_a_forgotten_cancel_request_is_not_told(error: Exception, is_told: bool) -> None:
    """The driver cancels a statement over a connection that it may forget; whatever else nobody
    waited for is told.
    """
    forgotten = logging.getLogger("asyncio").makeRecord(
        *("asyncio", logging.ERROR, "", 0, "Future exception was never retrieved\nfuture: …", ()),
        (type(error), error, None),
    )
    assert is_worth_a_line(forgotten) is is_told


async def test_a_cancellation_is_not_lost_in_a_broken_connection() -> None:
    """Ending a broken connection's transaction fails too; the caller ends all the same."""
    begun = asyncio.Event()

    async def work() -> None:
        with ours():
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                raise asyncpg.InterfaceError("connection is closed")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        await begun.wait()
        task.cancel()
    assert task.cancelled()
