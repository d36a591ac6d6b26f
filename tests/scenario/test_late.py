"""Rows that appear in the log behind the reader: published once, and applied."""

import os
import time
from collections.abc import Callable

import pytest

from tests.scenario import checker
from tests.scenario.conftest import Place
from tests.scenario.daemon import wait_until
from tests.scenario.ending import expect_equal

# How far back rows are written; `make late` goes further, which takes as long.
BACK_SECONDS = tuple(map(int, os.environ.get("CDCD_LATE_BACK_SECONDS", "1,2,8,20").split(",")))
# Settling passes soon after the fast reading; what is backdated less than the last one is found.
DELAYS = sorted({3, 25, max(BACK_SECONDS) + 5})


def generation_age_seconds(place: Place) -> float:
    """How old the newest generation is; the server refuses what is older than that."""
    rows = place.session.execute(
        "SELECT toUnixTimestamp(time) AS ms FROM system_distributed.cdc_generation_timestamps"
        " WHERE key = 'timestamps'"
    )
    newest_ms: int = max(row.ms for row in rows)
    return time.time_ns() / 1e9 - newest_ms / 1000


@pytest.mark.timeout(240 + 2 * max(BACK_SECONDS))
@pytest.mark.parametrize("kill", [False, True], ids=["running", "killed"])
def test_late_rows(place: Place, make_table: Callable[[str], None], *, kill: bool) -> None:
    """Backdated writes are found by settling and published once; a kill in between changes nothing,
    and the newer value of a row stays.
    """
    place.settings["source"] = {"settle_delays_seconds": DELAYS}
    make_table("t (id int, ck int, v text, w text, PRIMARY KEY (id, ck))")
    daemon = place.daemon("--table", f"{place.name}.t")
    daemon.start()
    daemon.wait_ready()
    place.execute("INSERT INTO $ks.t (id, ck, v, w) VALUES (0, 0, 'first', 'first')")
    expect_equal(place, "t", ("id", "ck"))
    old_enough = max(BACK_SECONDS) + 1
    wait_until(
        lambda: generation_age_seconds(place) > old_enough, "an old generation", old_enough + 60
    )
    now_us = time.time_ns() // 1000
    for back in BACK_SECONDS:
        at = now_us - back * 1_000_000
        place.execute(f"INSERT INTO $ks.t (id, ck, v) VALUES ({back}, 1, 'now')")
        old = f"UPDATE $ks.t USING TIMESTAMP {at} SET v = 'old', w = 'old'"
        place.execute(f"{old} WHERE id = {back} AND ck = 1")
        place.execute(
            f"INSERT INTO $ks.t (id, ck, v) VALUES ({back}, 2, 'old') USING TIMESTAMP {at}"
        )
    if kill:
        daemon.kill()
        daemon.start()
    expect_equal(place, "t", ("id", "ck"))
    values = checker.read_topic(place.stack, f"{place.name}.{place.name}.t")
    # A killed worker reads part of the log for the first time when the old writes are in it.
    assert kill or sum(v["op"] == "r" for v in values) >= len(BACK_SECONDS)
