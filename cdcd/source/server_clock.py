"""The servers' clock, as far as this worker can tell it.

Windows end by it: `cdc$time` is set by servers (or by clients that follow them), and a worker whose
own clock is ahead would take every row for late. Of several servers the slowest clock counts.
"""

from collections import deque

from cdcd.ops.board import wall_clock_ms
from cdcd.source.session import Session

# Samples of as many catalog reads are kept; they come from different nodes in turn.
SAMPLES = 12


class ServerClock:
    """Milliseconds since 1970 by the slowest of the servers that were asked lately."""

    def __init__(self) -> None:
        self._ahead_ms: deque[int] = deque(maxlen=SAMPLES)

    def now_ms(self) -> int:
        """The time now; before the first sample it is this machine's."""
        return wall_clock_ms() + min(self._ahead_ms, default=0)

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
        asked_ms = wall_clock_ms()
        rows = await session.query("SELECT toUnixTimestamp(now()) AS now FROM system.local")
        self.take(asked_ms, int(rows[0]["now"]), wall_clock_ms())
