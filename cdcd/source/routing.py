"""Which node a read is sent to: one that has what is read, so that none has to pass it on.

The driver's token-aware policy does not do here. It hashes what a statement names by Murmur3, but
CDC logs have a partitioner of their own, by which a stream's token is in its id, and a read of the
log names many streams. And it asks the schemas of all keyspaces for replicas, which cdcd does not
have the driver fetch.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from cassandra.metadata import Metadata, Murmur3Token
from cassandra.policies import DCAwareRoundRobinPolicy, HostDistance
from cassandra.pool import Host
from cassandra.query import Statement

# The attribute of a statement that says whom it is for.
_AIM = "cdcd_token"


def aim(statement: Statement, token: int) -> None:
    """Have a statement sent to the owner of a token."""
    setattr(statement, _AIM, token)


class OwnersFirst(DCAwareRoundRobinPolicy):  # type: ignore[misc]
    """The owner of what is read comes first, then the data centre's other nodes in turn.

    The owner of a token is the first node of the data centre on the ring from the token on: with
    vnodes one of its replicas, whatever the number of copies is. A keyspace with tablets divides
    tokens in another way; there it is a node like any other.
    """

    def __init__(self, datacenter: str) -> None:
        super().__init__(datacenter)
        self._metadata: Metadata | None = None

    def populate(self, cluster: Any, hosts: Any) -> None:
        """Begin with a cluster's nodes."""
        self._metadata = cluster.metadata
        super().populate(cluster, hosts)

    @property
    def ring(self) -> object:
        """What changes when tokens get other owners."""
        return self._metadata and self._metadata.token_map

    def owner(self, token: int, *, up: bool = False) -> Host | None:
        """The owner of a token, or the first one that is up; None where nothing is known."""
        known = self._metadata and self._metadata.token_map
        if not known or known.token_class is not Murmur3Token:
            return None
        ring = known.ring
        first = bisect_left(ring, Murmur3Token(token))
        for at in (*range(first, len(ring)), *range(first)):
            host: Host = known.token_to_host_owner[ring[at]]
            if self.distance(host) is HostDistance.LOCAL and (host.is_up or not up):
                return host
        return None

    def make_query_plan(
        self, working_keyspace: str | None = None, query: Statement | None = None
    ) -> Iterator[Host]:
        """The nodes to try, one after the other."""
        token = _token_of(query)
        owner = None if token is None else self.owner(token, up=True)
        if owner is not None:
            yield owner
        for host in super().make_query_plan(working_keyspace, query):
            if host is not owner:
                yield host


def _token_of(query: Statement | None) -> int | None:
    """The token that a statement is for, if it is for one."""
    aimed: int | None = getattr(query, _AIM, None)
    if aimed is not None or query is None or query.routing_key is None:
        return aimed
    # All of a partition key, in a prepared read of a base table.
    token: int = Murmur3Token.hash_fn(query.routing_key)
    return token
