"""The demo as a newcomer runs it, on a stack that is up already."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from stackd import jaeger

from tests.stack import LOCAL, ROOT, Stack

DEMO = ROOT / "deploy" / "local" / "demo.py"
# Where something of it is not installed the demo is shown without; CI has it.
OBSERVES = "CI" in os.environ or all(
    map(shutil.which, ("go", "prometheus", "prometheus-alertmanager"))
)

pytestmark = [
    pytest.mark.usefixtures("stack"),
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        "CDCD_TEST_STACK" in os.environ, reason="the demo is of the local stack, not of another"
    ),
]


def _demo(
    *arguments: str, keep: bool = False, observe: bool = False
) -> tuple[int, str, dict[str, Any]]:
    """Run it; gives the exit code, all that it printed, and its last line."""
    environment = {**os.environ, "CDCD_POSTGRES__DSN": "nonsense"}
    environment |= {"KEEP": str(int(keep)), "OBSERVE": str(int(observe))}
    done = subprocess.run(
        [sys.executable, DEMO, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    lines = done.stdout.splitlines()
    last = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    return done.returncode, done.stdout + done.stderr, last


def _is_up() -> bool:
    status = [sys.executable, str(ROOT / "deploy" / "local" / "stack.py"), "status"]
    return subprocess.run(status, check=False, capture_output=True).returncode == 0


@pytest.fixture
def no_daemon_left() -> Iterator[None]:
    """Stop what a demo has kept."""
    yield
    _demo("stop")


@pytest.fixture(scope="module")
def _built() -> None:
    """What the demo would build first, so that its time does not count."""
    if OBSERVES:
        jaeger.program()


def _expect_shown(output: str) -> str:
    """The link to the trace of one change, which leads there; Prometheus has the daemon's lag."""
    link = re.findall(r"trace: (http://\S+)", output)[0]
    with urllib.request.urlopen(link, timeout=10) as answer:
        (trace,) = json.load(answer)["data"]
    assert "COMMIT cdc_data.users" in {span["operationName"] for span in trace["spans"]}
    (prometheus,) = set(re.findall(r"Prometheus +(http://\S+)", output))
    query = f"{prometheus}/api/v1/query?query=cdcd_lag_seconds"
    with urllib.request.urlopen(query, timeout=10) as answer:
        assert json.load(answer)["data"]["result"]
    return link


@pytest.mark.builds("jaeger")
@pytest.mark.usefixtures("no_daemon_left", "_built")
def test_the_demo_passes_again_and_again() -> None:
    """The demo passes, shows a change's trace if it is asked to, leaves a stack that was up, and
    passes again over a kept daemon, whose observers it ends.
    """
    link = ""
    for keep in (True, False):
        code, output, last = _demo(keep=keep, observe=keep and OBSERVES)
        assert code == 0, output
        seconds = last.pop("insert_seconds"), last.pop("update_seconds")
        assert last == {"tables": 3, "rows_expected": 13, "rows_ok": 13, "passed": True}
        assert all(0 < s < 30 for s in seconds)
        assert "get_replication_completeness()" in output
        assert (LOCAL.parent / "demo.json").exists() == keep
        assert _is_up()
        if keep and OBSERVES:
            link = _expect_shown(output)
    if link:
        with pytest.raises(urllib.error.URLError, match="refused"):
            urllib.request.urlopen(link, timeout=10)


async def _hand_over(postgres: str, pipeline: str, to: str) -> None:
    connection = await asyncpg.connect(postgres)
    try:
        await connection.execute(
            "UPDATE cdcd.targets SET pipeline = $2 "
            "WHERE pipeline = $1 AND (target_schema, target_table) = ('cdc_data', 'users')",
            pipeline,
            to,
        )
    finally:
        await connection.close()


@pytest.mark.usefixtures("no_daemon_left")
def test_a_demo_that_cannot_go_on_says_so(stack: Stack) -> None:
    """When the rows cannot arrive the last line says so, with the reason and where the logs are."""
    assert _demo()[0] == 0
    asyncio.run(_hand_over(stack.postgres, "demo", "someone"))
    try:
        code, output, last = _demo()
    finally:
        asyncio.run(_hand_over(stack.postgres, "someone", "demo"))
    assert code == 1
    assert last["passed"] is False
    assert "pipeline someone writes" in last["error"]
    assert (Path(last["logs"]) / "scylla.log").exists()
    assert "Traceback" not in output
    assert _is_up()
