"""Whether the schema is still the one that a read was made with.

A read names its columns. Rows that were written after an ALTER TABLE may hold a column that the
read did not name, so a read that brought rows counts only when the schema's version, asked for
after it, is still the catalog's. Readers that ask at the same time share one query.
"""

import asyncio

from cdcd.source.catalog import schema_version
from cdcd.source.session import Session


class SchemaWatch:
    """The schema's version for many readers, and their call for a new catalog."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = asyncio.Lock()
        self._asked = 0
        self._answer = ("", 0)
        self._wanted = asyncio.Event()

    async def version_after_now(self) -> str:
        """The version, from a query that begins after this call."""
        self._asked += 1
        mine = self._asked
        async with self._lock:
            if self._answer[1] < mine:
                begun = self._asked
                self._answer = (await schema_version(self._session), begun)
        return self._answer[0]

    def want_catalog(self) -> None:
        """Have the catalog read again at once."""
        self._wanted.set()

    async def wanted(self, limit_seconds: float) -> None:
        """Return when a new catalog is wanted, or at the limit."""
        try:
            async with asyncio.timeout(limit_seconds):
                await self._wanted.wait()
        except TimeoutError:
            return
        finally:
            self._wanted.clear()
