"""One target compared with its source, by digests of token ranges, then by rows.

Both sides are read once, at the same time and in any order, into buckets of count and xor. Buckets
that differ are read again, row by row. What differs then is a suspect; a trial decides.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

from cdcd.model.lane import lane_of, lane_range
from cdcd.model.position import TokenRange
from cdcd.ops.board import wall_clock_ms
from cdcd.ops.logs import get_logger
from cdcd.ops.retry import Backoff, retrying
from cdcd.reconcile.applied import Applied
from cdcd.reconcile.compare import (
    Buckets,
    Differing,
    Entry,
    Seen,
    Suspect,
    Trial,
    buckets_for,
    entry,
    groups,
    ranges,
)
from cdcd.reconcile.digest import Key
from cdcd.reconcile.part import Part
from cdcd.reconcile.source_side import SourceSide
from cdcd.reconcile.target_side import TargetSide
from cdcd.source.session import RawRow
from cdcd.source.together import together

Result = TypeVar("Result")

log = get_logger()

# Slices of the ring that are read one by one, some at the same time; one that fails is read again.
SLICE_ROWS = 20_000
SLICES_MIN, SLICES_MAX = 16, 4096
# How long a read is tried again.
RETRY_SECONDS = 60.0
# Statements that read the target at the same time.
TARGET_READS = 2
# Rows of differing buckets whose keys are in memory at once.
GROUP_ROWS = 200_000
# Suspects that one run follows; past them it says that there is more.
SUSPECTS_MAX = 100_000
# How long a pass of settling may take once it is due.
SETTLING_MS = 1000
# Rows that are read by key at once.
KEYS_AT_ONCE = 500


@dataclass
class Counted:
    """Both sides in buckets."""

    source: Buckets
    target: Buckets


class Verifier:
    """Compares one part."""

    def __init__(
        self,
        part: Part,
        sides: tuple[SourceSide, TargetSide],
        applied: Applied,
        lanes: int,
        settle_seconds: float,
    ) -> None:
        self.part = part
        self.source, self.target = sides
        self._applied = applied
        self._lanes = lanes
        self._settle_ms = int(settle_seconds * 1000) + SETTLING_MS

    async def count(self) -> Counted:
        """Read both sides whole. Memory is that of the buckets and of some slices."""
        size = await self._tried(self.target.size)
        count = buckets_for(size.rows)
        source, target = Buckets(count), Buckets(count)
        reads = asyncio.Semaphore(TARGET_READS)

        async def of_target(chunk: tuple[int, int]) -> None:
            async with reads:
                target.add(await self._tried(partial(self._target_entries, chunk)))

        async def of_source(tokens: TokenRange) -> None:
            source.add(await self._tried(partial(self._source_entries, tokens)))

        await together([*map(of_source, _slices(size.rows)), *map(of_target, size.chunks)])
        return Counted(source, target)

    async def _source_entries(self, tokens: TokenRange) -> list[Entry]:
        key_of, digest, place = self.part.form.key_of, self.part.form.digest, self._place_of_row
        found = []
        async for page in self.source.scan(tokens):
            for row in page:
                key = key_of(row)
                found.append(entry(place(row, key), key, digest(row)))
        return found

    async def _target_entries(self, chunk: tuple[int, int]) -> list[Entry]:
        place, found = self.part.place, []
        async for page in self.target.scan(chunk):
            for record in page:
                *parts, digest = record
                key = tuple(parts)
                found.append(entry(place(key), key, digest))
        return found

    @staticmethod
    async def _tried(read: Callable[[], Awaitable[Result]]) -> Result:
        return await retrying(read, Backoff(), limit_seconds=RETRY_SECONDS)

    def _place_of_row(self, row: RawRow, key: Key) -> int:
        if self.part.has_tokens:
            return self.part.token(cql_key(self.part, row))
        return self.part.place(key)

    async def narrow(self, counted: Counted) -> tuple[dict[Key, Suspect], bool]:
        """The rows that differ in buckets that do, and whether these are not all of them."""
        found: dict[Key, Suspect] = {}
        differing = counted.source.differing(counted.target)
        for group in groups(differing, GROUP_ROWS):
            found |= await self._narrow(group, counted.source.count)
            if len(found) > SUSPECTS_MAX:
                return dict(islice(found.items(), SUSPECTS_MAX)), True
        return found, False

    async def _narrow(self, group: Sequence[Differing], count: int) -> dict[Key, Suspect]:
        """Rows of the source by their buckets, with the target's by key; then, where keys differ,
        the target's rows that were not among them.
        """
        wanted = {d.bucket for d in group}
        keyed = {d.bucket for d in group if not d.same_keys}
        present: set[Key] = set()
        found: dict[Key, Suspect] = {}

        async def read(tokens: TokenRange) -> None:
            async for page in self.source.scan(tokens):
                rows = self._chosen(page, wanted, count)
                present.update(self.part.form.key_of(row) for row in rows)
                for at in range(0, len(rows), KEYS_AT_ONCE):
                    found.update(await self.against_target(rows[at : at + KEYS_AT_ONCE]))

        if self.part.has_tokens:
            tokens = ranges(sorted(wanted), count)
        else:
            tokens = _slices(sum(d.rows for d in group))
        await together(self._tried(partial(read, each)) for each in tokens)
        if keyed:
            found |= await self._tried(partial(self._extra, keyed, count, present))
        return found

    def _chosen(self, page: Sequence[RawRow], wanted: set[int], count: int) -> list[RawRow]:
        key_of = self.part.form.key_of
        return [r for r in page if lane_of(self._place_of_row(r, key_of(r)), count) in wanted]

    async def _extra(self, wanted: set[int], count: int, present: set[Key]) -> dict[Key, Suspect]:
        """The target's rows in some buckets that the source does not have."""
        found: dict[Key, Suspect] = {}
        for chunk in (await self.target.size()).chunks:
            async for page in self.target.scan(chunk):
                for record in page:
                    *parts, digest = record
                    key = tuple(parts)
                    if lane_of(self.part.place(key), count) in wanted and key not in present:
                        found[key] = self.only_in_target(key, digest)
        return found

    def only_in_target(self, key: Key, digest: bytes | None) -> Suspect:
        """A row of the target that the source may not have."""
        form = self.part.form
        return Suspect(form.cql_key(key), Seen(None, digest), is_guess=not form.is_exact)

    async def against_target(self, rows: Sequence[RawRow]) -> dict[Key, Suspect]:
        """The rows of the source that the target does not have, or not so."""
        form = self.part.form
        keys = [cql_key(self.part, row) for row in rows]
        there = await self.target.read(keys)
        seen = [Seen(form.digest(row), t) for row, t in zip(rows, there, strict=True)]
        return {
            form.key_of(row): Suspect(key, each)
            for row, key, each in zip(rows, keys, seen, strict=True)
            if not each.is_equal
        }

    async def look(self, suspects: Mapping[Key, Suspect]) -> dict[Key, Seen]:
        """Both sides of some rows now."""
        return await self._tried(partial(self._look, suspects))

    async def _look(self, suspects: Mapping[Key, Suspect]) -> dict[Key, Seen]:
        await self._place_guesses({k: s for k, s in suspects.items() if s.is_guess})
        found: dict[Key, Seen] = {}
        items = list(suspects.items())
        for at in range(0, len(items), KEYS_AT_ONCE):
            chunk = items[at : at + KEYS_AT_ONCE]
            keys = [suspect.cql_key for _, suspect in chunk]
            rows = await self.source.read(keys)
            there = await self.target.read(keys)
            for (key, _), row, target in zip(chunk, rows, there, strict=True):
                source = None if row is None else self.part.form.digest(row)
                found[key] = Seen(source, target)
        return found

    async def _place_guesses(self, guesses: Mapping[Key, Suspect]) -> None:
        """Give suspects the keys of the source's rows that are theirs, where there are any: the
        target's key may stand for several of the source's (times of one microsecond, say).
        """
        key_of, size = self.part.form.key_of, self.part.partition_size

        def place(rows: Iterable[RawRow]) -> None:
            for row in rows:
                guess = guesses.get(key_of(row))
                if guess is not None:
                    guess.cql_key, guess.is_guess = cql_key(self.part, row), False

        if not guesses:
            return
        if self.part.has_tokens:
            for partition in {s.cql_key[:size] for s in guesses.values()}:
                place(await self.source.partition(partition))
            return
        for tokens in _slices(0):
            async for page in self.source.scan(tokens):
                place(page)

    async def judge(self, suspects: dict[Key, Suspect]) -> Trial:
        """Wait and look again until every suspect is cleared, confirmed or given up."""
        trial = Trial(suspects, self._settle_ms)
        while trial.suspects:
            log.debug("rows to look at again", table=self.part.name, rows=len(trial.suspects))
            await asyncio.sleep(trial.wait_ms(wall_clock_ms()) / 1000)
            read_ms = wall_clock_ms()
            pending = trial.pending(read_ms)
            await self._applied.past(self.part.table, self.lanes(pending), read_ms)
            trial.look(await self.look(pending), wall_clock_ms())
        return trial

    def lanes(self, suspects: dict[Key, Suspect]) -> set[int]:
        """The lanes of some rows."""
        token = self.part.token
        return {lane_of(token(s.cql_key), self._lanes) for s in suspects.values()}

    async def columns(self, suspects: Sequence[Suspect]) -> list[tuple[str, ...]]:
        """The names of the columns that differ now, for each of some rows."""
        form = self.part.form
        found: list[tuple[str, ...]] = []
        for at in range(0, len(suspects), KEYS_AT_ONCE):
            keys = [s.cql_key for s in suspects[at : at + KEYS_AT_ONCE]]
            rows, there = await self.source.read(keys), await self.target.read_values(keys)
            for row, target in zip(rows, there, strict=True):
                source = None if row is None else form.values(row)
                if source is None or target is None:
                    found.append(())
                    continue
                trio = zip(form.columns, source, target, strict=True)
                found.append(tuple(column.name for column, one, other in trio if one != other))
        return found


def _slices(rows: int) -> list[TokenRange]:
    """The ring in slices of some pages each."""
    count = min(max(1 << (rows // SLICE_ROWS).bit_length(), SLICES_MIN), SLICES_MAX)
    return [lane_range(n, count) for n in range(count)]


def cql_key(part: Part, row: RawRow) -> Key:
    """The key of a source row as the source has it."""
    return tuple(raw or b"" for raw in row[: len(part.form.key)])
