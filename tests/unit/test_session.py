"""What the driver's failures become, without a server that fails."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from cassandra import (
    AuthenticationFailed,
    InvalidRequest,
    OperationTimedOut,
    ReadFailure,
    ReadTimeout,
    Unauthorized,
    Unavailable,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown, DefaultEndPoint
from cassandra.metadata import Murmur3Token, TokenMap
from cassandra.policies import SimpleConvictionPolicy
from cassandra.pool import Host
from cassandra.protocol import ServerError, SyntaxException, TruncateError
from cassandra.query import SimpleStatement

from cdcd.config.settings import ScyllaSettings
from cdcd.model.errors import CdcdError, ConfigurationError, Transient
from cdcd.source.routing import OwnersFirst, aim
from cdcd.source.scan import chunks_by
from cdcd.source.session import (
    StatementRefused,
    _pages,
    base_consistency,
    failure,
    nodes_to_ask,
    partition_token,
)


class FailedQuery:
    """A query of the driver that has failed already."""

    has_more_pages = False

    def __init__(self, error: Exception) -> None:
        self.error = error

    def add_callbacks(self, _: Callable[..., Any], errback: Callable[..., Any]) -> None:
        """Tell the failure at once, as the driver does for a query that has ended."""
        errback(self.error)


def all_hosts(error: Exception) -> NoHostAvailable:
    """The same failure from the only host."""
    return NoHostAvailable("", {"127.0.0.1": error})


FAILURES: list[tuple[Exception, type[CdcdError]]] = [
    (InvalidRequest("unconfigured table"), StatementRefused),
    (SyntaxException(0x2000, "line 1", None), StatementRefused),
    (Unauthorized("no SELECT"), ConfigurationError),
    (all_hosts(AuthenticationFailed("bad credentials")), ConfigurationError),
    (all_hosts(ConnectionRefusedError("refused")), Transient),
    (all_hosts(OperationTimedOut()), Transient),
    (OperationTimedOut(), Transient),
    (Unavailable("not enough replicas"), Transient),
    (ReadTimeout("slow"), Transient),
    (ReadFailure("broken"), Transient),
    (ServerError(0x0000, "bad alloc", None), Transient),
    (TruncateError(0x1003, "truncating", None), Transient),
    (ConnectionShutdown("closed"), Transient),
]


@pytest.mark.parametrize(("error", "kind"), FAILURES, ids=lambda v: getattr(v, "__name__", repr(v)))
def test_what_a_failure_means(error: Exception, kind: type[CdcdError]) -> None:
    """Each of the driver's failures is one of our kinds and says what was tried."""
    found = failure(error, "reading the log")
    assert type(found) is kind
    assert "ScyllaDB" in found.message


@pytest.mark.parametrize(("error", "kind"), FAILURES, ids=lambda v: getattr(v, "__name__", repr(v)))
async def test_no_failure_of_a_query_passes_as_it_is(
    error: Exception, kind: type[CdcdError]
) -> None:
    """Whatever a query fails with reaches the caller as one of our kinds.

    The driver hands on some of the server's errors, a ServerError for one, without its own base.
    """
    with pytest.raises(kind):
        _ = [page async for page in _pages(FailedQuery(error), "SELECT 1")]


def test_a_password_is_never_in_a_message() -> None:
    """The message about a wrong password has nothing of the server's answer in it."""
    found = failure(all_hosts(AuthenticationFailed("secret")), "connecting")
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("level", "base"),
    [
        ("ONE", "QUORUM"),
        ("LOCAL_ONE", "LOCAL_QUORUM"),
        ("LOCAL_QUORUM", "LOCAL_QUORUM"),
        ("QUORUM", "QUORUM"),
        ("ALL", "ALL"),
    ],
)
def test_a_base_is_never_read_below_a_quorum(level: str, base: str) -> None:
    """The level of base reads is the log's, or the quorum of the same replicas."""
    assert base_consistency(level) == base


@pytest.mark.parametrize(
    ("named", "expected"),
    [(None, {"10.0.1.1", "10.0.1.2"}), ("west", {"10.0.2.1", "10.0.2.2"})],
)
def test_one_data_centre_is_asked(named: str | None, expected: set[str]) -> None:
    """Queries go to the nodes of the data centre that is named, or else of the first node that is
    reached.
    """
    policy = nodes_to_ask(ScyllaSettings(local_datacenter=named))
    addresses = [f"10.0.{centre}.{number}" for number in (1, 2) for centre in (1, 2)]
    hosts = [Host(DefaultEndPoint(a), SimpleConvictionPolicy, host_id=uuid4()) for a in addresses]
    policy.populate(SimpleNamespace(metadata=None), hosts)
    # As the driver does when it has connected: what it knows of the node itself comes first.
    for host in hosts:
        policy.on_down(host)
        host.set_location_info({"1": "east", "2": "west"}[host.address.split(".")[2]], "rack")
        policy.on_up(host)
    for _ in addresses:
        assert {host.address for host in policy.make_query_plan()} == expected


def _nodes() -> tuple[OwnersFirst, list[Host]]:
    """Three nodes of which the second is elsewhere; each owns the tokens up to its hundred."""
    policy = nodes_to_ask(ScyllaSettings(local_datacenter="here"))
    hosts = []
    for number, centre in enumerate(("here", "away", "here"), 1):
        host = Host(DefaultEndPoint(f"10.0.0.{number}"), SimpleConvictionPolicy, host_id=uuid4())
        host.set_location_info(centre, "rack")
        host.set_up()
        hosts.append(host)
    tokens = [Murmur3Token(100 * number) for number in (1, 2, 3)]
    owners = dict(zip(tokens, hosts, strict=True))
    known = SimpleNamespace(token_map=TokenMap(Murmur3Token, owners, tokens, None))
    policy.populate(SimpleNamespace(metadata=known), hosts)
    return policy, hosts


@pytest.mark.parametrize(
    ("token", "owner"), [(-5, 0), (100, 0), (101, 2), (200, 2), (300, 2), (301, 0)]
)
def test_a_token_belongs_to_the_next_node_of_the_data_centre(token: int, owner: int) -> None:
    """The ring goes on at its beginning, and passes over other data centres."""
    policy, hosts = _nodes()
    assert policy.owner(token) is hosts[owner]


def test_a_read_goes_to_the_owner_first() -> None:
    """Time after time, while reads that say nothing go to each in turn."""
    policy, hosts = _nodes()
    read = SimpleStatement("SELECT")
    aim(read, 150)
    assert [list(policy.make_query_plan(None, read)) for _ in range(4)] == [
        [hosts[2], hosts[0]] for _ in range(4)
    ]
    plain = [next(iter(policy.make_query_plan(None, SimpleStatement("SELECT")))) for _ in range(4)]
    assert set(plain) == {hosts[0], hosts[2]}


def test_a_read_passes_over_an_owner_that_is_down() -> None:
    """The next node has a copy, or passes the read on."""
    policy, hosts = _nodes()
    hosts[2].set_down()
    read = SimpleStatement("SELECT")
    aim(read, 150)
    assert next(iter(policy.make_query_plan(None, read))) is hosts[0]
    assert policy.owner(150) is hosts[2]


def test_a_partition_is_read_from_its_owner() -> None:
    """A statement that names a partition needs no aim."""
    policy, _ = _nodes()
    key = (7).to_bytes(4, "big")
    read = SimpleStatement("SELECT", routing_key=key)
    first = next(iter(policy.make_query_plan(None, read)))
    assert first is policy.owner(partition_token(key))


def test_without_a_ring_nodes_take_turns() -> None:
    """A cluster whose ring is not known, or has another partitioner, is asked all the same."""
    policy, hosts = _nodes()
    read = SimpleStatement("SELECT")
    aim(read, 150)
    policy.populate(SimpleNamespace(metadata=SimpleNamespace(token_map=None)), hosts)
    assert policy.owner(150) is None
    assert set(policy.make_query_plan(None, read)) == {hosts[0], hosts[2]}


def test_streams_are_read_owner_by_owner() -> None:
    """No query names streams of two owners, or more than it may."""
    streams = [token.to_bytes(8, "big") + bytes([n]) for n, token in enumerate((1, 2, 3, 5, 7, 4))]
    assert chunks_by(lambda token: token % 2, streams, 3) == [
        [streams[0], streams[2], streams[3]],
        [streams[4]],
        [streams[1], streams[5]],
    ]
