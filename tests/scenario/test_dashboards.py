"""Every panel's query, asked of a real Prometheus that scrapes the real daemon at work."""

import asyncio
import itertools
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable

import asyncpg
import dashboards
import pytest
from pages import PAGES
from panels import Page

from tests.scenario.conftest import Place
from tests.scenario.daemon import Daemon, wait_until
from tests.scenario.prometheus import PROMETHEUS, Prometheus, scraping
from tests.scenario.test_late import generation_age_seconds

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")

# Metrics of what does not happen here: no failure, no Vault, no TLS.
QUIET = {"cdcd_retries_total", "cdcd_login_lease_seconds"}
QUIET |= {"cdcd_certificate_expiry_timestamp_seconds"}
# So does the time that a copy takes which is done at once.
QUIET |= {"cdcd_copy_remaining_seconds"}

BACK_SECONDS = 6
# Rows that are there from the start, and lost in the target one by one.
ROWS = 50


def _queries(page: Page, table: str) -> list[str]:
    """The queries of a page with a person's choices in the place of its variables."""
    chosen = {"$job": "cdcd", "$instance": ".+", "$table": table, "$__rate_interval": "20s"}
    found = []
    for panel in json.loads(dashboards.file(page).read_text())["panels"]:
        for target in panel.get("targets", []):
            expr = target["expr"]
            for name, value in chosen.items():
                expr = expr.replace(name, value)
            assert "$" not in expr, "a variable that the page does not have"
            found.append(expr)
    return found


def _is_answered(prometheus: Prometheus, expr: str) -> bool:
    """Whether a number comes; a quantile of nothing is none."""
    return any(series["value"][1] != "NaN" for series in prometheus.query(expr))


def _target(place: Place, *statements: str) -> None:
    """Statements in the target; `$t` is the table."""

    async def run() -> None:
        connection = await asyncpg.connect(place.stack.postgres)
        try:
            for statement in statements:
                await connection.execute(statement.replace("$t", f'"{place.schema}".t'))
        finally:
            await connection.close()

    asyncio.run(run())


@pytest.fixture
def daemon(place: Place, make_table: Callable[[str], None]) -> Daemon:
    """A worker with a table whose target refuses a value."""
    place.settings["source"] = {"settle_delays_seconds": [2, BACK_SECONDS + 4]}
    place.settings["reconcile"] = {
        "continuous": True,
        "continuous_repair": True,
        "continuous_rows_per_second": 500,
        "continuous_round_seconds_min": 1,
    }
    make_table("t (id int PRIMARY KEY, v int)")
    for number in range(ROWS):
        place.execute(f"INSERT INTO $ks.t (id, v) VALUES ({-number}, 0)")
    made = place.daemon("--table", f"{place.name}.t", start="snapshot")
    made.start()
    wait_until(lambda: _applied(made) >= ROWS, "all rows applied")
    command = [sys.executable, "-m", "cdcd", "-c", str(place.config()), "reconcile", "verify"]
    subprocess.run([*command, "--all-tables", "--name", place.name], check=True)
    _target(place, "ALTER TABLE $t ADD CHECK (v >= 0)")
    return made


def _applied(daemon: Daemon) -> int:
    _, body = daemon.get("/status")
    return sum(table["applied"] for table in (body or {}).get("tables", []))


def _work(place: Place, turn: int) -> None:
    """Something of everything: a change, a late one, a refused one, a row of the target lost."""
    at = time.time_ns() // 1000 - BACK_SECONDS * 1_000_000
    place.execute(f"INSERT INTO $ks.t (id, v) VALUES (1, {turn})")
    place.execute(f"INSERT INTO $ks.t (id, v) VALUES ({1000 + turn}, 1) USING TIMESTAMP {at}")
    place.execute(f"INSERT INTO $ks.t (id, v) VALUES ({2000 + turn}, -1)")
    _target(place, f"DELETE FROM $t WHERE id = {-(turn % ROWS)}")


@pytest.mark.timeout(240)
def test_every_panel_shows_something(place: Place, daemon: Daemon) -> None:
    """Prometheus takes each query, and each has an answer, but of what does not happen here; the
    daemon tells these metrics all the same.
    """
    url = re.findall(r"http://127\.0\.0\.1:\d+", daemon.output)[0]
    wait_until(lambda: generation_age_seconds(place) > BACK_SECONDS, "a generation of some age")
    queries = {q for page in PAGES for q in _queries(page, f"{place.name}.t")}
    turns = itertools.count()
    with scraping(place.folder, url.removeprefix("http://")) as prometheus:
        unanswered = set(queries)

        def all_are_answered() -> bool:
            _work(place, next(turns))
            unanswered.difference_update({q for q in unanswered if _is_answered(prometheus, q)})
            return all(set(re.findall(r"\bcdcd_\w+", q)) & QUIET for q in unanswered)

        try:
            wait_until(all_are_answered, "an answer to each query", 150)
        except AssertionError as error:
            raise AssertionError(f"no answer to {sorted(unanswered)}") from error
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        told = answer.read().decode()
    for metric in QUIET:
        assert f"# TYPE {metric} " in told


def test_a_query_that_is_wrong_is_seen(place: Place) -> None:
    """A query that Prometheus does not understand fails the test that asks it."""
    with (
        scraping(place.folder, "127.0.0.1:1") as prometheus,
        pytest.raises(AssertionError, match="parse error"),
    ):
        prometheus.query("sum by (table (cdcd_lag_seconds)")
