"""How fast this machine runs Python right now, where others use it too."""

import statistics
import time

_STEPS = 400_000
# Of so many times in a row the shortest counts.
_TIMES = 3


class Pace:
    """The CPU seconds that one fixed piece of Python has taken, now and then."""

    def __init__(self) -> None:
        self._seconds: list[float] = []

    def take(self) -> None:
        """Run it once more."""
        self._seconds.append(min(_seconds() for _ in range(_TIMES)))

    @property
    def spread(self) -> dict[str, float]:
        """The median and the longest, as multiples of the shortest."""
        shortest = min(self._seconds)
        return {
            "median": round(statistics.median(self._seconds) / shortest, 2),
            "longest": round(max(self._seconds) / shortest, 2),
        }


def _seconds() -> float:
    began, sums = time.process_time(), dict.fromkeys(range(1000), 0)
    for n in range(_STEPS):
        sums[n % 1000] += n
    return time.process_time() - began
