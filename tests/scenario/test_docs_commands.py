"""The shell blocks of the documentation, run as they stand, on the local stack.

A page's blocks run one after the other in a folder of its own, as a reader would type them, with
`-e`. `cdcd` is there as a command, and so is `cdcd.toml` with the stack's settings; a worker that a
block starts is told to end once it is ready. The keyspaces `ks` and `shop` become the test's own.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.pages import PAGES, ROOT, SHELLS, STOPPED, Block, blocks, name
from tests.scenario.conftest import Place, connected
from tests.scenario.daemon import wait_until
from tests.stack import Stack

MADE_ELSEWHERE = {"docs/DRILLS.md"}  # a drill takes a minute, and test_drills.py holds them


def _to_run(page: Path) -> list[Block]:
    return [b for b in blocks(page) if b.language in SHELLS and b.reason is None]


RUN = [p for p in PAGES if _to_run(p) and name(p) not in MADE_ELSEWHERE]

# Exit code 1 of cdcd is "done, and something was found", which is no failure of a command.
_CDCD = r"""#!/bin/bash
if [[ " $* " != *" run "* ]]; then
    "{python}" -m cdcd "$@" || {{ code=$?; [ "$code" = 1 ] || exit "$code"; }}
    exit
fi
log=$(mktemp -p "{folder}")
"{python}" -m cdcd "$@" 2>"$log" &
worker=$!
until url=$(grep -om1 'http://127[.]0[.]0[.]1:[0-9]*' "$log") && curl -sf "$url/readyz"; do
    kill -0 "$worker" 2>/dev/null || {{ wait "$worker"; code=$?; cat "$log" >&2; exit "$code"; }}
    sleep 0.1
done
kill -TERM "$worker"
wait "$worker"
"""


@pytest.fixture(scope="module")
def shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The tables that the pages speak of, with a worker that replicates them."""
    with connected(stack) as (_, session):
        here = Place(stack, session, tmp_path_factory.mktemp("docs"), f"docs{os.getpid()}")
        here.begin()
        for table in ("users", "orders", "items"):
            options = "WITH cdc = {'enabled': true}"
            here.execute(f"CREATE TABLE $ks.{table} (id int PRIMARY KEY, v text) {options}")
            here.execute(f"INSERT INTO $ks.{table} (id, v) VALUES (7, 'a')")
        here.settings["source"] = {"settle_delays_seconds": [0.5, 2.5], "position_seconds_max": 1}
        worker = here.daemon("--table", f"{here.name}.*", instance="docs", start="snapshot")
        worker.start()
        worker.wait_ready()
        wait_until(lambda: _applied(worker.get("/status")[1]) == 3, "the rows are there")
        yield here
        here.end()


def _applied(status: dict[str, list[dict[str, int]]] | None) -> int:
    return sum(bool(t.get("applied")) for t in (status or {}).get("tables", []))


def _workers(shop: Place) -> int:
    admin = AdminClient({"bootstrap.servers": shop.stack.kafka})
    groups = [f"{shop.name}.{stage}" for stage in ("source", "sink")]
    found = admin.describe_consumer_groups(groups)
    return sum(len(found[group].result(10).members) for group in groups)


def _folder(shop: Place, folder: Path) -> Path:
    """What a reader's folder has: the programs, the settings and `deploy`."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    cdcd = _CDCD.format(python=sys.executable, folder=folder)
    for program, text in {
        "cdcd": cdcd,
        "python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n',
    }.items():
        (programs / program).write_text(text)
        (programs / program).chmod(0o755)
    (folder / "deploy").symlink_to(ROOT / "deploy")
    (folder / ".local").mkdir()
    settings = f'name = "{shop.name}"\n{shop.config().read_text()}'
    for file in (folder / "cdcd.toml", folder / ".local" / "cdcd.toml"):
        file.write_text(settings)
    return programs


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", RUN, ids=name)
def test_blocks_run(shop: Place, tmp_path: Path, page: Path) -> None:
    """Every shell block of the page that is not marked ends well."""
    programs = _folder(shop, tmp_path)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "CDCD_CONFIG"},
        "PATH": f"{programs}:{os.environ['PATH']}",
        "CDCD_INSTANCE": page.stem.lower(),
        "PYTHONPATH": str(ROOT),
    }
    for block in _to_run(page):
        text = re.sub(r"\b(?:ks|shop)(?=[.]| WITH)", shop.name, block.text)
        (worker,) = shop.daemons
        if block.mark == STOPPED:
            worker.stop()
            wait_until(lambda: not _workers(shop), "the group has forgotten the worker")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if block.mark == STOPPED:
            worker.start()
            worker.wait_ready()
        said = f"{block.text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert done.returncode == 0, said
        assert "Traceback" not in said
        assert "Warning" not in said
