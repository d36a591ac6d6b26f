"""The board: stages write on it what they do; status, readiness and metrics are read from it.

All calls are cheap, never wait and never fail, and come from the event loop's thread.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cdcd import __version__
from cdcd.ops.metrics import Metrics
from cdcd.ops.status import StageState, StageStatus, Status, TableState, TableStatus

Clock = Callable[[], int]

GRAVITY = (TableState.RUNNING, TableState.PAUSED, TableState.STOPPED, TableState.NEEDS_SNAPSHOT)


def wall_clock_ms() -> int:
    """Milliseconds since 1970 by this machine's clock."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Applied:
    """What one PostgreSQL transaction did for one table; times since 1970, in what they end with.

    `written_us` and `recorded_ms` are of each change: when it was written in ScyllaDB, and when
    its record was made in Kafka. `committed_ms` is when the transaction was committed.
    """

    table: str
    written_us: Sequence[int]
    recorded_ms: Sequence[int]
    committed_ms: int
    seconds: float


class Board:
    """What one worker does, at this moment and since its start."""

    def __init__(
        self,
        name: str,
        instance: str,
        *,
        metrics: Metrics | None = None,
        clock_ms: Clock = wall_clock_ms,
    ) -> None:
        self.metrics = metrics or Metrics()
        self._clock_ms = clock_ms
        self._identity = (name, instance, __version__, clock_ms())
        self._stages: dict[str, StageStatus] = {}
        self._tables: dict[str, TableStatus] = {}
        self._states: dict[str, dict[str, tuple[TableState, str]]] = {}
        self._newest_ms: dict[str, int] = {}

    def stage(self, stage: str, state: StageState, reason: str = "") -> None:
        """A stage starts, runs, or waits for something outside."""
        self._stages[stage] = StageStatus(stage, state, reason)
        self.metrics.stages.labels(stage).set(state is StageState.RUNNING)

    def retried(self, stage: str, reason: str) -> None:
        """A try of the stage failed and will be repeated."""
        self.stage(stage, StageState.RETRYING, reason)
        self.metrics.retries.labels(stage).inc()

    def spans(self, outcome: str, spans: int) -> None:
        """Spans of traces were made, taken by the collector, or refused by it."""
        self.metrics.spans.labels(outcome).inc(spans)

    def table(self, table: str, state: TableState, reason: str = "", *, stage: str = "") -> None:
        """A table was begun, or goes on in another state.

        Each stage has its own word on a table; the gravest one is shown.
        """
        states = self._states.setdefault(table, {})
        states[stage] = state, reason
        shown, why = max(states.values(), key=lambda said: GRAVITY.index(said[0]))
        self._tables[table] = replace(self._table(table), state=shown, reason=why)

    def forget_table(self, table: str) -> None:
        """The table is no longer this worker's."""
        self._tables.pop(table, None)
        self._states.pop(table, None)
        self._newest_ms.pop(table, None)

    def lanes(self, count: int) -> None:
        """How many lanes this worker reads now."""
        self.metrics.lanes.set(count)

    def published(self, table: str, written_us: Sequence[int], committed_ms: int) -> None:
        """Changes of a table are committed in Kafka; `written_us` has the write time of each."""
        now = self._table(table)
        self._tables[table] = replace(now, published=now.published + len(written_us))
        self.metrics.published.labels(table).inc(len(written_us))
        self.metrics.scylla_to_kafka.observe(table, written_us, committed_ms * 1000, 1_000_000)

    def transaction(self, seconds: float, outcome: str = "committed") -> None:
        """A Kafka transaction ended: committed or aborted."""
        self.metrics.transactions.labels(outcome).inc()
        self.metrics.publish_seconds.observe(seconds)

    def frontier(self, table: str, frontier_ms: int) -> None:
        """The oldest frontier of the table over this worker's lanes."""
        self._tables[table] = replace(self._table(table), frontier_ms=frontier_ms)
        self.metrics.frontier_seconds.labels(table).set(frontier_ms / 1000)

    def late(self, table: str, written_us: Sequence[int], found_ms: int, found_by: str) -> None:
        """A pass found log rows behind the frontier; `written_us` has the write time of each."""
        self.metrics.late.labels(table, found_by).inc(len(written_us))
        self.metrics.lateness.observe(table, written_us, found_ms * 1000, 1_000_000)

    def headroom(self, table: str, seconds: float) -> None:
        """How long until the log forgets what has not been read."""
        self.metrics.headroom_seconds.labels(table).set(seconds)

    def settled(self, table: str, settled_ms: int) -> None:
        """Everything older was read again and is complete."""
        self.metrics.settled_seconds.labels(table).set(settled_ms / 1000)

    def audited(self, table: str, audited_ms: int) -> None:
        """Everything older was audited, or is not to be."""
        self.metrics.audited_seconds.labels(table).set(audited_ms / 1000)

    def copying(self, table: str, share: float, rows: int, remaining_seconds: float | None) -> None:
        """A copy has published so many rows more, and so much of it is done."""
        done = share >= 1
        self._tables[table] = replace(
            self._table(table),
            copied=None if done else share,
            copy_seconds=None if done else remaining_seconds,
        )
        self.metrics.copied.labels(table).inc(rows)
        self.metrics.copy_share.labels(table).set(share)
        self.metrics.copy_seconds.labels(table).set(remaining_seconds or 0)

    def applied(self, done: Applied) -> None:
        """A batch of one table is committed in PostgreSQL."""
        rows, committed_ms = len(done.written_us), done.committed_ms
        now = self._table(done.table)
        self._tables[done.table] = replace(now, applied=now.applied + rows)
        newest_ms = max(done.written_us, default=0) // 1000
        self._newest_ms[done.table] = max(newest_ms, self._newest_ms.get(done.table, 0))
        metrics = self.metrics
        metrics.applied.labels(done.table).inc(rows)
        metrics.batch_rows.observe(rows)
        metrics.batch_seconds.observe(done.seconds)
        metrics.end_to_end.observe(done.table, done.written_us, committed_ms * 1000, 1_000_000)
        metrics.kafka_to_postgres.observe(done.table, done.recorded_ms, committed_ms, 1000)

    def waiting(self, table: str, records: int) -> None:
        """How many records of the table this worker has yet to apply."""
        self._tables[table] = replace(self._table(table), waiting=records)
        self.metrics.lag_records.labels(table).set(records)

    def lease(self, seconds: float) -> None:
        """How long the login for PostgreSQL is good for, if it is not renewed."""
        self.metrics.login_seconds.set(seconds)

    def topic_headroom(self, table: str, seconds: float) -> None:
        """How long until Kafka forgets what has not been applied."""
        self.metrics.topic_headroom_seconds.labels(table).set(seconds)

    def dropped(self, table: str, reason: str, changes: int = 1) -> None:
        """The sink left changes out on purpose; `reason` is one of a few words."""
        self.metrics.dropped.labels(table, reason).inc(changes)

    def rejected(self, table: str, reason: str, changes: int = 1) -> None:
        """These changes are dead letters now; `reason` is one of a few words."""
        now = self._table(table)
        self._tables[table] = replace(now, rejected=now.rejected + changes)
        self.metrics.rejected.labels(table, reason).inc(changes)

    def dead_letters(self, table: str, waiting: int) -> None:
        """How many dead letters of the table wait for somebody, of all workers."""
        self._tables[table] = replace(self._table(table), dead_letters=waiting)
        self.metrics.dead_letters.labels(table).set(waiting)

    def verified(self, table: str, rows: int, share: float | None = None) -> None:
        """Rows were compared with the target; `share` is that of rows compared in the last day."""
        self.metrics.verified.labels(table).inc(rows)
        if share is not None:
            self.metrics.verified_share.labels(table).set(share)

    def differed(self, table: str, kinds: Iterable[str]) -> None:
        """Rows of the target differ from the source's: missing, extra, different."""
        for kind in kinds:
            self.metrics.differences.labels(table, kind).inc()

    def certificates(self, ends: Mapping[str, float]) -> None:
        """When certificates end, in seconds since 1970, by the setting that names their file."""
        for setting, seconds in ends.items():
            self.metrics.certificate_expiry.labels(setting).set(seconds)

    def asked_to_repair(self, table: str, rows: int) -> None:
        """Rows that differ were asked to be refreshed."""
        self.metrics.repairs.labels(table).inc(rows)

    def compared(self, table: str, wrong: int | None, at_seconds: float) -> None:
        """What the latest comparisons of a table found, None where they do not know, and when."""
        self.metrics.wrong_rows.labels(table).set(math.nan if wrong is None else wrong)
        self.metrics.reconciled_seconds.labels(table).set(at_seconds)

    def not_compared(self, table: str) -> None:
        """The table is no longer one that is compared."""
        self.metrics.wrong_rows.remove(table)
        self.metrics.reconciled_seconds.remove(table)

    def snapshot(self) -> Status:
        """The board as it stands."""
        now_ms = self._clock_ms()
        tables = tuple(self._shown(t, now_ms) for _, t in sorted(self._tables.items()))
        name, instance, version, started_ms = self._identity
        stages = tuple(self._stages.values())
        return Status(name, instance, version, started_ms, now_ms, stages, tables)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes, with what depends on the clock as of now."""
        status = self.snapshot()
        for state in TableState:
            count = sum(t.state is state for t in status.tables)
            self.metrics.tables.labels(state.value).set(count)
        for table in status.tables:
            if table.frontier_ms is not None:
                age = max(status.now_ms - table.frontier_ms, 0) / 1000
                self.metrics.frontier_age_seconds.labels(table.table).set(age)
            if table.lag_seconds is not None:
                self.metrics.lag_seconds.labels(table.table).set(table.lag_seconds)
        return self.metrics.exposition()

    def _table(self, table: str) -> TableStatus:
        return self._tables.get(table) or TableStatus(table)

    def _shown(self, table: TableStatus, now_ms: int) -> TableStatus:
        """With the lag as of now.

        While records wait the newest one that was applied says how far the target is; when none
        do, the target has all that was published.
        """
        reached_ms = table.frontier_ms
        if table.waiting:
            reached_ms = self._newest_ms.get(table.table, reached_ms)
        if reached_ms is None:
            return table if table.waiting is None else replace(table, lag_seconds=0.0)
        return replace(table, lag_seconds=max(now_ms - reached_ms, 0) / 1000)
