"""What the latest comparisons of the pipeline's tables found, shown as metrics."""

import asyncio

from cdcd.model.errors import Transient
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.ops.logs import get_logger
from cdcd.ops.retry import Backoff, retrying
from cdcd.sink.pool import Pool

log = get_logger()

LOOK_SECONDS = 10.0

_LATEST = """
SELECT source_table, wrong, extract(epoch FROM checked_at)::float8 AS checked
FROM cdcd.latest_runs WHERE pipeline = $1 AND checked_at IS NOT NULL
"""


class Comparisons:
    """Shows what commands have written down, since only a daemon is scraped."""

    def __init__(self, pool: Pool, pipeline: str, directions: Directions, board: Board) -> None:
        self._pool = pool
        self._pipeline = pipeline
        self._directions = directions
        self._board = board
        self._shown: set[str] = set()

    async def run(self, pause_seconds_max: float) -> None:
        """Look for ever. Raises what is fatal for all."""
        backoff = Backoff(pause_seconds_max=pause_seconds_max)

        def report(_attempt: int, _pause_seconds: float, error: Transient) -> None:
            log.warning("reading the latest comparisons failed", exc_info=error)

        while True:
            await retrying(self.look, backoff, on_retry=report)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Show them as they are now; a table that was removed is not compared any more."""
        async with self._pool.connection() as connection:
            found = await connection.fetch(_LATEST, self._pipeline)
        wants = self._directions.now.wants
        # Static rows have a target, and so a comparison, of their own.
        mine = [run for run in found if wants(run["source_table"].removesuffix(" (static)"))]
        for table in self._shown - {run["source_table"] for run in mine}:
            self._board.not_compared(table)
        for run in mine:
            self._board.compared(run["source_table"], run["wrong"], run["checked"])
        self._shown = {run["source_table"] for run in mine}
