"""The followers of one assignment, kept in step with the catalog and with what operators want.

A table that cannot go on stops alone, and is tried again after a while, from what is saved of it
then: what stopped it may have been mended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from cdcd.model.change import Batch
from cdcd.model.control import SOURCE, Control, Pause
from cdcd.model.errors import TableStopped, Transient
from cdcd.model.lane import Assignment
from cdcd.model.position import Generation
from cdcd.model.refresh import Request
from cdcd.ops.comeback import Comeback
from cdcd.ops.logs import get_logger
from cdcd.ops.status import TableState
from cdcd.source.catalog import DOES_NOT_EXIST, Catalog, SourceTable, Why
from cdcd.source.follower import Follower
from cdcd.source.progress import Start
from cdcd.source.surroundings import STAGE, Saved, Surroundings

Restored = Callable[[], Awaitable[Assignment]]

log = get_logger(stage=STAGE)

# How long a gap's saving is waited for; the catalog is looked at only afterwards.
GAP_SECONDS_MAX = 10.0

_DROPPED = Why("was dropped", "its target stays as it is")


@dataclass(frozen=True)
class _Followed:
    follower: Follower
    task: asyncio.Task[None]


class Tables:
    """The tables of one worker's lanes. `restored` reads what is saved for them now."""

    def __init__(
        self,
        assignment: Assignment,
        around: Surroundings,
        start: Start,
        restored: Restored,
        group: asyncio.TaskGroup,
    ) -> None:
        self._board = around.board
        self._assignment = assignment
        self._around = around
        self._restored = restored
        self._group = group
        self._following: dict[str, _Followed] = {}
        # Tables that had a follower in this assignment: what was saved of them has moved since.
        self._begun: set[str] = set()
        self._comeback = Comeback()
        self._pauses: dict[str, Pause | None] = {}
        # Only the very first start may leave something out; what this worker finds later, or after
        # it was away, was made meanwhile. A copy leaves nothing out.
        self._later = start if start is Start.SNAPSHOT else Start.LOG
        self._start = self._later if assignment.positions else start
        # Tables that have stopped because changes are missing: all of them has to be copied.
        self._gaps: set[str] = set()
        self._passed_over: set[str] = set()
        self._unpublishable: set[str] = set()
        self._version = ""
        # Requests for tables that the catalog has not shown yet.
        self._waiting: dict[str, list[Request]] = {}

    def ask(self, requests: Iterable[Request]) -> None:
        """Hand requests to their tables' followers."""
        for request in requests:
            if request.table in self._following:
                self._following[request.table].follower.ask(request)
            elif request.copy is not None and request.table in self._comeback:
                # It is read with what is saved, and the table has what it waited for.
                self._comeback.hurry()
                self._around.schema.want_catalog()
            elif request.table not in self._begun:
                self._waiting.setdefault(request.table, []).append(request)
            # Otherwise it is read with what is saved, if the table comes back.

    async def update(self, catalog: Catalog, control: Control) -> None:
        """Begin new tables, tell followers of changed ones, end those that cannot go on, and try
        stopped ones again.
        """
        if catalog.version != self._version:
            self._version = catalog.version
            self._comeback.hurry()
        failed: list[Transient] = []
        for name, table in catalog.tables.items():
            self._recover(name)
            try:
                await self._go_on(table, catalog.version)
            except Transient as error:
                failed.append(error)
            self._hold(name, control.pause_of(name, SOURCE))
        await self._end_others(catalog, control)
        self._start = self._later
        if failed:
            raise failed[0]

    async def _end_others(self, catalog: Catalog, control: Control) -> None:
        for name, wrong in catalog.refused.items():
            # One that was named outright and is not there any more has no misspelt name.
            is_gone = name in self._following and wrong.reason == DOES_NOT_EXIST
            await self._end(name, _DROPPED if is_gone else wrong)
        for name, why in catalog.passed_over.items():
            if name in self._following:
                await self._end(name, why)
            elif name not in self._passed_over and name not in self._comeback:
                log.info("table passed over", table=name, reason=why.reason)
                self._passed_over.add(name)
        for name in self._following.keys() - catalog.tables.keys():
            if control.wants(name):
                await self._end(name, _DROPPED)
            else:
                self._leave(name)

    def _recover(self, name: str) -> None:
        """A table that was tried again and has not stopped since the last look works."""
        if name in self._following and self._comeback.recovered(name):
            log.info("a stopped table goes on", table=name)
            self._board.table(name, TableState.RUNNING, stage=STAGE)

    async def _go_on(self, table: SourceTable, version: str) -> None:
        name = table.spec.full_name
        followed, stopped = self._following.get(name), name in self._comeback
        if followed is None and stopped and not self._comeback.is_due(name):
            return
        generations = await self._around.seen(table)
        if followed is not None:
            followed.follower.update(table, generations, version)
        elif stopped or name in self._begun:
            await self._begin_again(table, generations, version)
        else:
            self._begin(table, generations, version, self._assignment)

    async def _begin_again(
        self, table: SourceTable, generations: tuple[Generation, ...], version: str
    ) -> None:
        name = table.spec.full_name
        committed = asyncio.Event()
        # The queue is in order: when this has passed, nothing of the former follower is in it.
        await self._around.hand_on(Batch(table.spec, (), {}, published=committed.set))
        await committed.wait()
        assignment = await self._restored()
        self._unpublishable.discard(name)
        self._waiting[name] = [r for r in assignment.requests if r.table == name]
        self._begin(table, generations, version, assignment)

    def _begin(
        self,
        table: SourceTable,
        generations: tuple[Generation, ...],
        version: str,
        assignment: Assignment,
    ) -> None:
        name = table.spec.full_name
        self._passed_over.discard(name)
        saved = Saved(
            assignment.positions.get(name, {}),
            assignment.cells.get(name, {}),
            tuple(entry for entry in assignment.listed if entry.table == name),
            has_gap=name in self._gaps,
            is_back=name in self._comeback,
            merged=assignment.merged.get(name, {}),
        )
        self._gaps.discard(name)
        follower = Follower(saved, replace(self._around, start=self._start))
        follower.update(table, generations, version)
        for request in self._waiting.pop(name, ()):
            follower.ask(request)
        if name not in self._comeback:
            self._board.table(name, TableState.RUNNING, stage=STAGE)
        task = self._group.create_task(self._guarded(name, follower))
        self._following[name] = _Followed(follower, task)
        self._begun.add(name)
        self._pauses.pop(name, None)

    async def _guarded(self, name: str, follower: Follower) -> None:
        """Run a follower; a table that cannot go on stops alone."""
        try:
            await follower.run()
        except TableStopped as stopped:
            followed = self._following.get(name)
            # One that is no longer followed, or by another one already, was ended in that moment.
            if followed is not None and followed.follower is follower:
                del self._following[name]
                self._stopped(stopped)
        finally:
            self._around.idling.forget(name)

    def _hold(self, name: str, pause: Pause | None) -> None:
        if name not in self._following or self._pauses.get(name) == pause:
            return
        self._pauses[name] = pause
        self._following[name].follower.hold(held=pause is not None)
        state = TableState.RUNNING if pause is None else TableState.PAUSED
        why = "" if pause is None else str(pause)
        self._board.table(name, state, why, stage="source control")
        log.info("a table is paused" if pause else "a table is resumed", table=name)

    def _leave(self, name: str) -> None:
        """The table was removed from the pipeline. Its position stays, should it come back."""
        self._following.pop(name).task.cancel()
        self._board.forget_table(name)
        log.info("a table was removed from the pipeline", table=name)

    async def _end(self, name: str, why: Why) -> None:
        followed = self._following.pop(name, None)
        if followed is not None:
            followed.task.cancel()
            if why.leaves_gap:
                await self._save_gap(followed.follower.gap())
        elif name in self._comeback and not self._comeback.is_due(name):
            return
        hint, gap = why.hint, why.leaves_gap
        self._stopped(TableStopped(name, why.reason, hint, needs_snapshot=gap))

    async def _save_gap(self, gap: Batch) -> None:
        """Have a gap saved before it is told, so that what was told outlives this process."""
        saved = asyncio.Event()
        await self._around.hand_on(replace(gap, published=saved.set))
        # It may not be saved at all where the table cannot be published.
        with suppress(TimeoutError):
            async with asyncio.timeout(GAP_SECONDS_MAX):
                await saved.wait()

    def stop(self, stopped: TableStopped) -> None:
        """End a table whose changes cannot be published."""
        self._unpublishable.add(stopped.table)
        followed = self._following.pop(stopped.table, None)
        if followed is not None:
            followed.task.cancel()
        self._stopped(stopped)

    def _stopped(self, stopped: TableStopped) -> None:
        name = stopped.table
        if stopped.needs_snapshot:
            self._gaps.add(name)
        state = TableState.NEEDS_SNAPSHOT if stopped.needs_snapshot else TableState.STOPPED
        self._board.table(name, state, str(stopped), stage=STAGE)
        if self._comeback.stopped(name, str(stopped)):
            log.error("table stopped", table=name, reason=stopped.message, hint=stopped.hint)

    def is_unpublishable(self, batch: Batch) -> bool:
        """Whether the batch is of a table of which nothing more may be published for now."""
        carries = batch.events or batch.positions
        return bool(carries) and batch.table.full_name in self._unpublishable
