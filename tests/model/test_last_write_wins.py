"""The pure code of both stages against the servers' rule: cell by cell, the last write wins.

A state machine writes, lets log and base show what was written in any order, reads, settles,
refreshes, and applies in batches of any size. In the end the target has what the servers have, once
each log row was published. Where a guard is broken on purpose, the machine finds it.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from cdcd.model.refresh import Partition, Row
from cdcd.model.touched import touched
from cdcd.sink import alone
from cdcd.sink import merge as merging
from cdcd.sink.elements import Patch
from cdcd.sink.merge import Effect
from cdcd.sink.ranges import Ranges
from cdcd.source import refresh as refreshing
from cdcd.source.listed import ListedRefreshes
from tests.model import pipeline, steps, target
from tests.model.pipeline import Pipeline
from tests.model.servers import number
from tests.model.wire import over_the_wire


class Machine(RuleBasedStateMachine):
    """Steps in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Pipeline()

    @rule(chance=st.randoms())
    def write(self, chance: Random) -> None:
        """A statement, now or backdated; now and then of the microsecond of the last one."""
        steps.write(self.line, chance)

    @rule(share=st.integers(1, 3), of_log=st.booleans())
    def show(self, share: int, of_log: bool) -> None:
        """The log or the base shows some of what it has not."""
        steps.show(self.line, share, of_log=of_log)

    @rule()
    def read_first(self) -> None:
        """The fast reading."""
        self.line.read_first()

    @rule()
    def settle(self) -> None:
        """A settling pass that is not the last."""
        self.line.settle()

    @rule(chance=st.randoms())
    def ask(self, chance: Random) -> None:
        """A request for a refresh from outside."""
        steps.ask(self.line, chance)

    @rule()
    def serve(self) -> None:
        """What was asked for is refreshed."""
        self.line.serve()

    @rule(count=st.integers(1, 9))
    def apply(self, count: int) -> None:
        """The sink writes a batch."""
        self.line.apply(count)

    def teardown(self) -> None:
        """In the end the target has what the servers have."""
        self.line.come_to_rest()
        assert not steps.wrong(self.line)


LOOK = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
# Runs that are tried, the same each time: whether a broken guard is found must not be chance.
RUNS = 3000


def test_the_target_becomes_what_the_servers_have() -> None:
    """Whatever comes late, tied, behind or in batches, the target ends with the servers' rows."""
    run_state_machine_as_test(Machine, settings=LOOK)


@pytest.mark.parametrize("first", range(0, 600, 100))
def test_runs_of_chance_end_alike(first: int) -> None:
    """More of the same, faster, and without a search for the smallest: a seed is a run."""
    assert [seed for seed in range(first, first + 100) if steps.wrong(steps.run(seed))] == []


Patcher = pytest.MonkeyPatch


def _no_ties(patch: Patcher) -> None:
    patch.setattr(pipeline, "ties", lambda _: [])


def _no_repeats(patch: Patcher) -> None:
    patch.setattr(ListedRefreshes, "covers", lambda *_: False)


def _late_in_order(patch: Patcher) -> None:
    patch.setattr(Pipeline, "publish_late", Pipeline._publish)
    patch.setattr(ListedRefreshes, "covers", lambda *_: False)
    patch.setattr(Pipeline, "_refresh", lambda *_: None)


def _no_delayed(patch: Patcher) -> None:
    patch.setattr(Pipeline, "serve", _serve_without_delayed)


def _serve_without_delayed(self: Pipeline) -> None:
    due, self.requests, self.delayed = self.requests, {}, []
    self._refresh(due)


def _no_requests(patch: Patcher) -> None:
    patch.setattr(Pipeline, "hear", lambda *_: None)


def _empty_rows_stay(patch: Patcher) -> None:
    patch.setattr(Effect, "may_be_empty", property(lambda _: False))


def _deletes_of_many_keep_the_batch(patch: Patcher) -> None:
    patch.setattr(Ranges, "covers", lambda *_: False)


def _ranges_by_value(patch: Patcher) -> None:
    compare = Ranges._compare
    patch.setattr(Ranges, "_compare", lambda *args: -compare(*args))


def _refreshes_without_clear(patch: Patcher) -> None:
    patch.setattr(refreshing, "_cleared", lambda _table, _scope, events, _now: events)


def _narrow_scopes(patch: Patcher) -> None:
    def narrow(event: Any) -> Any:
        found = touched(event)
        first = (number(0), number(0))
        return Row(found.partition, first) if isinstance(found, Partition) else found

    patch.setattr(pipeline, "touched", narrow)


def _nulls_are_untouched(patch: Patcher) -> None:
    patch.setattr(
        pipeline,
        "over_the_wire",
        lambda events: over_the_wire([replace(e, nulls=()) for e in events]),
    )


def _groups_are_rows(patch: Patcher) -> None:
    patch.setattr(merging, "OF_MANY", ())


def _all_rows_are_alone(patch: Patcher) -> None:
    patch.setattr(alone, "_are_plain", lambda _, keys: [True] * len(keys))


def _first_patch_wins(patch: Patcher) -> None:
    patch.setattr(Patch, "then", lambda self, later: Patch(later.cells | self.cells))


def _statics_without_end(patch: Patcher) -> None:
    patch.setattr(merging, "_is_empty_static", lambda _: False)
    patch.setattr(target.Memory, "_emptied", lambda *_: [])


BROKEN: dict[str, Callable[[Patcher], None]] = {
    f.__name__.strip("_"): f
    for f in (
        _no_ties,
        _no_repeats,
        _late_in_order,
        _no_delayed,
        _no_requests,
        _empty_rows_stay,
        _deletes_of_many_keep_the_batch,
        _ranges_by_value,
        _refreshes_without_clear,
        _narrow_scopes,
        _nulls_are_untouched,
        _groups_are_rows,
        _all_rows_are_alone,
        _first_patch_wins,
        _statics_without_end,
    )
}


@pytest.mark.parametrize("guard", BROKEN)
def test_a_broken_guard_is_found(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a guard is broken on purpose, some run ends with other rows."""
    BROKEN[guard](monkeypatch)
    assert any(steps.wrong(steps.run(seed)) for seed in range(RUNS))
