"""The commands of the stack."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stackd import certs, deps, kafka, postgres, procs, registry, scylla, small_disk, vault
from stackd import state as states
from stackd.errors import StackError, log_tail
from stackd.service import Archive, Service
from stackd.state import State

SERVICES = {s.name: s for s in (postgres.SERVICE, kafka.SERVICE, registry.SERVICE, scylla.SERVICE)}
# These run only where somebody starts them.
MORE = {vault.SERVICE.name: vault.SERVICE}
ALL = {**SERVICES, **MORE}
_START_LIMIT_SECONDS = 120.0
_STOP_LIMIT_SECONDS = 20.0
_POLL_SECONDS = 0.05

_CONFIG = """\
# Made by deploy/local/stack.py for the local stack.
name = "cdcd"

[scylla]
hosts = ["127.0.0.1"]
port = {scylla}
{login}
[kafka]
bootstrap_servers = "127.0.0.1:{kafka}"
topic_replication_factor = 1
topic_min_insync_replicas = 1
topic_partitions = 4

[registry]
url = "{registry}"

[postgres]
dsn = "{postgres}"

[http]
port = 0
"""


def up(folder: Path, *, auth: bool, tls: bool) -> None:
    """Start what does not run, and write down where everything is."""
    _prepare_all()
    with states.locked(folder):
        state = states.load(folder)
        for option, wanted in (("auth", auth), ("tls", tls)):
            if state is not None and getattr(state, option) != wanted:
                word = "without" if wanted else "with"
                raise StackError(
                    f"the stack in {folder} was started {word} --{option}; "
                    "stop it with `down` first"
                )
        if state is None:
            if any(folder.iterdir()):
                raise StackError(f"{folder} is not empty and holds no stack")
            state = states.create(folder, auth=auth, tls=tls)
        if state.tls:
            certs.make(state)
        _start_all(state, SERVICES.values())
    print(f"The local stack is up: {folder / 'stack.json'}")


def down(folder: Path) -> None:
    """Stop everything and remove the folder; what was downloaded stays."""
    if not (folder / states.STATE_FILE).exists():
        print(f"no stack in {folder}")
        return
    with states.locked(folder):
        state = states.load(folder)
        if state is not None:
            with ThreadPoolExecutor(len(ALL)) as pool:
                list(pool.map(lambda s: _stop(state, s), ALL.values()))
            small_disk.unmount(state)
            if state.postgres_home is not None:
                shutil.rmtree(state.postgres_home, ignore_errors=True)
        shutil.rmtree(folder)
    print("The local stack is down, its data removed.")


def status(folder: Path) -> bool:
    """Print a line for each server; whether all answer."""
    state = _existing(folder)
    answers = []
    for service in SERVICES.values():
        proc = state.procs.get(service.name)
        if not procs.alive(proc):
            word = "stopped"
        else:
            word = "ready" if _answers(state, service) else "not answering"
        answers.append(word == "ready")
        pid = proc.pid if proc and word != "stopped" else "-"
        print(f"{service.name:<9} {word:<14} {service.address(state):<48} pid {pid}")
    return all(answers)


def start(folder: Path, name: str) -> None:
    """Start one server again, on its port and data."""
    with states.locked(folder):
        _start_all(_existing(folder), [ALL[name]])


def stop(folder: Path, name: str) -> None:
    """Stop one server in good order."""
    with states.locked(folder):
        _stop(_existing(folder), ALL[name])
    print(f"{ALL[name].title} stopped")


def restart(folder: Path, name: str) -> None:
    """Stop one server and start it again."""
    with states.locked(folder):
        state = _existing(folder)
        _stop(state, ALL[name])
        _start_all(state, [ALL[name]])


def kill(folder: Path, name: str) -> None:
    """SIGKILL one server and its children."""
    with states.locked(folder):
        procs.kill(_existing(folder).procs.get(name))
    print(f"{ALL[name].title} killed")


def seal(folder: Path, _name: str) -> None:
    """Let Vault run on and give nothing, until it is started."""
    vault.seal(_existing(folder))


def mount(folder: Path, _name: str) -> None:
    """Give PostgreSQL a small file system beside its own."""
    with states.locked(folder):
        state = _existing(folder)
        small_disk.mount(state)
        # A stack that an older version started has not written down where it is.
        _write_outputs(state)


def fill(folder: Path, _name: str) -> None:
    """Leave no room on the small file system."""
    small_disk.fill(_existing(folder))


def free(folder: Path, _name: str) -> None:
    """Make room on it."""
    small_disk.free(_existing(folder))


def unmount(folder: Path, _name: str) -> None:
    """Take the small file system away, with what is on it."""
    with states.locked(folder):
        small_disk.unmount(_existing(folder))


# ---- steps -------------------------------------------------------------------------------------


def _existing(folder: Path) -> State:
    state = states.load(folder)
    if state is None:
        raise StackError(f"no stack in {folder}; start one with `up`")
    return state


def _start_all(state: State, services: Iterable[Service]) -> None:
    """At the same time: most of a start is waiting for one core at a time."""
    saving = threading.Lock()

    def started(service: Service, proc: procs.Proc) -> None:
        with saving:
            state.procs[service.name] = proc
            state.save()

    with ThreadPoolExecutor(len(SERVICES)) as pool:
        running = [pool.submit(_start_one, state, s, _archive(s), started) for s in services]
    failures = [f.exception() for f in running if f.exception()]
    _write_outputs(state)
    for failure in failures:
        if failure is not None:
            raise failure


def _start_one(
    state: State,
    service: Service,
    archive: Archive | None,
    started: Callable[[Service, procs.Proc], None],
    *,
    quiet: bool = False,
) -> None:
    begin = time.monotonic()
    proc = state.procs.get(service.name)
    running = procs.alive(proc)
    if proc is None or not running:
        proc = service.start(state, archive)
        started(service, proc)
    log = state.log(service.name)
    while True:
        answers = _answers(state, service, start=True)
        if not procs.alive(proc):  # an answer may be another program's, on the port we wanted
            raise StackError(f"{service.title} ended at its start; see {log}{log_tail(log)}")
        if answers:
            break
        if time.monotonic() - begin > _START_LIMIT_SECONDS:
            raise StackError(
                f"{service.title} does not answer after {_START_LIMIT_SECONDS:.0f} s; "
                f"see {log}{log_tail(log)}"
            )
        time.sleep(_POLL_SECONDS)
    if not quiet:
        word = "already running" if running else f"ready in {time.monotonic() - begin:.1f} s"
        print(f"==> {service.title:<36} {service.address(state):<48} {word}", flush=True)


def _answers(state: State, service: Service, *, start: bool = False) -> bool:
    try:
        if start and service.open is not None:
            service.open(state)
        service.probe(state)
    except (OSError, ValueError):
        return False
    return True


def _stop(state: State, service: Service) -> None:
    procs.stop(state.procs.get(service.name), service.stop_signal, _STOP_LIMIT_SECONDS)


def _write_outputs(state: State) -> None:
    ports = state.ports
    node: dict[str, object] = {"host": "127.0.0.1", "port": ports["scylla"]}
    login = ""
    if state.auth:
        node |= {"username": scylla.USER, "password": scylla.PASSWORD}
        login = f'username = "{scylla.USER}"\npassword = "{scylla.PASSWORD}"\n'
    outputs: dict[str, object] = {
        "scylla": node,
        "kafka": kafka.SERVICE.address(state),
        "registry": registry.url(state),
        "postgres": postgres.url(state),
        "postgres_admin": postgres.url(state, "postgres"),
        "config": str(state.folder / "cdcd.toml"),
        "control": [sys.executable, str(Path(__file__).parents[1] / "stack.py")],
        "pids": {name: p.pid for name, p in state.procs.items()},
        "logs": {name: str(state.log(name)) for name in SERVICES},
    }
    if (space := small_disk.space(state)) is not None:
        outputs["small_disk"] = str(space)
    if (token := vault.token(state)) is not None:
        outputs["vault"] = {"url": vault.url(state), "token": token, "login": vault.LOGIN}
    # A stack that was made by an older version has no such listener.
    for name in ("kafka_behind", "kafka_proxy"):
        if name in ports:
            outputs[name] = f"127.0.0.1:{ports[name]}"
    if state.tls:
        outputs["tls"] = {
            "folder": str(certs.folder(state)),
            "kafka": f"127.0.0.1:{ports['kafka_tls']}",
            "kafka_login": f"127.0.0.1:{ports['kafka_login']}",
        }
    config = _CONFIG.format(
        scylla=ports["scylla"],
        login=login,
        kafka=ports["kafka"],
        registry=registry.url(state),
        postgres=postgres.url(state),
    )
    states.write_private(state.folder / "stack.json", json.dumps(outputs, indent=2) + "\n")
    states.write_private(state.folder / "cdcd.toml", config)


# ---- what is made once -------------------------------------------------------------------------


def _prepare_all() -> None:
    deps.java_version()
    folders = {s.name: s.prepare() for s in SERVICES.values()}
    for service in SERVICES.values():
        if service.is_java:
            _make_archive(service, folders[service.name])


def _archive(service: Service) -> Archive | None:
    return Archive(deps.DEPS / f"{service.name}-classes" / "classes.jsa", record=False)


def _make_archive(service: Service, folders: list[Path]) -> None:
    """By one start and stop in a scratch folder, at which the JVM writes down its classes."""

    def build(into: Path) -> None:
        with tempfile.TemporaryDirectory(dir=into) as scratch:
            state = states.create(Path(scratch), auth=False, tls=False)
            archive = Archive(into / "classes.jsa", record=True)
            _start_one(
                state, service, archive, lambda s, p: state.procs.update({s.name: p}), quiet=True
            )
            _stop(state, service)

    # The JVM takes an archive only with its own version and the very paths of the jars.
    salt = f"{deps.java_version()} {deps.DEPS}"
    stamps = [f / ".stamp" for f in folders]
    note = f"recording the classes of {service.title}"
    deps.made(f"{service.name}-classes", stamps, build, note, salt)
