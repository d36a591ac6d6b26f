"""Writes that go on while a drill disturbs: inserts, updates, and deletes of every kind."""

import asyncio
from collections.abc import Callable, Sequence

from cdcd.model.errors import Transient
from cdcd.source.session import Session

CHUNK_SECONDS = 0.1
PARTITIONS, ROWS_OF_PARTITION = 293, 13
_AGAIN_SECONDS = 0.2

_Parameters = tuple[object, ...]


def _row(number: int) -> tuple[int, int]:
    return number % PARTITIONS, number % ROWS_OF_PARTITION


# Each with how the parameters follow from the number of the write. Deletes are fewer, so that rows
# are left; a delete of a range is one change of two log rows.
STATEMENTS: Sequence[tuple[str, Callable[[int], _Parameters]]] = (
    (
        "INSERT INTO {t} (pk, ck, a, b) VALUES (?, ?, ?, ?)",
        lambda n: (*_row(n), f"first {n}", n),
    ),
    ("UPDATE {t} SET a = ? WHERE pk = ? AND ck = ?", lambda n: (f"second {n}", *_row(n))),
    ("UPDATE {t} SET s = ? WHERE pk = ?", lambda n: (f"static {n}", n % PARTITIONS)),
    (
        "INSERT INTO {t} (pk, ck, b) VALUES (?, ?, ?)",
        lambda n: (*_row(7 * n), n),
    ),
    ("DELETE FROM {t} WHERE pk = ? AND ck = ?", lambda n: _row(5 * n)),
    ("UPDATE {t} SET a = null, b = ? WHERE pk = ? AND ck = ?", lambda n: (n, *_row(3 * n))),
    (
        "DELETE FROM {t} WHERE pk = ? AND ck > ? AND ck <= ?",
        lambda n: (n % 53, n % 7, n % 7 + 3),
    ),
    ("DELETE FROM {t} WHERE pk = ?", lambda n: (n % 17,)),
)


class Writer:
    """Writes at a rate until it is stopped. What failed is written again: the cluster may have done
    it or not, or in the base and not in the log, and a later write settles that.
    """

    def __init__(self, session: Session, table: str, rate_per_second: int) -> None:
        self._session = session
        self._table = table
        self._rows = max(int(rate_per_second * CHUNK_SECONDS), 1)
        self._stopping = asyncio.Event()
        self.written = 0

    def stop(self) -> None:
        """Let `run` end, behind the write that it is at."""
        self._stopping.set()

    async def run(self) -> None:
        """Write, chunk after chunk, each of one statement."""
        loop = asyncio.get_running_loop()
        next_at, turn = loop.time(), 0
        while not self._stopping.is_set():
            cql, parameters = STATEMENTS[turn % len(STATEMENTS)]
            numbers = range(self.written, self.written + self._rows)
            await self.write(cql, [parameters(number) for number in numbers])
            self.written += self._rows
            turn += 1
            # What a disturbance has held up is not made up for.
            next_at = max(next_at + CHUNK_SECONDS, loop.time())
            await asyncio.sleep(next_at - loop.time())

    async def write(self, cql: str, rows: Sequence[Sequence[object]]) -> None:
        """Write these rows, for as long as it takes. `{t}` is the table."""
        left = list(rows)
        while True:
            try:
                failed = await self._session.write(cql.replace("{t}", self._table), left)
            except Transient:
                failed = list(range(len(left)))
            if not failed:
                return
            left = [left[number] for number in failed]
            await asyncio.sleep(_AGAIN_SECONDS)
