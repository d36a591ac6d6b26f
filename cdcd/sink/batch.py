"""The changes of one transaction, and what they come to. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cdcd.model.change import ChangeEvent
from cdcd.model.dead_letter import DeadLetter, Refusal
from cdcd.sink.alone import lay_out_alone
from cdcd.sink.merge import BadValue, merge
from cdcd.sink.rows import Part, joined, lay_out, request_of
from cdcd.sink.sqlstates import UNSTORABLE
from cdcd.sink.target import Targets
from cdcd.transport.changes import Changes
from cdcd.transport.lane_records import encode_request
from cdcd.transport.records import TIMESTAMP_MS, Record


@dataclass(frozen=True, slots=True)
class Refused:
    """A change that was refused, and what is kept of it. One that is `refreshed` was read anew."""

    event: ChangeEvent
    letter: DeadLetter
    refreshed: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes of one table in order, and the record of each."""

    targets: Targets
    records: Sequence[Record]
    events: Changes

    def part(self, at: range) -> "Batch":
        """Some changes that follow on each other."""
        return self._with(at)

    def without(self, ats: Iterable[int]) -> "Batch":
        """The changes but for some."""
        return self._with(sorted(set(range(len(self.events))).difference(ats)))

    def _with(self, places: Sequence[int]) -> "Batch":
        return Batch(self.targets, [self.records[n] for n in places], self.events.take(places))

    def refused(self, at: int, refusal: Refusal, now_ms: int) -> Refused:
        """One change as a dead letter."""
        record, scope = self.records[at], encode_request(request_of(self.events[at]))
        letter = DeadLetter(
            self.targets.table.full_name,
            record.partition.topic,
            record.partition.number,
            record.offset,
            scope,
            record.key,
            record.value,
            refusal,
            now_ms,
        )
        return Refused(self.events[at], letter, at in self.events.refreshed)


@dataclass(frozen=True, slots=True)
class Laid:
    """The statements' work for a batch; `unclear` are changes whose rows are to be read again."""

    parts: list[Part]
    unclear: list[ChangeEvent]
    expires_ms: int | None


def lay(batch: Batch) -> Laid:
    """Merge a batch and lay it out. Raises BadValue."""
    targets, events = batch.targets, batch.events
    alone, places = lay_out_alone(targets, events)
    left = {at: events[at] for at in places}
    effects = merge(targets, left, list(map(TIMESTAMP_MS, batch.records)))
    parts = lay_out(targets, effects, left)
    unclear = [left[at] for at in effects.refreshes]
    return Laid(joined(alone + parts) if alone else parts, unclear, effects.expires_ms)


def lay_storable(batch: Batch, now_ms: int) -> tuple[Batch, Laid | None, list[Refused]]:
    """Lay a batch out without the changes that have no PostgreSQL form; these come last.

    None for a batch that can only be laid out in parts: a change of an element is not looked at
    before it meets the value that it changes.
    """
    try:
        return batch, lay(batch), []
    except BadValue:
        refusals = unstorable(batch)
    dead = [batch.refused(at, refusal, now_ms) for at, refusal in refusals.items()]
    storable = batch.without(refusals)
    try:
        return storable, lay(storable), dead
    except BadValue:
        return storable, None, dead


def unstorable(batch: Batch) -> dict[int, Refusal]:
    """Which changes have no PostgreSQL form, each looked at alone."""
    found = {}
    for at in range(len(batch.events)):
        try:
            lay(batch.part(range(at, at + 1)))
        except BadValue as error:
            found[at] = refusal_of(error)
    return found


def refusal_of(error: BadValue) -> Refusal:
    """Why a value was refused that has no PostgreSQL form."""
    return Refusal(UNSTORABLE, error.condition, column=error.column.source.name)
