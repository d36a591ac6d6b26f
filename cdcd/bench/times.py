"""When probes were acknowledged, and when their rows had them. Pure."""

from collections.abc import Sequence

from cdcd.bench.report import Sample
from cdcd.bench.work import PROBES, probe_id


class Times:
    """The probes of one step, from number `first` on, which is above all that the rows have."""

    def __init__(self, first: int, began: float) -> None:
        self._first = first
        self._began = began
        self._acknowledged: dict[int, float] = {}
        self._seen: dict[int, float] = {}

    def acknowledged(self, number: int, at: float) -> None:
        """ScyllaDB has it."""
        self._acknowledged[number] = at

    def seen(self, row_id: int, value: int, at: float) -> None:
        """The target's row has this number."""
        if probe_id(value) != row_id:
            return
        # Those before it in the same row were overwritten on the way.
        for number in range(value, self._first - 1, -PROBES):
            if number in self._seen:
                break
            self._seen[number] = at

    @property
    def unseen(self) -> int:
        """How many never came."""
        return len(self._acknowledged.keys() - self._seen.keys())

    def samples(self) -> Sequence[Sample]:
        """Those that came. One may be seen before its acknowledgement is."""
        return [
            Sample(at - self._began, max(self._seen[number] - at, 0.0))
            for number, at in self._acknowledged.items()
            if number in self._seen
        ]
