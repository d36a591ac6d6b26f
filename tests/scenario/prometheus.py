"""A real Prometheus on a free port, which scrapes what it is told."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROMETHEUS = shutil.which("prometheus")

_CONFIG = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: cdcd
    static_configs:
      - targets: [{targets}]
"""


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def is_ready(self) -> bool:
        """Whether it answers queries."""
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The series that an expression gives now; it fails the test that has a wrong one."""
        place = f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
        try:
            with urllib.request.urlopen(place, timeout=10) as answer:
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expr}: {json.load(error)['error']}") from error
        return found


@contextmanager
def scraping(folder: Path, *targets: str) -> Iterator[Prometheus]:
    """A server that scrapes `host:port` each second, gone in the end."""
    assert PROMETHEUS is not None
    (folder / "prometheus.yml").write_text(_CONFIG.format(targets=", ".join(targets)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        made = Prometheus(f"http://{address}")
        ends = time.monotonic() + 30
        while not made.is_ready():
            assert time.monotonic() < ends, (folder / "prometheus.log").read_text()
            time.sleep(0.05)
        yield made
    finally:
        process.kill()
        process.wait()
