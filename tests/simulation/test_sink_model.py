"""The sink's own code among rebalances, crashes and lost answers: each record once, in order.

Two workers share a topic on a clock that jumps. They die between any two awaits, go on writing for
partitions that another has been given, and get records late and twice. At the end the saved offsets
are the topic's ends, the rows those of its records in order, and what may be empty was asked for.
"""

import os
from collections.abc import Sequence

import pytest

from cdcd.model.errors import Transient
from cdcd.sink.inbox import Inbox
from cdcd.transport.records import Record
from tests.simulation.sink_workers import SinkDials, sink_history, sink_wrong
from tests.simulation.sink_world import SinkWorld

# `make simulate SEEDS=n` tries more of them.
SEEDS = int(os.environ.get("CDCD_TEST_SEEDS", "400"))
SHARES = 10
DIALS = {
    "plain": SinkDials(),
    "steady": SinkDials(crash_seconds=1e9),
    "crashes": SinkDials(crash_seconds=0.4, divide_seconds=1e9),
    "restless": SinkDials(divide_seconds=0.3),
}


def found(dials: SinkDials, seeds: Sequence[int]) -> dict[int, list[str]]:
    """What went wrong, by the seed that repeats it."""
    runs = {seed: sink_wrong(sink_history(seed, dials)) for seed in seeds}
    return {seed: wrong for seed, wrong in runs.items() if wrong}


@pytest.mark.timeout(max(120, SEEDS))
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("dials", DIALS)
def test_each_record_once_and_in_order(dials: str, share: int) -> None:
    """Whoever dies, wakes up or is given what another has: nothing lost, doubled or disordered."""
    assert found(DIALS[dials], range(share, SEEDS // len(DIALS), SHARES)) == {}


def kinds(dials: SinkDials, count: int = 12) -> set[str]:
    """Which properties did not hold in some of the runs."""
    every = found(dials, range(count)).values()
    return {wrong.split(":")[0] for runs in every for wrong in runs}


def test_without_comparing_offsets() -> None:
    """Where the offsets are set and not compared, two owners apply a record twice."""
    assert "doubled or left out" in kinds(SinkDials(compares=False, divide_seconds=0.3))


def test_without_asking_first() -> None:
    """Rule 10: where requests come after the commit, a crash between the two forgets some."""
    assert "not asked" in kinds(SinkDials(asks_first=False, crash_seconds=1.2), 60)


def test_without_passing_over_what_came_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the inbox takes a record that it has had, a batch has it twice."""

    def offer(self: Inbox, *records: Record) -> None:
        for record in records:
            if record.partition.number in self._next:
                self._next[record.partition.number] = record.offset + 1
                self._records.append(record)
                self._sizes.append(0)

    monkeypatch.setattr(Inbox, "offer", offer)
    assert "doubled or left out" in kinds(SinkDials())


def test_a_seed_repeats_its_run() -> None:
    """The same seed gives the same steps, to the last saved offset and row."""
    first, second = sink_history(7), sink_history(7)
    assert (first.saved, first.events, first.asked) == (second.saved, second.events, second.asked)
    assert first.target.rows() == second.target.rows()


def test_a_stuck_table_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can ever be written, the run does not come to its end, and that is told."""

    async def write(*_: object, **__: object) -> None:
        raise Transient("away")

    monkeypatch.setattr(SinkWorld, "write", write)
    assert "stuck" in kinds(SinkDials(seconds=1), 1)
