"""The boundary between source and transport: what is masked is masked here, and nowhere else.

Behind it no record, log line, trace or dead letter can hold a masked value: none gets there.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

from cdcd.config.masks import key_of, masks_of
from cdcd.config.settings import Settings
from cdcd.model.change import Batch, ChangeEvent
from cdcd.model.errors import ConfigurationError, TableStopped
from cdcd.model.masking import Masker
from cdcd.model.refresh import Request, Scope
from cdcd.model.table import TableSpec
from cdcd.model.touched import touched


class Masks:
    """The maskers of all tables, as the settings say."""

    def __init__(self, settings: Settings) -> None:
        self._entries = settings.tables
        self._settings = settings.masking
        self._maskers: dict[str, tuple[TableSpec, Masker]] = {}

    def of(self, table: TableSpec) -> Masker:
        """The table's masker. Raises TableStopped for masks that the table cannot have."""
        name = table.full_name
        known = self._maskers.get(name)
        if known is not None and known[0] == table:
            return known[1]
        try:
            masks = masks_of(self._entries, name)
            masker = Masker(table, masks, key_of(self._settings, masks.values()))
        except ConfigurationError as error:
            raise TableStopped(name, error.message, error.hint) from error
        except ValueError as error:
            raise TableStopped(name, str(error), f'see [tables."{name}"]') from error
        self._maskers[name] = table, masker
        return masker

    def masked(self, batch: Batch) -> Batch:
        """The batch as it may be published. Where a masked column hides whether a row is there, it
        asks for a refresh of the row. Raises TableStopped for a value without a masked form.
        """
        masker = self.of(batch.table)
        if masker.is_idle:
            return batch
        try:
            events = [masker.event(event) for event in batch.events]
        except (TypeError, ValueError, KeyError) as error:
            why = f"a value has no masked form ({type(error).__name__})"
            # Without its cause, whose words could quote the value.
            raise TableStopped(batch.table.full_name, why, needs_snapshot=True) from None
        hidden = [event for event in batch.events if masker.hides_life(event)]
        asked = [*batch.asked, *_refreshes(hidden)]
        return replace(batch, table=masker.table, events=events, asked=asked)


def _refreshes(events: Sequence[ChangeEvent]) -> list[Request]:
    """One for each scope: asked for again while it waits it is the same request."""
    scopes: dict[Scope, ChangeEvent] = {touched(event): event for event in events}
    return [
        Request(_id(event.table.full_name, scope), event.table.full_name, scope, event.token)
        for scope, event in scopes.items()
    ]


def _id(table: str, scope: Scope) -> str:
    return blake2b(repr((table, scope, "masked")).encode(), digest_size=16).hexdigest()
