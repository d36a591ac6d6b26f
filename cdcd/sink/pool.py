"""The only door to asyncpg: connections that speak our value forms, and what their failures mean.

Nothing that leaves this module quotes a row's values: PostgreSQL puts them into details, and into
the messages of whole classes of errors, so those are replaced by the condition's name.
"""

import asyncio
import logging
import re
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Self, cast

import asyncpg

from cdcd.config.settings import PostgresSettings
from cdcd.model.dead_letter import Refusal
from cdcd.model.errors import CdcdError, ConfigurationError, Fatal, Transient
from cdcd.model.login import Login
from cdcd.ops import tls
from cdcd.sink.driver_log import is_worth_a_line
from cdcd.sink.sqlstates import UNSTORABLE, Kind, meaning_of

Row = tuple[Any, ...]

# `cdcd.model.typemap` makes these as the binary protocol's own counts, in tuples of one: Python's
# types end at year 9999 and begin at year 1.
_TUPLE_TYPES = ("timestamptz", "timestamp", "date", "time", "interval")

# Added to the server's own limit, so that its clear error arrives first.
_ANSWER_SECONDS = 5.0
# Prepared statements that one connection keeps: some for each table and shape.
STATEMENTS_MAX = 1000
# How long a transaction may wait for its client: more than a batch's longest step between two
# statements, which is a request in the lanes topic.
IDLE_TRANSACTION_SECONDS = 15

# PostgreSQL itself has no limit for a client that sends the rest of a COPY later: a worker that is
# frozen in one would hold its batch's locks for as long. Those of other logins it may not end.
_END_FROZEN = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = $1 AND usename = current_user AND pid <> pg_backend_pid()
    AND state = 'active' AND wait_event_type = 'Client' AND wait_event = 'ClientRead'
    AND query_start < now() - $2::double precision * interval '1 second'
"""

# How long an idle connection is kept.
IDLE_SECONDS = 300.0


if TYPE_CHECKING:
    _Connection = asyncpg.Connection[Any]
else:
    _Connection = asyncpg.Connection  # the stubs' parameter is not there at run time


class Connection(_Connection):
    """A connection that knows its staging tables, by what they are for; the least used first."""

    __slots__ = ("staging", "staging_numbers")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.staging: OrderedDict[Hashable, str] = OrderedDict()
        self.staging_numbers = count(1)

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the driver's
        """Close the connection; one that the server has ended before is closed.

        The pool closes one of an older login in a task that nobody waits for, just when Vault may
        take that login away.
        """
        # What fails in closing makes the driver drop the connection.
        with suppress(*_DRIVER_ERRORS):
            await super().close(timeout=timeout)


class Rejected(CdcdError):
    """PostgreSQL refuses a value of the batch; `refusal` says why, without the value."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"PostgreSQL: {refusal.message}")
        self.refusal = refusal


class TargetBroken(CdcdError):
    """The target table is not as cdcd left it."""


_ERRORS: dict[Kind, type[CdcdError]] = {
    Kind.TRANSIENT: Transient,
    Kind.TABLE: TargetBroken,
    Kind.CONFIGURATION: ConfigurationError,
    Kind.FATAL: Fatal,
}


# After these a connection's state is not known; after an error that the server reports, it is.
_BREAKS = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    OSError,
    asyncio.CancelledError,
)
_DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
# What a pooler that gives each transaction another session makes of statements prepared before,
# and what PgBouncer says to settings of a session.
_POOLED = asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError
_STARTUP_PARAMETER = "unsupported startup parameter"


def failure(error: Exception) -> CdcdError:
    """What an exception of the driver means, without a value of a row in it."""
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return Transient("PostgreSQL: another worker changed the table")
    before = error.__context__
    if isinstance(error, asyncpg.InterfaceError) and isinstance(before, _DRIVER_ERRORS):
        # Ending the transaction of a broken connection fails too, and hides what broke it.
        return failure(before)
    if isinstance(error, asyncpg.InternalClientError):
        # A backend that is terminated while its connection is idle leaves the driver's state
        # machine in the middle of nothing (https://github.com/MagicStack/asyncpg/issues/1069).
        return Transient("PostgreSQL: the connection broke")
    if isinstance(error, asyncpg.ClientConfigurationError):
        # The driver quotes the URL here, and the URL has the password.
        return ConfigurationError("PostgreSQL: [postgres] dsn is not a connection URL")
    if isinstance(error, asyncpg.PostgresError):
        return _reported(error)
    if isinstance(error, ssl.SSLError):
        return tls.refused(error, "PostgreSQL", "postgres")
    if isinstance(error, TimeoutError):
        return Transient("PostgreSQL: no answer in time")
    said = error.strerror if isinstance(error, OSError) else None
    return Transient(f"PostgreSQL: {said or error}")


def _reported(error: asyncpg.PostgresError) -> CdcdError:
    """What an error means that the server, or a pooler before it, has sent."""
    if isinstance(error, _POOLED) or _STARTUP_PARAMETER in str(error):
        return ConfigurationError(
            f"PostgreSQL: {error}",
            "if this is PgBouncer in transaction mode: set `transaction_pooling` in [postgres]",
        )
    kind, reason = meaning_of(error.sqlstate)
    condition = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()
    if kind is Kind.REJECTED:
        # Names of the schema only: the message and the details quote values.
        names = (getattr(error, name, None) for name in ("constraint_name", "column_name"))
        return Rejected(Refusal(reason, condition, error.sqlstate, *names))
    said = error.args[0] if error.args else condition
    hint = "see [postgres] in the settings" if kind is Kind.CONFIGURATION else ""
    return _ERRORS[kind](f"PostgreSQL: {said} (SQLSTATE {error.sqlstate})", hint)


@contextmanager
def ours() -> Iterator[None]:
    """Turn the driver's exceptions into ours."""
    try:
        yield
    except _DRIVER_ERRORS as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # Ending the transaction of a broken connection fails, and hides what ended the block.
            raise asyncio.CancelledError from None
        # "from None": a traceback with the driver's exception would show its details. OSError
        # holds TimeoutError and the errors of TLS.
        raise failure(error) from None


async def copy(connection: Connection, table: str, columns: list[str], rows: Iterable[Row]) -> None:
    """Binary COPY into a temporary table. Raises Rejected when a value does not fit its column."""
    try:
        await connection.copy_records_to_table(table, columns=columns, records=rows)
    except (TypeError, ValueError, OverflowError):
        # The codecs raise these, with the value in the message.
        raise Rejected(Refusal(UNSTORABLE, "a value that does not fit its column")) from None


@contextmanager
def rejections() -> Iterator[None]:
    """Turn what PostgreSQL refuses into Rejected. Every other exception of the driver passes as it
    is, for it ends the whole transaction.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        found = failure(error)
        if isinstance(found, Rejected):
            raise found from None
        raise


async def begin_parts(connection: Connection) -> None:
    """From here on the transaction is made of parts. Constraints no longer wait for the commit."""
    await connection.execute("SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT cdcd_part")


async def keep_part(connection: Connection) -> None:
    """End a part, and begin the next one."""
    # One round trip, and subtransactions do not pile up.
    await connection.execute("RELEASE SAVEPOINT cdcd_part; SAVEPOINT cdcd_part")


async def undo_part(connection: Connection) -> None:
    """Undo what was done since the part began, and begin it anew."""
    await connection.execute("ROLLBACK TO SAVEPOINT cdcd_part")


def _same(value: Any) -> Any:
    return value


async def _prepare(connection: Any) -> None:
    # In a transaction: behind PgBouncer the steps of one query could reach two sessions.
    async with connection.transaction():
        for name in _TUPLE_TYPES:
            await connection.set_type_codec(
                name, schema="pg_catalog", encoder=_same, decoder=_same, format="tuple"
            )


class Pool:
    """At most `pool_connections_max` connections, made when they are needed."""

    def __init__(
        self,
        settings: PostgresSettings,
        application_name: str,
        login: Callable[[], Login] | None = None,
    ) -> None:
        """`login` gives user and password where they change: connections of one before are made
        anew when they are used next.
        """
        self._settings = settings
        self._login = login
        self._login_number = 0
        self._application_name = application_name
        self._pool: asyncpg.Pool[Any] | None = None
        self._ahead = 0
        self._tls = tls.client(settings.tls, "postgres")
        limit_ms = str(int(settings.statement_timeout_seconds * 1000))
        self._session = {
            "statement_timeout": limit_ms,
            # A worker that stands still gives its locks back, soon after its partitions were given
            # to another one, which waits for them.
            "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_SECONDS * 1000),
            # Quoted identifiers mean what they say whatever the database's default is.
            "search_path": "pg_catalog, pg_temp",
        }

    @property
    def keeps_sessions(self) -> bool:
        """Whether a connection is one session; behind a pooler a transaction is all there is."""
        return not self._settings.transaction_pooling

    async def __aenter__(self) -> Self:
        settings = self._settings
        session = self._session if self.keeps_sessions else {}
        # Adding it again changes nothing.
        logging.getLogger("asyncio").addFilter(is_worth_a_line)
        with ours():
            self._pool = await asyncpg.create_pool(
                settings.dsn.get_secret_value(),
                min_size=0,
                max_size=settings.pool_connections_max,
                timeout=settings.connect_timeout_seconds,
                command_timeout=settings.statement_timeout_seconds + _ANSWER_SECONDS,
                init=_prepare,
                connect=self._connect,
                connection_class=Connection,
                statement_cache_size=STATEMENTS_MAX if self.keeps_sessions else 0,
                max_cached_statement_lifetime=0,
                max_inactive_connection_lifetime=IDLE_SECONDS,
                reset=_keep,
                server_settings={"application_name": self._application_name, **session},
            )
        return self

    async def _connect(self, *args: Any, **kwargs: Any) -> Any:
        """A connection, with what is in the settings or leased now before what the URL says."""
        settings = self._settings
        user, password = settings.username, settings.password
        given = {"user": user, "password": password.get_secret_value() if password else None}
        if self._login is not None:
            login = self._login()
            given = {"user": login.user, "password": login.password}
        more: dict[str, Any] = {k: v for k, v in given.items() if v}
        if self._tls is not None:
            more["ssl"] = self._tls.now()
        connect: Callable[..., Any] = asyncpg.connect
        try:
            return await connect(*args, **kwargs, **more)
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            if self._login is None:
                raise
            # It was revoked before its time; whoever keeps it takes another one.
            raise Transient(f"PostgreSQL: {error} (a login leased from Vault)") from None

    async def __aexit__(self, *_: object) -> None:
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(self._settings.connect_timeout_seconds):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection; errors of the driver leave the block as ours. Without sessions of its own
        it is in a transaction, whose end is the block's.
        """
        async with self._acquired() as connection:
            if self.keeps_sessions:
                yield connection
                return
            async with connection.transaction():
                connection.staging.clear()
                # One message: without arguments several statements go together.
                settings = (f"SET LOCAL {n} = {_constant(v)}" for n, v in self._session.items())
                await connection.execute("; ".join(settings))
                yield connection

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise RuntimeError("the pool is used outside of its `async with`")
        if self._login is not None and self._login().number != self._login_number:
            self._login_number = self._login().number
            await self._pool.expire_connections()
        with ours():
            async with self._pool.acquire() as found:
                try:
                    yield cast("Connection", found)
                except _BREAKS:
                    # The pool would hand it out again, in whatever state it is. One that was
                    # closed is no longer ours, and the driver refuses every call of it.
                    with suppress(asyncpg.InterfaceError):
                        found.terminate()
                    raise

    @contextmanager
    def ahead(self) -> Iterator[bool]:
        """Whether a transaction may begin that will wait for another one to end. Half of the
        connections are for those that wait for nobody: else all could wait for each other.
        """
        may = self.keeps_sessions and self._ahead < self._settings.pool_connections_max // 2
        self._ahead += may
        try:
            yield may
        finally:
            self._ahead -= may

    @asynccontextmanager
    async def transaction(self, *, patient: bool = False) -> AsyncIterator[Connection]:
        """A connection in a transaction of its own. A patient one holds no lock that a batch waits
        for, and may wait for its client as long as a statement may take.
        """
        async with self.connection() as connection, AsyncExitStack() as stack:
            if self.keeps_sessions:
                await stack.enter_async_context(connection.transaction())
            if patient:
                limit_ms = self._session["statement_timeout"]
                await connection.execute(
                    f"SET LOCAL idle_in_transaction_session_timeout = {limit_ms}"
                )
            yield connection

    async def end_frozen(self, seconds: float = IDLE_TRANSACTION_SECONDS) -> int:
        """End sessions of this application that PostgreSQL has waited for within a statement, for
        so long; gives how many there were.
        """
        async with self.transaction() as connection:
            found: int = await connection.fetchval(_END_FROZEN, self._application_name, seconds)
            return found

    async def ping(self) -> None:
        """Return when PostgreSQL answers."""
        async with self.transaction() as connection:
            await connection.fetchval("SELECT 1")


def _constant(value: str) -> str:
    """A setting's value; a list of schemas is no single constant."""
    return value if "," in value else f"'{value}'"


async def _keep(_: Any) -> None:
    """Staging tables live as long as their connection, so nothing is reset between two uses."""
