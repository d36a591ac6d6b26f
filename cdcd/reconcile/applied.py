"""Waits until the target has everything that was in the source's log at some moment."""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cdcd.model.errors import Fatal
from cdcd.model.table import TableSpec
from cdcd.sink import offsets
from cdcd.sink.pool import Pool
from cdcd.transport.brokers import Brokers
from cdcd.transport.lane_watch import LaneWatch
from cdcd.transport.topics import Topics, change_topic

_LOOK_SECONDS = 0.2
# How often it is asked whether workers are there at all.
_MEMBERS_SECONDS = 10.0


class NotApplied(Fatal):
    """What was read has not been applied in time, or no worker is there to do it."""


@dataclass(frozen=True)
class Applied:
    """What the wait goes by: saved frontiers, the change topics' ends, the sink's offsets."""

    pipeline: str
    brokers: Brokers
    topics: Topics
    pool: Pool
    watch: LaneWatch
    wait_seconds_max: float

    async def require_workers(self) -> None:
        """Raise NotApplied, at once, where no worker reads the source or none writes the target."""
        for stage, workers in (await self.brokers.workers(self.pipeline)).items():
            if not workers:
                raise NotApplied(
                    f"no worker of pipeline {self.pipeline} runs the {stage} stage",
                    "start `cdcd run`: a comparison rests on it, and its lanes serve repairs",
                )

    async def past(self, table: TableSpec, lanes: Collection[int], ms: int) -> None:
        """Return when the sink has applied every change of the table in these lanes that has a
        time below `ms`, milliseconds since 1970. Raises NotApplied when that takes too long.
        """
        name = table.full_name
        ends_at = time.monotonic() + self.wait_seconds_max
        ask_at = time.monotonic() + _MEMBERS_SECONDS
        topic, behind = change_topic(self.pipeline, table), None
        while behind is None or behind:
            if time.monotonic() > ends_at:
                what = "published" if behind is None else "applied"
                raise NotApplied(
                    f"{name}: not all that was read has been {what} in {self.wait_seconds_max:g} s",
                    "see `cdcd status`: is the table stopped, or far behind?",
                )
            if time.monotonic() > ask_at:
                await self.require_workers()
                ask_at = time.monotonic() + _MEMBERS_SECONDS
            if behind is None:
                await self.watch.look()
                if self.watch.frontier_ms(name, lanes) >= ms:
                    behind = await self._ends(topic)
                    continue
            else:
                saved = await offsets.read(self.pool, self.pipeline, topic)
                behind = {n: end for n, end in behind.items() if saved.get(n, 0) < end}
            if behind != {}:
                await asyncio.sleep(_LOOK_SECONDS)

    async def _ends(self, topic: str) -> Mapping[int, int]:
        """The ends of the topic's partitions that hold records: of all records, since a committed
        one may lie behind another worker's open transaction.
        """
        count = (await self.topics.partitions()).get(topic, 0)
        ends = await self.topics.ends((topic, n) for n in range(count))
        return {number: end for (_, number), end in ends.items() if end}

    async def served(self, table: TableSpec, lanes: Collection[int], ids: set[str]) -> None:
        """Return when the lanes have served these requests. Raises NotApplied."""
        # A frontier that was saved after them lies behind them in the lane, so all were seen.
        ends_at = time.monotonic() + self.wait_seconds_max
        while ids & self.watch.requests:
            if time.monotonic() > ends_at:
                raise NotApplied(
                    f"{table.full_name}: {len(ids & self.watch.requests)} refreshes were not"
                    f" served in {self.wait_seconds_max:g} s",
                    "see `cdcd status`: is the table stopped?",
                )
            await asyncio.sleep(_LOOK_SECONDS)
            await self.watch.look()
