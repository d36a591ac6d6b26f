"""What one table's refused changes mean for it: a word to operators, or a stop in a flood."""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from cdcd.config.settings import DlqSettings
from cdcd.model.errors import TableStopped
from cdcd.ops.board import Applied, Board, wall_clock_ms
from cdcd.ops.logs import get_logger
from cdcd.sink.batch import Batch, Refused
from cdcd.sink.breaker import Breaker
from cdcd.transport.records import TIMESTAMP_MS

log = get_logger()

# Reasons that one line of the log names.
EXAMPLES_MAX = 3


class Refusals:
    """Counts for one table. `carry` is told when there are new dead letters."""

    def __init__(
        self, table: str, settings: DlqSettings, board: Board, carry: Callable[[], None]
    ) -> None:
        self._table = table
        self._breaker = Breaker(settings)
        self._board = board
        self._carry = carry

    def limit(self, changes: int, dead: Sequence[Refused]) -> None:
        """Raise TableStopped when so many of a batch, with those before, are a flood."""
        now = time.monotonic()
        flood = self._breaker.flood(now, changes, len(dead)) if dead else None
        if flood is None:
            return
        self._breaker.trip(now)
        raise TableStopped(
            self._table,
            f"{flood}, which is more than [dlq] allows; the last one: "
            f"{dead[-1].letter.refusal.message}",
            "mend the target; nothing of this batch was applied, and it is tried again",
        )

    def tell(self, batch: Batch, dead: Sequence[Refused], seconds: float) -> None:
        """A batch is committed but for the dead, which are or are not among its changes."""
        if dead:
            gone = {(refused.letter.partition, refused.letter.offset) for refused in dead}
            batch = batch.without(
                n for n, r in enumerate(batch.records) if (r.partition.number, r.offset) in gone
            )
            self._tell_dead(dead)
        written_us = batch.events.times_us
        self._breaker.count(time.monotonic(), len(written_us) + len(dead), len(dead))
        if written_us:
            recorded_ms = list(map(TIMESTAMP_MS, batch.records))
            done = Applied(self._table, written_us, recorded_ms, wall_clock_ms(), seconds)
            self._board.applied(done)

    def _tell_dead(self, dead: Sequence[Refused]) -> None:
        refusals = [refused.letter.refusal for refused in dead]
        reasons = Counter(refusal.reason for refusal in refusals)
        for reason, number in reasons.items():
            self._board.rejected(self._table, reason, number)
        # Each once, and with no value of a row in it.
        why = list(dict.fromkeys(refusal.message for refusal in refusals))[:EXAMPLES_MAX]
        log.warning("changes were refused", table=self._table, reasons=dict(reasons), why=why)
        self._carry()
