"""The door to the ScyllaDB driver, with its policy in `routing`.

Rows of catalog queries come as dicts of Python values; rows of log and base reads come as tuples of
the raw bytes of each column, so that nothing is lost or spent on the way to Avro. The driver works
on threads of its own; results cross to the event loop here and nowhere else.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    DriverException,
    InvalidRequest,
    OperationTimedOut,
    ProtocolVersion,
    RequestExecutionException,
    Unauthorized,
    UnresolvableContactPoints,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    ResponseFuture,
)
from cassandra.cluster import Session as DriverSession
from cassandra.connection import ConnectionException
from cassandra.cqltypes import BytesType
from cassandra.metadata import Murmur3Token
from cassandra.policies import ExponentialReconnectionPolicy
from cassandra.protocol import ErrorMessage, ProtocolHandler, SyntaxException
from cassandra.query import (
    BoundStatement,
    PreparedStatement,
    SimpleStatement,
    dict_factory,
    tuple_factory,
)

from cdcd.config.settings import ScyllaSettings
from cdcd.model.errors import CdcdError, ConfigurationError, Transient
from cdcd.ops import tls
from cdcd.source.routing import OwnersFirst, aim

RawRow = tuple[bytes | None, ...]

# What a query may fail with. Some of the server's errors, a ServerError for one, and of the
# connection's come without the driver's own base.
_FAILURES = (DriverException, NoHostAvailable, ErrorMessage, ConnectionException)

# How often a silent connection is asked whether it is still one, and for how long it may not
# answer. The driver's own half a minute each is a minute in which a half-open one takes every read.
HEARTBEAT_SECONDS = 5
HEARTBEAT_ANSWER_SECONDS = 10
# How long a node that was away is left alone at most; the driver's own is ten minutes.
RECONNECT_SECONDS_MAX = 10.0

# The execution profile of raw reads.
_RAW = "raw"


class StatementRefused(CdcdError):
    """The server does not take this statement: a table or column is gone, or a right is missing."""


def partition_token(serialized_key: bytes) -> int:
    """The Murmur3 token of a serialised partition key."""
    token: int = Murmur3Token.hash_fn(serialized_key)
    return token


def base_consistency(level: str) -> str:
    """The level to read a base table at, where logs are read at `level`. Never below a quorum: what
    one replica lacks in the log is found when it is read again, but a refresh is read once.
    """
    return {"ONE": "QUORUM", "LOCAL_ONE": "LOCAL_QUORUM"}.get(level, level)


class Page(list[RawRow]):
    """Rows as they came, and how many bytes that took."""

    size = 0


class _RawResult(ProtocolHandler.message_types_by_opcode[8]):  # type: ignore[misc]  # 8: RESULT
    """A result whose columns are all read as blobs."""

    column_metadata: Any
    parsed_rows: Any

    def recv_results_metadata(self, *args: Any) -> None:
        super().recv_results_metadata(*args)
        self.column_metadata = _as_blobs(self.column_metadata)

    def recv_results_rows(
        self, f: Any, version: Any, udts: Any, metadata: Any, policy: Any
    ) -> None:
        began = f.tell()
        super().recv_results_rows(f, version, udts, _as_blobs(metadata), policy)
        self.parsed_rows = Page(self.parsed_rows)
        self.parsed_rows.size = f.tell() - began


def _as_blobs(metadata: Any) -> Any:
    return [(*column[:3], BytesType) for column in metadata] if metadata else metadata


class _RawProtocol(ProtocolHandler):  # type: ignore[misc]
    message_types_by_opcode: ClassVar = {
        **ProtocolHandler.message_types_by_opcode,
        _RawResult.opcode: _RawResult,
    }


@dataclass(frozen=True, slots=True)
class Statement:
    """A prepared read."""

    text: str
    prepared: PreparedStatement


class Session:
    """An open connection to the cluster."""

    def __init__(self, settings: ScyllaSettings) -> None:
        self._settings = settings
        self._policy: OwnersFirst
        self._cluster: Cluster | None = None
        self._rows: DriverSession
        self._raw: DriverSession

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: ScyllaSettings) -> AsyncIterator[Self]:
        """Connect, and disconnect at the end. Raises Transient or ConfigurationError."""
        session = cls(settings)
        try:
            await session.connect()
            yield session
        finally:
            await session.close()

    async def connect(self) -> None:
        """Connect; may be called again after it failed."""
        await self.close()
        await asyncio.to_thread(self._connect)

    async def close(self) -> None:
        """Disconnect, if connected."""
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.shutdown)
            self._cluster = None

    def _connect(self) -> None:
        try:
            self._policy = nodes_to_ask(self._settings)
            self._cluster = _cluster(self._settings, self._policy)
            self._rows = self._cluster.connect()
            self._raw = self._cluster.connect()
        except (*_FAILURES, OSError) as error:
            raise failure(error, "connecting") from error
        self._raw.client_protocol_handler = _RawProtocol

    async def query(
        self, cql: str, params: Sequence[object] = (), *, quorum: bool = False
    ) -> list[dict[str, Any]]:
        """All rows of a small query, as dicts; from one replica, or from a quorum."""
        level = ConsistencyLevel.QUORUM if quorum else ConsistencyLevel.ONE
        statement = SimpleStatement(cql, consistency_level=level, is_idempotent=True)
        future = self._rows.execute_async(statement, tuple(params) or None)
        rows: list[dict[str, Any]] = []
        async for page in _pages(future, cql):
            rows += page
        return rows

    async def write(self, cql: str, rows: Sequence[Sequence[object]]) -> list[int]:
        """Run a write for each row, all at once; gives the numbers of the rows whose write failed,
        each of which the cluster may have done all the same. Raises Transient or StatementRefused.
        """
        return await asyncio.to_thread(self._write, cql, rows)

    def _write(self, cql: str, rows: Sequence[Sequence[object]]) -> list[int]:
        try:
            statement = self._rows.prepare(cql)
        except _FAILURES as error:
            raise failure(error, f"preparing {cql}") from error
        statement.consistency_level = ConsistencyLevel.name_to_value[self._settings.consistency]
        futures = [self._rows.execute_async(statement, row) for row in rows]
        failed = []
        for number, future in enumerate(futures):
            try:
                future.result()
            except _FAILURES:
                failed.append(number)
        return failed

    async def prepare(self, cql: str, page_rows: int, *, of_base: bool = False) -> Statement:
        """Prepare a read for `read`: of a log, or of a base table."""
        try:
            statement = await asyncio.to_thread(self._raw.prepare, cql)
        except _FAILURES as error:
            raise failure(error, f"preparing {cql}") from error
        name = self._settings.consistency
        level = base_consistency(name) if of_base else name
        statement.consistency_level = ConsistencyLevel.name_to_value[level]
        statement.fetch_size = page_rows
        statement.is_idempotent = True
        return Statement(cql, statement)

    @property
    def ring(self) -> object:
        """What changes when tokens get other owners."""
        return self._policy.ring

    def owner(self, token: int) -> object:
        """The node that a read of this token is sent to; None where it is not known."""
        return self._policy.owner(token)

    async def read_raw(
        self, statement: Statement, raw: Sequence[bytes]
    ) -> AsyncIterator[list[RawRow]]:
        """The pages of a prepared read whose parameters are serialised already."""
        bound = BoundStatement(statement.prepared)
        bound.values = list(raw)
        future = self._raw.execute_async(bound, execution_profile=_RAW)
        async for page in _pages(future, statement.text):
            yield page

    async def read(
        self,
        statement: Statement,
        params: Mapping[str, object] | Sequence[object],
        token: int | None = None,
        page_rows: int | None = None,
    ) -> AsyncIterator[Page]:
        """The pages of a prepared read, as raw bytes, by the token's owner if one is given; of at
        most `page_rows` rows, if that is given.
        """
        bound = statement.prepared.bind(params)
        if page_rows is not None:
            bound.fetch_size = page_rows
        if token is not None:
            aim(bound, token)
        future = self._raw.execute_async(bound, execution_profile=_RAW)
        async for page in _pages(future, statement.text):
            yield cast("Page", page)


def nodes_to_ask(settings: ScyllaSettings) -> OwnersFirst:
    """The nodes of one data centre, in turn, but for reads of what is known to be at one."""
    # Without a name the driver takes the data centre of the first node that it reaches.
    return OwnersFirst(settings.local_datacenter or "")


def _cluster(settings: ScyllaSettings, policy: OwnersFirst) -> Cluster:
    # Hosts that are away are the caller's to report; the driver's own words would only repeat it.
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)
    auth = None
    if settings.username is not None:
        password = settings.password.get_secret_value() if settings.password else ""
        auth = PlainTextAuthProvider(settings.username, password)

    def profile(row_factory: Any) -> ExecutionProfile:
        return ExecutionProfile(
            load_balancing_policy=policy,
            request_timeout=settings.request_timeout_seconds,
            row_factory=row_factory,
        )

    return Cluster(
        contact_points=list(settings.hosts),
        port=settings.port,
        auth_provider=auth,
        execution_profiles={
            EXEC_PROFILE_DEFAULT: profile(dict_factory),
            _RAW: profile(tuple_factory),
        },
        protocol_version=ProtocolVersion.V4,
        ssl_context=tls.client_context(settings.tls, "scylla") if settings.tls.enabled else None,
        connect_timeout=settings.connect_timeout_seconds,
        control_connection_timeout=settings.connect_timeout_seconds,
        idle_heartbeat_interval=HEARTBEAT_SECONDS,
        idle_heartbeat_timeout=HEARTBEAT_ANSWER_SECONDS,
        reconnection_policy=ExponentialReconnectionPolicy(1.0, RECONNECT_SECONDS_MAX),
        # The catalog is read by queries of our own; the driver's copy would cost a scan per DDL.
        schema_metadata_enabled=False,
        token_metadata_enabled=True,
    )


async def _pages(future: ResponseFuture, cql: str) -> AsyncIterator[list[Any]]:
    """The pages of a running query, carried over from the driver's thread."""
    loop = asyncio.get_running_loop()
    while True:
        arrived: asyncio.Future[list[Any]] = loop.create_future()
        future.add_callbacks(
            lambda rows, to=arrived: loop.call_soon_threadsafe(_resolve, to, rows, None),
            lambda error, to=arrived: loop.call_soon_threadsafe(_resolve, to, None, error),
        )
        try:
            yield await arrived
        except _FAILURES as error:
            raise failure(error, f"running {cql}") from error
        if not future.has_more_pages:
            return
        future.clear_callbacks()
        future.start_fetching_next_page()


def _resolve(
    arrived: "asyncio.Future[list[Any]]", rows: list[Any] | None, error: Exception | None
) -> None:
    if arrived.done():  # the reader was cancelled
        return
    if error is not None:
        arrived.set_exception(error)
    else:
        arrived.set_result([] if rows is None else rows)


def failure(error: Exception, doing: str) -> CdcdError:
    """What a driver's exception means; `doing` is what was tried, in the words of a sentence."""
    causes = list(error.errors.values()) if isinstance(error, NoHostAvailable) else [error]
    if any(isinstance(c, AuthenticationFailed) for c in causes):
        return ConfigurationError(
            "ScyllaDB: the user or password is wrong", "see username and password in [scylla]"
        )
    # The driver wraps the errors of some handshakes in others.
    said = [str(cause) for cause in causes]
    if any("EOF occurred in violation of protocol" in s for s in said):
        # So ends a handshake with a server that refuses, and one with a server that goes away.
        hint = "does it want a certificate? see cert_file in [scylla.tls]"
        return Transient(f"ScyllaDB: {doing}: the server has ended the handshake", hint)
    refusals = [s for s in said if "[SSL: " in s]
    if refusals and len(refusals) == len(causes):
        return tls.refusal(refusals[0], "ScyllaDB", "scylla")
    if isinstance(error, UnresolvableContactPoints):
        what = f"ScyllaDB: {doing}: none of the hosts' names is known"
        return Transient(what, "is hosts in [scylla] right, and does the name service answer?")
    if isinstance(error, Unauthorized):
        return ConfigurationError(f"ScyllaDB: {doing}: {error}", "grant the user SELECT")
    if isinstance(error, InvalidRequest | SyntaxException):
        return StatementRefused(f"ScyllaDB: {doing}: {error}")
    if isinstance(error, OperationTimedOut | RequestExecutionException):
        return Transient(f"ScyllaDB: {doing}: {type(error).__name__}")
    first = str(causes[0]) if causes else str(error)
    return Transient(f"ScyllaDB: {doing}: {first}", "is it up, and are hosts and port right?")
