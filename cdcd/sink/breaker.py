"""When so much is refused that something else than single rows must be wrong. Pure."""

from collections import deque

from cdcd.config.settings import DlqSettings

# A stopped table is tried again by itself. For so long after it was stopped only a tenth of what is
# allowed otherwise gets through, so that a slow flood does not go on in instalments.
STRICT_SECONDS = 300.0
STRICT_PART = 10


class Breaker:
    """Counts what was applied and what was rejected within a sliding window; `now` is in seconds of
    any clock that does not go back.
    """

    def __init__(self, settings: DlqSettings) -> None:
        self._settings = settings
        self._batches: deque[tuple[float, int, int]] = deque()
        self._changes = self._rejected = 0
        self._strict_until = float("-inf")

    def count(self, now: float, changes: int, rejected: int) -> None:
        """A batch was written: so many changes, so many of them rejected."""
        self._batches.append((now, changes, rejected))
        self._changes += changes
        self._rejected += rejected
        self._forget(now)

    def flood(self, now: float, changes: int, rejected: int) -> str | None:
        """What would be too much if a batch had these, as a part of a sentence; else None."""
        self._forget(now)
        settings = self._settings
        changes, rejected = self._changes + changes, self._rejected + rejected
        part = STRICT_PART if now < self._strict_until else 1
        is_many = rejected > settings.rejected_rows_min // part
        is_share = is_many and rejected > settings.rejected_share_max * changes
        if not is_share and rejected <= settings.rejected_rows_max // part:
            return None
        return f"{rejected} of {changes} changes in {settings.window_seconds:g} s were refused"

    def trip(self, now: float) -> None:
        """A flood has stopped the table."""
        self._strict_until = now + STRICT_SECONDS + self._settings.window_seconds

    def _forget(self, now: float) -> None:
        batches = self._batches
        while batches and batches[0][0] <= now - self._settings.window_seconds:
            _, changes, rejected = batches.popleft()
            self._changes -= changes
            self._rejected -= rejected
