"""How far a server's clock is from this machine's."""

from collections.abc import Awaitable, Callable

from cdcd.ops.board import wall_clock_ms
from cdcd.preflight.report import Finding, note, warning

DIFFERENCE_MS_MAX = 500


async def compare(server: str, ask_ms: Callable[[], Awaitable[float]]) -> list[Finding]:
    """Ask the server for its time in milliseconds since 1970, and judge it.

    The answer is of some moment between question and answer, so half of that time is uncertain.
    """
    asked_ms = wall_clock_ms()
    found_ms = await ask_ms()
    answered_ms = wall_clock_ms()
    return judge(server, found_ms, asked_ms, answered_ms)


def judge(server: str, found_ms: float, asked_ms: float, answered_ms: float) -> list[Finding]:
    """Whether a server's time fits between the moments of question and answer."""
    ahead_ms = max(found_ms - answered_ms, 0.0) - max(asked_ms - found_ms, 0.0)
    if abs(ahead_ms) > DIFFERENCE_MS_MAX:
        way = "ahead of" if ahead_ms > 0 else "behind"
        return [
            warning(
                f"{server}'s clock is {abs(ahead_ms):.0f} ms {way} this machine's",
                "synchronise the clocks (chrony, ntpd); until then latencies are wrong by as much,"
                " and changes may be seen late",
            )
        ]
    return [note(f"{server}'s clock is within {answered_ms - asked_ms + abs(ahead_ms):.0f} ms")]
