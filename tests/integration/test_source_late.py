"""Rows that appear in the log behind the frontier, on a real database."""

import time
from collections.abc import Iterator

import pytest
from cassandra.cluster import Session as DriverSession

from cdcd.model.change import Operation
from cdcd.source.session import Session
from tests.integration.asking import running, shown
from tests.integration.keyspaces import CDC, KINDS, Keyspace, driver, keyspace
from tests.stack import Stack

BEHIND_US = 3_000_000


def three_seconds_ago() -> int:
    """What a client whose clock is behind writes as the time."""
    return time.time_ns() // 1000 - BEHIND_US


@pytest.fixture(params=KINDS)
def ks(plain: DriverSession, request: pytest.FixtureRequest) -> Iterator[Keyspace]:
    """A keyspace of each kind."""
    with keyspace(plain, request.param) as made:
        yield made


async def test_a_client_whose_clock_is_behind(ks: Keyspace, stack: Stack, session: Session) -> None:
    """What a client writes whose clock is three seconds behind is not seen at first; settling
    publishes it once, as late, and what the rows are.
    """
    ks.execute(f"CREATE TABLE $ks.t (p int, c int, v int, PRIMARY KEY (p, c)) WITH {CDC}")
    name = f"{ks.name}.t"
    async with running(session, name, settle_delays_seconds=(5.0,)) as lanes:
        ks.execute("INSERT INTO $ks.t (p, c, v) VALUES (1, 1, 10)")
        await lanes.until(lambda: len(lanes.events) == 1)
        with driver(stack, timestamp_generator=three_seconds_ago) as behind:
            behind.execute(f"UPDATE {name} SET v = 11 WHERE p = 1 AND c = 1")
            behind.execute(f"INSERT INTO {name} (p, c, v) VALUES (1, 2, 20)")
        ks.execute("INSERT INTO $ks.t (p, c, v) VALUES (1, 3, 30)")
        await lanes.until(lambda: len(lanes.events) == 2)
        assert not lanes.refreshed
        await lanes.until(lambda: len(lanes.refreshed) >= 2)
        changes = [e for e in lanes.events if e.identity is not None]
        assert [e.clustering for e in changes if not e.is_late] == [(1,), (3,)]
        assert [e.clustering for e in changes if e.is_late] == [(1,), (2,)]
        rows = [(Operation.READ, (1,), {"v": 10}), (Operation.READ, (2,), {"v": 20})]
        assert shown(lanes.refreshed)[:2] == rows
