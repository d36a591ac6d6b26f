"""The servers' clock, as far as this worker can tell it.

Windows end by it: `cdc$time` is set by servers (or by clients that follow them), and a worker whose
own clock is ahead would take every row for late. Of several servers the slowest clock counts.
"""

import time
from collections import deque

from cdcd.ops.board import wall_clock_ms
from cdcd.source.session import Session

# Samples of as many catalog reads are kept; they come from different nodes in turn.
SAMPLES = 12


def monotonic_ms() -> int:
    """A clock of this machine that nobody sets."""
    return time.monotonic_ns() // 1_000_000


class ServerClock:
    """Milliseconds since 1970 by the slowest of the servers that were asked lately.

    Between samples time goes on by a clock that nobody sets: a step of this machine's wall clock
    would move the frontier to where nothing was written yet.
    """

    def __init__(self) -> None:
        self._zero_ms = wall_clock_ms() - monotonic_ms()
        self._ahead_ms: deque[int] = deque(maxlen=SAMPLES)

    def now_ms(self) -> int:
        """The time now; before the first sample it is what this machine's was at the start."""
        return self.local_ms() + min(self._ahead_ms, default=0)

    def local_ms(self) -> int:
        """This machine's time, without the steps since the start."""
        return self._zero_ms + monotonic_ms()

    def take(self, asked_ms: int, server_ms: int, answered_ms: int) -> None:
        """Take in an answer. The server read its clock at some moment in between: a difference
        that this may explain is none, and of a greater one the least is taken.
        """
        if server_ms < asked_ms:
            self._ahead_ms.append(server_ms - asked_ms)
        else:
            self._ahead_ms.append(max(server_ms - answered_ms, 0))

    async def sample(self, session: Session) -> None:
        """Ask one server. Raises Transient."""
        asked_ms = self.local_ms()
        rows = await session.query("SELECT toUnixTimestamp(now()) AS now FROM system.local")
        self.take(asked_ms, int(rows[0]["now"]), self.local_ms())
