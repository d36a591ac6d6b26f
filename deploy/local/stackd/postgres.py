"""PostgreSQL: the machine's own, or one that Maven brings.

It refuses to run as root. Then it runs as another user that exists, with all it needs in a folder
of that user outside of the clone, whose parents may be closed to everyone but root.
"""

from __future__ import annotations

import os
import platform
import pwd
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

from stackd import certs, deps, pgprobe, procs
from stackd.errors import StackError
from stackd.service import Archive, Service
from stackd.state import State

_VERSION = "16.9.0"
ROLE = "cdcd"
DATABASE = "warehouse"
_TOOLS = ("initdb", "postgres")
_USERS_FOR_ROOT = ("postgres", "nobody")
# A folder with PostgreSQL's programs, or `maven` for the downloaded ones in any case.
_BIN_VARIABLE = "STACK_POSTGRES_BIN"
_OPEN_FOLDERS = ("/var/tmp", "/tmp")  # noqa: S108 - mkdtemp makes a private folder there

_CONF = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 100
shared_buffers = 128MB
fsync = on
password_encryption = scram-sha-256
timezone = 'UTC'
"""
_HBA = "host all all 127.0.0.1/32 scram-sha-256\n"
_TLS_CONF = """
ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
ssl_ca_file = 'ca.pem'
"""
# The stack's own roles may come without; every other one needs a certificate too, and one of the
# name `by_certificate` needs nothing else.
_TLS_HBA = f"""\
hostnossl all postgres,{ROLE} 127.0.0.1/32 scram-sha-256
hostssl all by_certificate 127.0.0.1/32 cert clientcert=verify-full
hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
"""


def _prepare() -> list[Path]:
    return [_bin_folder()]


def _bin_folder() -> Path:
    wanted = os.environ.get(_BIN_VARIABLE)
    if wanted and wanted != "maven":
        return Path(wanted)
    if not wanted:
        for folder in _usual_folders():
            if all((folder / tool).exists() for tool in _TOOLS):
                return (folder / "postgres").resolve().parent
    return _downloaded() / "bin"


def _usual_folders() -> list[Path]:
    folders = [Path(p) for p in os.environ.get("PATH", "").split(os.pathsep) if p]
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(debian, key=lambda p: -float(p.parent.name))
    return [*newest_first, *folders, Path("/usr/local/bin")]


def _downloaded() -> Path:
    cpu = {"x86_64": "amd64", "aarch64": "arm64v8"}.get(platform.machine())
    if cpu is None:
        raise StackError(
            "PostgreSQL is missing and there is none to download for this machine. "
            "On Debian: apt-get install postgresql"
        )

    def build(into: Path) -> None:
        artifact = f"io.zonky.test.postgres:embedded-postgres-binaries-linux-{cpu}:{_VERSION}"
        jar = deps.copy_artifact(artifact, into)
        with zipfile.ZipFile(jar) as z:
            packed = next(n for n in z.namelist() if n.endswith(".txz"))
            with z.open(packed) as f, tarfile.open(fileobj=f, mode="r:xz") as tar:
                tar.extractall(into, filter="tar")
        jar.unlink()

    return deps.made(
        "postgres", [Path(__file__)], build, f"downloading PostgreSQL {_VERSION} (15 MB)"
    )


# ---- start -------------------------------------------------------------------------------------


def _start(state: State, _archive: Archive | None) -> procs.Proc:
    owner = server_user()
    if state.postgres_home is None or not state.postgres_home.exists():
        state.postgres_home = _make_home(state, owner)
        state.save()
    home = state.postgres_home
    programs = _reachable_programs(home, owner)
    data = home / "data"
    if not (data / "ready").exists():
        shutil.rmtree(data, ignore_errors=True)
        _initialise(state, programs, data, owner)
    _remove_stale_pid_file(data)
    return procs.start(
        [str(programs / "postgres"), "-D", str(data)], state.log("postgres"), owner=owner, cwd=home
    )


def server_user() -> procs.Owner | None:
    """Who runs the server; None for the present user."""
    if os.geteuid() != 0:
        return None
    for name in _USERS_FOR_ROOT:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return procs.Owner(name, user.pw_uid, user.pw_gid)
    raise StackError(
        "PostgreSQL does not run as root, and there is no user "
        f"{' or '.join(_USERS_FOR_ROOT)} to run it as"
    )


def _remove_stale_pid_file(data: Path) -> None:
    """After a kill: PostgreSQL takes a zombie for a running server and would not start."""
    pid_file = data / "postmaster.pid"
    if pid_file.exists() and procs.is_zombie(int(pid_file.read_text().split()[0])):
        pid_file.unlink()


def _make_home(state: State, owner: procs.Owner | None) -> Path:
    if owner is None:
        home = state.data("postgres")
        home.mkdir(mode=0o700, exist_ok=True)
        return home
    # Not TMPDIR, which may be closed to other users.
    base = next(p for p in _OPEN_FOLDERS if os.access(p, os.W_OK))
    home = Path(tempfile.mkdtemp(prefix="cdcd-postgres-", dir=base))
    os.chown(home, owner.uid, owner.gid)
    return home


def _reachable_programs(home: Path, owner: procs.Owner | None) -> Path:
    copied = home / "programs"
    if copied.exists():
        return copied / "bin"
    programs = _bin_folder()
    try:
        procs.run([str(programs / "postgres"), "--version"], owner=owner)
    except PermissionError:
        part = home / "programs.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(programs.parent, part, symlinks=True)
        part.chmod(0o755)
        part.rename(copied)
        return copied / "bin"
    return programs


def _initialise(state: State, programs: Path, data: Path, owner: procs.Owner | None) -> None:
    # No password file: passwords are set below, before anyone can connect.
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust"]
    _must(
        procs.run([*initdb, "-E", "UTF8", "--no-locale", "--no-sync"], owner=owner, cwd=data.parent)
    )
    with (data / "postgresql.conf").open("a") as conf:
        conf.write(_CONF.format(port=state.ports["postgres"]) + (_TLS_CONF if state.tls else ""))
    (data / "pg_hba.conf").write_text(_TLS_HBA if state.tls else _HBA)
    if state.tls:
        _copy_certificates(state, data, owner)
    statements = (
        f"ALTER ROLE postgres PASSWORD '{state.passwords['postgres']}'\n"
        f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{state.passwords['cdcd']}'\n"
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}\n"
    )
    single = [str(programs / "postgres"), "--single", "-j", "-D", str(data), "postgres"]
    statements = statements.replace("\n", ";\n\n")  # -j: a statement ends with an empty line
    done = procs.run(single, owner=owner, stdin=statements, cwd=data.parent)
    _must(done)
    if re.search(r"\b(ERROR|FATAL)\b", done.stdout):
        raise StackError(f"PostgreSQL could not be set up:\n{done.stdout}")
    (data / "ready").touch()


def _copy_certificates(state: State, data: Path, owner: procs.Owner | None) -> None:
    """Into a folder that the server's user may read."""
    folder = certs.folder(state)
    for name, copy in (("postgres.pem", "server.pem"), ("postgres.key", "server.key")):
        shutil.copy(folder / name, data / copy)
        if owner is not None:
            os.chown(data / copy, owner.uid, owner.gid)
    shutil.copy(folder / "ca.pem", data / "ca.pem")


def _must(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode != 0:
        raise StackError(f"PostgreSQL could not be set up:\n{done.stdout}")


# ---- use ---------------------------------------------------------------------------------------


def url(state: State, role: str = ROLE) -> str:
    """For psql, asyncpg and everything else."""
    return f"postgresql://{role}:{state.passwords[role]}@127.0.0.1:{state.ports['postgres']}/{DATABASE}"


def _probe(state: State) -> None:
    pgprobe.login(state.ports["postgres"], ROLE, state.passwords[ROLE], DATABASE)


SERVICE = Service(
    name="postgres",
    title="PostgreSQL",
    prepare=_prepare,
    start=_start,
    probe=_probe,
    address=lambda state: f"127.0.0.1:{state.ports['postgres']}",
    stop_signal=signal.SIGINT,  # SIGTERM waits until every client has gone
    is_java=False,
)
