"""Verification of a healthy table is quiet, whoever does it, and the daemon finds what is not.

`CDCD_VERIFY_RUNS` and `CDCD_CHANGES_PER_SECOND` say how much is tried: `make verify-proof` sets
them.
"""

import os
import random
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.scenario import checker
from tests.scenario.conftest import Place
from tests.scenario.daemon import Daemon, wait_until
from tests.scenario.reconciling import cdcd, in_target, reconcile

RUNS = int(os.environ.get("CDCD_VERIFY_RUNS", "2"))
CHANGES_PER_SECOND = int(os.environ.get("CDCD_CHANGES_PER_SECOND", "100"))
HEALTHY_ROWS = CHANGES_PER_SECOND * 50
# What the daemon compares a second by itself. A round reads source and target, and asks again for
# what changed meanwhile: it takes 15 seconds at most, however much is tried.
COMPARED_PER_SECOND = HEALTHY_ROWS // 5
ROUNDS_SECONDS = 120


@contextmanager
def _writing(place: Place) -> Iterator[None]:
    """Changes at an even rate to rows of `t`: new ones, updates, deletes."""
    stop = threading.Event()
    insert = place.session.prepare(f"INSERT INTO {place.name}.t (p, c, v) VALUES (?, ?, ?)")
    delete = place.session.prepare(f"DELETE FROM {place.name}.t WHERE p = ? AND c = ?")
    chance, failed = random.Random(3), list[BaseException]()

    def write() -> None:
        began, number = time.monotonic(), 0
        while not stop.is_set():
            ahead = began + number / CHANGES_PER_SECOND - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            row = chance.randrange(HEALTHY_ROWS)
            key = (row // 10, row)
            gone = chance.random() < 0.1
            statement, values = (delete, key) if gone else (insert, (*key, number))
            place.session.execute_async(statement, values).add_errback(failed.append)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()
    assert not failed


def _counted(daemon: Daemon, metric: str) -> dict[str, float]:
    """The worker's counts of a metric by kind, or by nothing, over all tables."""
    url = re.findall(r"http://127\.0\.0\.1:\d+", daemon.output)[-1]
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    found: dict[str, float] = {}
    for sample in (s for family in families for s in family.samples if s.name == metric):
        kind = sample.labels.get("kind", "")
        found[kind] = found.get(kind, 0) + sample.value
    return found


@pytest.mark.timeout(240 + 60 * RUNS)
def test_verify_is_quiet_while_changes_run(started: Place) -> None:
    """A healthy table that is written to all the time is found equal, in every run, and so by the
    daemon itself. That finds a row that is lost meanwhile, and without leave does not repair it.
    """
    place = started
    place.settings["reconcile"] = {
        "continuous": True,
        "continuous_rows_per_second": COMPARED_PER_SECOND,
        "continuous_round_seconds_min": 1,
    }
    place.execute(
        "CREATE TABLE $ks.t (p int, c int, v int, s int static, PRIMARY KEY (p, c))"
        " WITH cdc = {'enabled': true}"
    )
    for n in range(0, HEALTHY_ROWS, 10):
        place.execute(f"INSERT INTO $ks.t (p, c, v, s) VALUES ({n // 10}, {n}, 0, {n})")
    place.execute("INSERT INTO $ks.t (p, c, v) VALUES (-1, -1, 0)")  # which nobody writes again
    daemon = place.daemon("--table", f"{place.name}.t")
    daemon.start()
    daemon.wait_ready()
    with _writing(place):
        statics = (place.stack, place.schema, "t__static", ("p",))
        wait_until(lambda: bool(checker.target_rows(*statics)), "rows arrive")
        for _ in range(RUNS):
            code, found = reconcile(place, "verify", "--all-tables")
            assert (code, found["equal"]) == (0, True), found
        wait_until(
            lambda: sum(_counted(daemon, "cdcd_verified_rows_total").values()) > HEALTHY_ROWS / 5,
            "the daemon has verified twice what was there at first",
        )
        assert not _counted(daemon, "cdcd_differences_total")
        in_target(place, ["DELETE FROM $t WHERE p = -1"])
        wait_until(
            lambda: bool(_counted(daemon, "cdcd_differences_total")),
            "the loss is found",
            ROUNDS_SECONDS,
        )
        assert set(_counted(daemon, "cdcd_differences_total")) == {"missing"}
        walked = _counted(daemon, "cdcd_verified_rows_total")
        wait_until(lambda: _counted(daemon, "cdcd_verified_rows_total") != walked, "it goes on")
    assert not _counted(daemon, "cdcd_repairs_total")
    assert (-1, -1) not in checker.target_rows(place.stack, place.schema, "t", ("p", "c"))


@pytest.mark.timeout(240)
def test_daemon_verifies_and_repairs_by_itself(started: Place) -> None:
    """With continuous verification the daemon finds damage of each kind and has it refreshed, while
    another table is paused.
    """
    place = started
    place.settings["reconcile"] = {
        "continuous": True,
        "continuous_repair": True,
        "continuous_rows_per_second": 1000,
        "continuous_round_seconds_min": 1,
    }
    place.execute(
        "CREATE TABLE $ks.t (p int, c int, v int, PRIMARY KEY (p, c)) WITH cdc = {'enabled': true}"
    )
    place.execute("CREATE TABLE $ks.other (p int PRIMARY KEY) WITH cdc = {'enabled': true}")
    for n in range(60):
        place.execute(f"INSERT INTO $ks.t (p, c, v) VALUES ({n // 10}, {n}, {n})")
    daemon = place.daemon("--table", f"{place.name}.*")
    daemon.start()

    def equal() -> bool:
        source = checker.source_rows(place.session, place.name, "t", ("p", "c"))
        target = checker.target_rows(place.stack, place.schema, "t", ("p", "c"))
        return not checker.differences(source, target)

    wait_until(equal, "the rows arrived")
    assert cdcd(place, "pause", f"{place.name}.other").returncode == 0
    damage = ["DELETE FROM $t WHERE c = 3", "UPDATE $t SET v = 0 WHERE c = 5"]
    in_target(place, [*damage, "INSERT INTO $t (p, c, v) VALUES (1, 1000, 1)"])
    wait_until(equal, "repaired", 180)
    assert daemon.is_running
