"""Which streams exist, and when that changes: generations of vnodes and of tablets.

With vnodes a generation is the cluster's; with tablets it is one table's. Both become the same
value, so nothing behind this module tells them apart. ScyllaDB's manual, "CDC stream changes" and
"Querying CDC streams".
"""

import struct
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from cdcd.model.errors import Transient
from cdcd.model.position import RING_MAX, RING_MIN, Generation, StreamRange, TokenRange
from cdcd.model.table import TableSpec
from cdcd.source.catalog import SourceTable
from cdcd.source.lanes import unwrapped
from cdcd.source.session import Session

PEERS = "SELECT peer FROM system.peers"
VNODE_TIMES = (
    "SELECT time FROM system_distributed.cdc_generation_timestamps WHERE key = 'timestamps'"
)
VNODE_STREAMS = (
    "SELECT range_end, streams FROM system_distributed.cdc_streams_descriptions_v2 WHERE time = %s"
)
TABLET_TIMES = (
    "SELECT timestamp FROM system.cdc_timestamps WHERE keyspace_name = %s AND table_name = %s"
)
ALL_TABLET_TIMES = "SELECT keyspace_name, table_name, timestamp FROM system.cdc_timestamps"
TABLET_STREAMS = (
    "SELECT stream_id FROM system.cdc_streams"
    " WHERE keyspace_name = %s AND table_name = %s AND timestamp = %s AND stream_state = 0"
)

# Past so many tables with tablets all lists of the cluster are read at once, whoever they are of.
SINGLE_LISTS_MAX = 10

# What stands for a table's name where streams are the cluster's.
_VNODES = ""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Generations:
    """Keeps what was read: descriptions never change, and a generation that one node has shown is
    not forgotten when a node that lags behind is asked next.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[tuple[str, int], Generation] = {}
        self._starts: dict[str, set[int]] = {}

    async def of(self, table: SourceTable) -> tuple[Generation, ...]:
        """A table's generations in order of their start, by a list that is read anew."""
        await self.look([table])
        return await self.seen(table)

    async def of_vnodes(self) -> tuple[Generation, ...]:
        """The cluster's generations in order of their start, by a list that is read anew."""
        await self._look_at_vnodes()
        return await self._seen_of_vnodes()

    async def look(self, tables: Collection[SourceTable]) -> None:
        """Read the lists of these tables anew: that of vnodes once, those of tablets one by one or,
        where they are many, all that there are at once.
        """
        of_tablets = [table.spec for table in tables if table.tablets]
        if len(of_tablets) < len(tables):
            await self._look_at_vnodes()
        if len(of_tablets) > SINGLE_LISTS_MAX:
            for row in await self._session.query(ALL_TABLET_TIMES):
                self._see(f"{row['keyspace_name']}.{row['table_name']}", row["timestamp"])
        else:
            for spec in of_tablets:
                await self._look_at_tablets(spec)

    async def seen(self, table: SourceTable) -> tuple[Generation, ...]:
        """A table's generations in order of their start, as far as their list was read."""
        if not table.tablets:
            return await self._seen_of_vnodes()
        spec = table.spec
        starts = sorted(self._starts.get(spec.full_name, ()))
        return tuple([await self._tablets(spec.keyspace, spec.name, start) for start in starts])

    async def _look_at_vnodes(self) -> None:
        for row in await self._session.query(VNODE_TIMES, quorum=await self._are_several()):
            self._see(_VNODES, row["time"])

    async def _look_at_tablets(self, spec: TableSpec) -> None:
        for row in await self._session.query(TABLET_TIMES, (spec.keyspace, spec.name)):
            self._see(spec.full_name, row["timestamp"])

    async def _seen_of_vnodes(self) -> tuple[Generation, ...]:
        return tuple([await self._vnode(start) for start in sorted(self._starts.get(_VNODES, ()))])

    def _see(self, name: str, start: datetime) -> None:
        self._starts.setdefault(name, set()).add(_to_ms(start))

    async def _are_several(self) -> bool:
        """Whether there are several nodes, which read and write these tables at QUORUM."""
        return bool(await self._session.query(PEERS))

    async def _vnode(self, start_ms: int) -> Generation:
        known = self._known.get((_VNODES, start_ms))
        if known is None:
            at, quorum = (_from_ms(start_ms),), await self._are_several()
            rows = await self._session.query(VNODE_STREAMS, at, quorum=quorum)
            if not rows:
                raise Transient("ScyllaDB: a new generation has no streams yet")
            known = self._known[_VNODES, start_ms] = Generation(start_ms, vnode_ranges(rows))
        return known

    async def _tablets(self, keyspace: str, table: str, start_ms: int) -> Generation:
        name = f"{keyspace}.{table}"
        known = self._known.get((name, start_ms))
        if known is None:
            at = (keyspace, table, _from_ms(start_ms))
            rows = await self._session.query(TABLET_STREAMS, at)
            if not rows:
                raise Transient(f"ScyllaDB: a new generation of {name} has no streams yet")
            ranges = tablet_ranges(row["stream_id"] for row in rows)
            known = self._known[name, start_ms] = Generation(start_ms, ranges)
        return known


def vnode_ranges(rows: Iterable[Mapping[str, Any]]) -> tuple[StreamRange, ...]:
    """The ranges of a description; each row holds the streams of the range up to `range_end`."""
    ordered = sorted(rows, key=lambda row: int(row["range_end"]))
    ends = [int(row["range_end"]) for row in ordered]
    starts = [ends[-1], *ends[:-1]]
    return tuple(
        part
        for start, end, row in zip(starts, ends, ordered, strict=True)
        for part in unwrapped(start, end, (bytes(s) for s in row["streams"]))
    )


def tablet_ranges(streams: Iterable[bytes]) -> tuple[StreamRange, ...]:
    """The ranges of a tablets table: each stream's token is the last one of its tablet."""
    ordered = sorted((stream_token(bytes(s)), bytes(s)) for s in streams)
    starts = [RING_MIN - 1, *(token for token, _ in ordered[:-1])]
    ends = [*(token for token, _ in ordered[:-1]), RING_MAX]
    return tuple(
        StreamRange(TokenRange(start, end), (stream,))
        for start, end, (_, stream) in zip(starts, ends, ordered, strict=True)
    )


def stream_token(stream: bytes) -> int:
    """The token in a stream's id: its first 8 bytes, signed."""
    token: int = struct.unpack_from(">q", stream)[0]
    return token


def _to_ms(moment: datetime) -> int:
    # Whole milliseconds by integers: a float would be off by one now and then.
    delta = moment.replace(tzinfo=UTC) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def _from_ms(ms: int) -> datetime:
    seconds, rest = divmod(ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)
