"""Streams: how their ids are made up, and which of them takes a partition's changes."""

import pytest
from cassandra.cluster import Session
from cassandra.metadata import Murmur3Token

from tests.contract.case import TABLES
from tests.contract.conftest import Keyspace
from tests.contract.generations import (
    Generation,
    in_force,
    tablet_generations,
    vnode_generations,
)
from tests.contract.log import StreamId, read, stream_id

pytestmark = pytest.mark.contract

PARTITIONS = 60


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("7fffffffffffffff55ebbda510000001", StreamId(2**63 - 1, 0, 1)),
        ("ced00000000000009663c8dc500005a1", StreamId(-0x3130000000000000, 90, 1)),
    ],
)
def test_layout_of_known_stream_ids(raw: str, expected: StreamId) -> None:
    """The published stream ids decompose into token, index and version as documented."""
    assert stream_id(bytes.fromhex(raw)) == expected


def generation_of(keyspace: Keyspace, table: str) -> Generation:
    """The generation in which `ks.table` is written now."""
    if keyspace.kind == "tablets":
        return in_force(tablet_generations(keyspace.session, table))
    return in_force(vnode_generations(keyspace.session))


def written_streams(keyspace: Keyspace, table: str) -> dict[int, bytes]:
    """Writes to many partitions; the stream of each by the partition's token."""
    for pk in range(PARTITIONS):
        keyspace.execute("INSERT INTO $t (pk, ck) VALUES ($pk, 1)", t=table, pk=pk)
    tokens = dict(keyspace.session.execute(f"SELECT pk, token(pk) FROM {table}"))
    assert len(tokens) == PARTITIONS
    found = {tokens[e.columns["pk"]]: e.stream for e in read(keyspace.session, table)}
    for pk, token in tokens.items():
        assert token == Murmur3Token.hash_fn(pk.to_bytes(4, "big", signed=True))
    return found


def test_every_stream_has_sixteen_bytes_of_version_one(shared: Keyspace) -> None:
    """All listed streams are of the one layout that readers know, and no two are equal."""
    streams = generation_of(shared, shared.table("plain")).streams
    assert {len(s) for s in streams} == {16}
    assert {stream_id(s).version for s in streams} == {1}
    assert len(set(streams)) == len(streams) > 1


def test_changes_go_to_listed_streams(shared: Keyspace) -> None:
    """Log rows are only in streams of the generation in force, and spread over them."""
    table = shared.create(TABLES["plain"].create)
    streams = set(written_streams(shared, table).values())
    assert streams <= set(generation_of(shared, table).streams)
    assert len(streams) > 1


def test_stream_of_a_partition_covers_its_token(shared: Keyspace) -> None:
    """Vnodes: a stream of the range that holds the token. tablets: the first not below it."""
    table = shared.create(TABLES["plain"].create)
    found = written_streams(shared, table)
    generation = generation_of(shared, table)
    for token, stream in found.items():
        assert stream in generation.covering(token), f"token {token} in stream {stream.hex()}"


def test_all_changes_of_a_partition_go_to_one_stream(shared: Keyspace, new_key: int) -> None:
    """Inserts, static writes, deletes and conditional writes share the stream."""
    table = shared.table("static")
    statements = (
        "INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1)",
        "UPDATE $t SET s = 1 WHERE pk = $pk",
        "DELETE FROM $t WHERE pk = $pk AND ck > 5",
        "DELETE FROM $t WHERE pk = $pk",
        "INSERT INTO $t (pk, ck) VALUES ($pk, 3) IF NOT EXISTS",
    )
    for statement in statements:
        shared.execute(statement, t=table, pk=new_key)
    entries = read(shared.session, table, {"pk": new_key})
    assert len({e.stream for e in entries}) == 1
    assert len({e.time for e in entries}) == len(statements)


def test_streams_of_a_vnode_share_its_index_and_range(session: Session) -> None:
    """Vnodes: the streams of one range lie in it and share one index; no two ranges share it."""
    ranges = in_force(vnode_generations(session)).ranges
    ends = [end for end, _ in ranges]
    for (end, streams), before in zip(ranges, [ends[-1], *ends[:-1]], strict=True):
        ids = [stream_id(s) for s in streams]
        assert len({i.index for i in ids}) == 1
        # Tokens go round: the first range begins after the last.
        inside = [
            before < i.token <= end if before < end else not end < i.token <= before for i in ids
        ]
        assert all(inside), f"{ids} not in ({before}, {end}]"
    indexes = [stream_id(streams[0]).index for _, streams in ranges]
    assert sorted(indexes) == list(range(len(ranges)))


def test_stream_of_a_tablet_has_its_last_token_and_no_index(tablets_keyspace: Keyspace) -> None:
    """Tablets: index 0 throughout; the streams' tokens rise up to the greatest token."""
    table = tablets_keyspace.table("plain")
    (generation,) = tablet_generations(tablets_keyspace.session, table)
    ids = [stream_id(s) for s in generation.streams]
    assert {i.index for i in ids} == {0}
    assert [i.token for i in ids] == sorted({i.token for i in ids})
    assert ids[-1].token == 2**63 - 1
