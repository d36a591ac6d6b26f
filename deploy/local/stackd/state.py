"""What a stack remembers between commands, in its folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import secrets
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stackd.errors import StackError
from stackd.procs import Proc

STATE_FILE = "state.json"
_SAVING = threading.Lock()
PORT_NAMES = (
    *("postgres", "kafka", "kafka_controller", "kafka_behind", "kafka_proxy"),
    *("registry", "scylla", "scylla_storage"),
    *("vault", "vault_raft"),
    *("kafka_tls", "kafka_login"),
)
# Below the kernel's ephemeral range: while a server is down for a test, no outgoing connection of
# another program may be given its port.
_PORTS = range(20_000, 32_000)


@dataclass(slots=True)
class State:
    """Everything that must be the same when a server is started again."""

    folder: Path
    auth: bool
    # Whether servers have listeners with TLS beside the plain ones.
    tls: bool
    ports: dict[str, int]
    passwords: dict[str, str]
    kafka_cluster_id: str
    postgres_home: Path | None = None
    procs: dict[str, Proc] = field(default_factory=dict)

    def log(self, service: str) -> Path:
        """Where a server's output goes."""
        return self.folder / "logs" / f"{service}.log"

    def data(self, service: str) -> Path:
        """What a server keeps."""
        return self.folder / "data" / service

    def save(self) -> None:
        """Write it down for the next command."""
        # Servers start side by side, and each is saved: the last one saved has to know of all.
        with _SAVING:
            raw = asdict(self)
            del raw["folder"]
            raw["postgres_home"] = str(self.postgres_home) if self.postgres_home else None
            write_private(self.folder / STATE_FILE, json.dumps(raw, indent=1) + "\n")


def create(folder: Path, *, auth: bool, tls: bool) -> State:
    """Make a new stack in a folder that exists: its ports, its passwords, nothing started."""
    for sub in ("", "logs", "data", "tmp"):
        (folder / sub).mkdir(mode=0o700, exist_ok=True)
    state = State(
        folder=folder,
        auth=auth,
        tls=tls,
        ports=free_ports(PORT_NAMES),
        # In hexadecimal: nothing in them needs quoting in a URL, TOML or SQL.
        passwords={name: secrets.token_hex(16) for name in ("cdcd", "postgres")},
        kafka_cluster_id=_cluster_id(),
    )
    state.save()
    return state


def load(folder: Path) -> State | None:
    """None if no stack was made in the folder."""
    try:
        raw = json.loads((folder / STATE_FILE).read_text())
    except FileNotFoundError:
        return None
    except ValueError as e:
        raise StackError(f"{folder / STATE_FILE} cannot be read: {e}") from e
    # A stack that was made by an older version has no TLS.
    raw.setdefault("tls", False)
    raw["procs"] = {name: Proc(**p) for name, p in raw["procs"].items()}
    raw["postgres_home"] = Path(raw["postgres_home"]) if raw["postgres_home"] else None
    return State(folder=folder, **raw)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One command at a time. The lock is on the folder itself, so that nothing is left behind."""
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if _same(fd, folder):
                yield
                return
        finally:
            os.close(fd)
        # A `down` has removed the folder while this waited: take the next one.


def write_private(path: Path, text: str) -> None:
    """Readable by the owner only, and never half-written."""
    part = path.with_name(path.name + ".part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as f:
        f.write(text)
    part.replace(path)


def _same(fd: int, folder: Path) -> bool:
    try:
        there = folder.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """A port for each name that nobody listens on."""
    ports: dict[str, int] = {}
    for name in names:
        for _ in range(1000):
            port = random.choice(_PORTS)  # noqa: S311 - no secret
            if port not in ports.values() and _is_free(port):
                ports[name] = port
                break
        else:
            raise StackError("no free port on 127.0.0.1")
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _cluster_id() -> str:
    """An id for Kafka. Its storage tool takes one that begins with a dash for an option."""
    while (found := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return found
