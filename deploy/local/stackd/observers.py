"""What watches the daemon: Jaeger, Prometheus and Alertmanager, each on ports of its own."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from stackd import jaeger, probes, procs
from stackd.errors import StackError, log_tail
from stackd.jaeger import Jaeger
from stackd.state import free_ports

_START_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.05
_PACKAGES = {"prometheus": "prometheus", "prometheus-alertmanager": "prometheus-alertmanager"}
# What compose.yaml gives them.
_CONFIG = Path(__file__).resolve().parents[2] / "prometheus"


@dataclass(frozen=True, slots=True)
class Observer:
    """A server that runs, and its address."""

    name: str
    url: str
    proc: procs.Proc


def start_jaeger(folder: Path) -> tuple[Observer, Jaeger]:
    """Jaeger; its log is in the folder."""
    ports = free_ports(("collector", "query"))
    made = Jaeger(*(f"http://127.0.0.1:{ports[name]}" for name in ("collector", "query")))
    command = jaeger.command(**ports)
    return _started("Jaeger", command, folder, made.url, "/api/services"), made


def start_alertmanager(folder: Path) -> Observer:
    """Alertmanager with the project's settings; its data and its log are in the folder."""
    url, address = _address()
    command = [
        _program("prometheus-alertmanager"),
        f"--config.file={_CONFIG / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    return _started("Alertmanager", command, folder, url, "/-/ready")


def start_prometheus(folder: Path, daemon: str, alertmanager: str) -> Observer:
    """Prometheus with the project's settings and rules, between a daemon and an Alertmanager that
    are given as `host:port`; its data and its log are in the folder.
    """
    url, address = _address()
    text = (_CONFIG / "prometheus.yml").read_text("utf-8")
    for name, place in (("cdcd:8080", daemon), ("alertmanager:9093", alertmanager)):
        text = text.replace(name, place)
    config = folder / "prometheus.yml"
    for rules in ("cdcd.rules.yml", "cdcd.objectives.yml"):
        text = text.replace(rules, str(_CONFIG / rules))
    config.write_text(text)
    command = [
        _program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}",
    ]
    return _started("Prometheus", command, folder, url, "/-/ready")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise StackError(f"{name} is missing. On Debian: apt-get install {_PACKAGES[name]}")
    return found


def _address() -> tuple[str, str]:
    address = f"127.0.0.1:{free_ports(('web',))['web']}"
    return f"http://{address}", address


def _started(name: str, command: list[str], folder: Path, url: str, ready: str) -> Observer:
    log = folder / f"{name.lower()}.log"
    proc = procs.start(command, log)
    ends = time.monotonic() + _START_SECONDS_MAX
    while True:
        answers = _answers(f"{url}{ready}")
        if not procs.alive(proc) or time.monotonic() > ends:
            procs.kill(proc)
            raise StackError(f"{name} did not start; see {log}{log_tail(log)}")
        if answers:
            return Observer(name, url, proc)
        time.sleep(_POLL_SECONDS)


def _answers(url: str) -> bool:
    try:
        probes.page(url)
    except OSError:
        return False
    return True
