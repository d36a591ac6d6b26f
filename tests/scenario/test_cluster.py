"""What only a cluster of several real nodes can show.

CDCD_TEST_SCYLLA names it. CDCD_TEST_SCYLLA_STOP and CDCD_TEST_SCYLLA_START are commands that stop
and start one of its nodes, which must not be the one that CDCD_TEST_SCYLLA names.
"""

import os
import shlex
import subprocess
from collections.abc import Callable

import pytest
from cassandra import ConsistencyLevel
from cassandra.cluster import Session
from cassandra.policies import HostDistance
from cassandra.query import SimpleStatement

from tests.scenario.conftest import Place
from tests.scenario.ending import expect_equal

pytestmark = pytest.mark.skipif(
    "CDCD_TEST_SCYLLA" not in os.environ,
    reason="needs several real nodes: CDCD_TEST_SCYLLA names no cluster",
)
ROWS = 500


def test_nodes_agree_on_generations(session: Session) -> None:
    """Every node names the same generations."""
    hosts = [h for h in session.cluster.metadata.all_hosts() if h.is_up]
    text = "SELECT time FROM system_distributed.cdc_generation_timestamps WHERE key = 'timestamps'"
    found = set()
    for host in hosts:
        assert session.cluster.profile_manager.distance(host) is not HostDistance.IGNORED
        statement = SimpleStatement(text, consistency_level=ConsistencyLevel.ALL)
        rows = session.execute(statement, host=host)
        found.add(tuple(row.time for row in rows))
    assert len(found) == 1


@pytest.mark.skipif(
    "CDCD_TEST_SCYLLA_STOP" not in os.environ or "CDCD_TEST_SCYLLA_START" not in os.environ,
    reason="needs CDCD_TEST_SCYLLA_STOP and CDCD_TEST_SCYLLA_START, commands for one node",
)
@pytest.mark.timeout(600)
def test_a_node_that_was_away(place: Place, make_table: Callable[[str], None]) -> None:
    """Rows that were written while one node was away are published once and applied, before it is
    back and after it got its hints.
    """
    make_table("t (id int, ck int, v int, PRIMARY KEY (id, ck))")
    daemon = place.daemon("--table", f"{place.name}.t")
    daemon.start()
    daemon.wait_ready()

    def write(v: int) -> None:
        for row in range(ROWS):
            place.execute(f"INSERT INTO $ks.t (id, ck, v) VALUES ({row % 50}, {row}, {v})")

    write(0)
    subprocess.run(shlex.split(os.environ["CDCD_TEST_SCYLLA_STOP"]), check=True)
    try:
        write(1)
        expect_equal(place, "t", ("id", "ck"))
    finally:
        subprocess.run(shlex.split(os.environ["CDCD_TEST_SCYLLA_START"]), check=True)
    write(2)
    expect_equal(place, "t", ("id", "ck"))
    assert daemon.stop() == 0
