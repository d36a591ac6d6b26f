"""The target's side of a comparison: keys and digests by block range, and single rows by key."""

# ruff: noqa: S608  making SQL text is what this module is for; every name goes through `quoted`

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from cdcd.model.cqlvalue import decoder
from cdcd.model.typemap import UnstorableValue
from cdcd.reconcile.digest import Key, Raw
from cdcd.reconcile.part import Part
from cdcd.sink.pool import Pool
from cdcd.sink.statements import AT, arrays, matches
from cdcd.sink.target import DELETED, quoted

# Blocks of 8 KiB that one statement reads. Each is a short transaction, so that a comparison of
# hours does not keep PostgreSQL from cleaning up.
BLOCKS = 1024
_FETCH_ROWS = 5000
_KEYS_AT_ONCE = 1000
# Before this version a range of blocks is a filter, for which each statement reads everything.
_RANGES_SINCE = 140_000

_SIZE = """
SELECT current_setting('server_version_num')::integer AS version,
       greatest(
           pg_relation_size($1::text::regclass),
           (SELECT max(pg_relation_size(relid)) FROM pg_partition_tree($1::text::regclass))
       ) / current_setting('block_size')::bigint AS blocks,
       (SELECT sum(greatest(reltuples, 0))::bigint FROM pg_class
        WHERE oid = $1::text::regclass
           OR oid IN (SELECT relid FROM pg_partition_tree($1::text::regclass))) AS rows
"""


class Size(NamedTuple):
    """How big a target is, by PostgreSQL's own estimate, and the ranges of blocks to read it in."""

    rows: int
    chunks: list[tuple[int, int]]


class TargetSide:
    """Reads a target. Raises Transient, TargetBroken and ConfigurationError."""

    def __init__(self, pool: Pool, part: Part) -> None:
        self._pool = pool
        form, target = part.form, part.target
        self._form = form
        self._key = len(form.key)
        names = [f"t.{quoted(c.name)}" for c in (*form.key, *form.columns)]
        keys, values = form.sql_bytes(names)[: self._key], form.sql_bytes(names)[self._key :]
        digest = form.sql_digest(names)
        source = arrays([*target.key_columns, (AT, "integer")])
        # A row that was deleted and stayed is none.
        living = f" AND NOT t.{quoted(DELETED)}" if target.soft_delete else ""
        joined = f"FROM {target.quoted} AS t JOIN {source} AS s ON {matches(target.key)}{living}"
        at = f"s.{quoted(AT)}"
        self._quoted = target.quoted
        self._by_key = f"SELECT {at}, {digest} {joined}"
        self._values_by_key = f"SELECT {', '.join([at, *values])} {joined}"
        blocks = f"FROM {target.quoted} AS t WHERE t.ctid >= $1 AND t.ctid < $2{living}"
        self._scan = f"SELECT {', '.join([*keys, digest])} {blocks}"
        partition = " AND ".join(
            c.same(f"t.{quoted(c.name)}", f"${n}::{c.kind}")
            for n, c in enumerate(target.key[: part.partition_size], 1)
        )
        self._partition = (
            f"SELECT {', '.join(keys)} FROM {target.quoted} AS t WHERE {partition}{living}"
        )
        self._convert = [(decoder(c.source.type), c.convert) for c in form.key]

    async def size(self) -> Size:
        """How big the target is."""
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(_SIZE, self._quoted)
        assert row is not None  # noqa: S101  a select without FROM has one row
        blocks = int(row["blocks"] or 0)
        step = BLOCKS if row["version"] >= _RANGES_SINCE else max(blocks, 1)
        return Size(int(row["rows"] or 0), [(at, at + step) for at in range(0, blocks + 1, step)])

    async def scan(self, chunk: tuple[int, int]) -> AsyncIterator[Sequence[Any]]:
        """Pages of records: the key's columns and the digest."""
        start, end = chunk
        async with self._pool.transaction(patient=True) as connection:
            cursor = await connection.cursor(self._scan, (start, 0), (end, 0))
            while page := await cursor.fetch(_FETCH_ROWS):
                yield page

    async def read(self, cql_keys: Sequence[Key]) -> list[bytes | None]:
        """Digests of rows by the source's keys; None where there is none."""
        found: list[bytes | None] = [None] * len(cql_keys)
        for row in await self._fetch(self._by_key, cql_keys):
            found[row[0]] = row[1]
        return found

    async def read_values(self, cql_keys: Sequence[Key]) -> list[tuple[Raw, ...] | None]:
        """The bytes of each column of rows by the source's keys."""
        found: list[tuple[Raw, ...] | None] = [None] * len(cql_keys)
        for row in await self._fetch(self._values_by_key, cql_keys):
            found[row[0]] = tuple(row)[1:]
        return found

    async def partition(self, cql_partition: Key) -> list[Key]:
        """The keys of all rows of a partition."""
        parameters = self._parameters(cql_partition)
        if parameters is None:
            return []
        async with self._pool.connection() as connection:
            return [tuple(row) for row in await connection.fetch(self._partition, *parameters)]

    async def _fetch(self, text: str, cql_keys: Sequence[Key]) -> list[Any]:
        rows = []
        for at, key in enumerate(cql_keys):
            parameters = self._parameters(key)
            if parameters is not None:
                rows.append((*parameters, at))
        found: list[Any] = []
        for start in range(0, len(rows), _KEYS_AT_ONCE):
            columns = list(zip(*rows[start : start + _KEYS_AT_ONCE], strict=True))
            async with self._pool.connection() as connection:
                found += await connection.fetch(text, *map(list, columns))
        return found

    def _parameters(self, cql_key: Key) -> tuple[Any, ...] | None:
        """The key as the driver binds it; None for one that PostgreSQL cannot hold."""
        pairs = zip(self._convert, cql_key, strict=False)
        try:
            return tuple(convert(decode(raw)) for (decode, convert), raw in pairs)
        except UnstorableValue:
            return None
