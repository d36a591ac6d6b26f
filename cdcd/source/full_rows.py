"""The whole row beside what was written of it, for consumers that need that in each record.

Where the server's post-image has it, that is taken. Otherwise the row is read from the base: as it
is when the change is published, and so at least as new as the change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol

from cdcd.model.change import AvroValue, ChangeEvent, Operation
from cdcd.model.refresh import Scope
from cdcd.model.touched import touched
from cdcd.source.refresh import Found
from cdcd.source.together import together

# Rows that are asked for at once; how many reads run at the same time is limited beside that.
ROWS_AT_ONCE = 500

_WRITES = (Operation.CREATE, Operation.UPDATE)


class Rows(Protocol):
    """Reads rows of the base table."""

    async def read(self, scope: Scope, now_us: int) -> Found:
        """The row as it is now."""


async def filled(rows: Rows, events: Sequence[ChangeEvent]) -> list[ChangeEvent]:
    """The changes with their rows as `after`. One whose row is gone stays as it is: its delete
    follows. Raises Transient and StatementRefused.
    """
    wanted = dict.fromkeys(touched(e) for e in events if e.op in _WRITES and e.after is None)
    found: dict[Scope, Mapping[str, AvroValue]] = {}
    left = iter(wanted)
    while scopes := list(islice(left, ROWS_AT_ONCE)):
        reads = await together(rows.read(scope, 0) for scope in scopes)
        for scope, read in zip(scopes, reads, strict=True):
            for event in read.events:
                if event.op is Operation.READ:
                    found[scope] = event.values
    return [
        replace(event, after=found[touched(event)])
        if event.op in _WRITES and event.after is None and touched(event) in found
        else event
        for event in events
    ]
