"""Whether a stage stands still although it has work and nothing remote is to blame. Pure.

It is judged by looks at the board, one after the other at a steady pace, and not by the clock: a
process that was stopped for an hour has looked only once in that time.
"""

from dataclasses import dataclass

from cdcd.ops.status import StageState, Status, TableState

# A stage that can do work, and the number that grows when it does some.
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Stalled:
    """A stage's table that made no progress; `stage` and `table` as `/status` names them."""

    stage: str
    table: str

    def __str__(self) -> str:
        return f"the {self.stage} stage makes no progress with {self.table}"


class StallJudge:
    """Remembers since how many looks each place has stood still."""

    def __init__(self, looks_max: int) -> None:
        self._looks_max = looks_max
        self._seen: dict[Place, tuple[int, int]] = {}

    def look(self, status: Status) -> Stalled | None:
        """A place that has stood still for too many looks, if there is one."""
        now = _working(status)
        before, self._seen = self._seen, {}
        found = None
        for place, reached in now.items():
            last, looks = before.get(place, (None, 0))
            looks = looks + 1 if last == reached else 0
            self._seen[place] = reached, looks
            if looks >= self._looks_max:
                found = Stalled(*place)
        return found


def _working(status: Status) -> dict[Place, int]:
    """How far each place is that should be moving.

    The frontier of a table moves with the clock, whether there are changes or not. The sink moves
    while records wait.
    """
    running = {s.stage for s in status.stages if s.state is StageState.RUNNING}
    places: dict[Place, int] = {}
    for table in status.tables:
        if table.state is not TableState.RUNNING:
            continue
        if "source" in running and table.frontier_ms is not None:
            places["source", table.table] = table.frontier_ms
        if "sink" in running and table.waiting:
            places["sink", table.table] = table.applied + table.rejected
    return places
