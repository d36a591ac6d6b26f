"""A real Jaeger, which keeps what it is sent."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stackd.jaeger import Jaeger, command
from stackd.state import free_ports

from tests.scenario.daemon import wait_until


def _answers(made: Jaeger) -> bool:
    try:
        made.traces("none")
    except OSError:
        return False
    return True


@pytest.fixture
def jaeger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jaeger]:
    """One on free ports, to which daemons send what they have at once; it is built if need be."""
    if shutil.which("go") is None:
        pytest.skip("Go is not installed")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    ports = free_ports(("collector", "query"))
    made = Jaeger(*(f"http://127.0.0.1:{ports[name]}" for name in ("collector", "query")))
    with (tmp_path / "jaeger.log").open("wb") as log:
        process = subprocess.Popen(command(**ports), stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(made), "Jaeger answers")
        yield made
    finally:
        process.kill()
        process.wait()
