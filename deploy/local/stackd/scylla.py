"""The ScyllaDB stand-in: Apache Cassandra with the hooks in `scylla/`."""

from __future__ import annotations

import subprocess
import tempfile
import zipfile
from pathlib import Path

from stackd import certs, deps, probes, procs
from stackd.errors import StackError
from stackd.service import Archive, Service, class_path, java_command
from stackd.state import State

_PROJECT = deps.HERE / "scylla"
_HEAP_MEGABYTES = 640
USER = PASSWORD = "cassandra"  # noqa: S105 - what Cassandra comes with

# What Cassandra 5 needs of a Java 17.
_EXPORTS = (
    "java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch "
    "java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry "
    "java.rmi/sun.rmi.server java.sql/java.sql"
).split()
_OPENS = (
    "java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect "
    "java.base/java.net java.base/java.nio java.base/java.util java.base/java.util.concurrent "
    "java.base/java.util.concurrent.atomic java.base/jdk.internal.loader "
    "java.base/jdk.internal.math java.base/jdk.internal.module java.base/jdk.internal.ref "
    "java.base/jdk.internal.reflect java.base/jdk.internal.util.jar java.base/sun.nio.ch "
    "jdk.management/com.sun.management.internal"
).split()


def _prepare() -> list[Path]:
    pom = _PROJECT / "pom.xml"
    jars = deps.made(
        "cassandra",
        [pom],
        lambda into: deps.copy_jars(pom, into),
        "downloading Apache Cassandra 5.0.6 (66 MB)",
    )
    sources = [p for p in (_PROJECT / "src").rglob("*") if p.is_file()]
    stand_in = deps.made(
        "scylla",
        [pom, *sources],
        lambda into: _compile(jars, into),
        "building the ScyllaDB stand-in",
    )
    return [stand_in, jars]


def _compile(jars: Path, into: Path) -> None:
    main = _PROJECT / "src" / "main"
    sources = [str(p) for p in sorted((main / "java").rglob("*.java"))]
    with tempfile.TemporaryDirectory() as classes:
        command = [deps.javac(), "--release", str(deps.JAVA_MIN), "-nowarn", "-d", classes]
        done = subprocess.run(
            [*command, "-cp", class_path(jars), *sources],
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode != 0:
            raise StackError(f"the ScyllaDB stand-in does not compile:\n{done.stdout}")
        with zipfile.ZipFile(into / "stand-in.jar", "w", zipfile.ZIP_DEFLATED) as jar:
            for root in (Path(classes), main / "resources"):
                for file in sorted(p for p in root.rglob("*") if p.is_file()):
                    jar.write(file, file.relative_to(root))


def _start(state: State, archive: Archive | None) -> procs.Proc:
    options = [
        "-Xss512k",
        "-XX:+PerfDisableSharedMem",
        "-Djdk.attach.allowAttachSelf=true",
        "-Dio.netty.tryReflectionSetAccessible=true",
        f"-Dstandin.auth={str(state.auth).lower()}",
        *((f"-Dstandin.tls={certs.folder(state)}",) if state.tls else ()),
        *(o for name in _EXPORTS for o in ("--add-exports", f"{name}=ALL-UNNAMED")),
        *(o for name in _OPENS for o in ("--add-opens", f"{name}=ALL-UNNAMED")),
    ]
    command = [
        *java_command(state, _HEAP_MEGABYTES, options, archive),
        "-cp",
        class_path(*_prepare()),
        "standin.Main",
        str(state.data("scylla")),
        str(state.ports["scylla"]),
        str(state.ports["scylla_storage"]),
    ]
    return procs.start(command, state.log("scylla"))


def _probe(state: State) -> None:
    login = (USER, PASSWORD) if state.auth else (None, None)
    probes.scylla(state.ports["scylla"], *login)


SERVICE = Service(
    name="scylla",
    title="ScyllaDB stand-in (Cassandra 5.0.6)",
    prepare=_prepare,
    start=_start,
    probe=_probe,
    address=lambda state: f"127.0.0.1:{state.ports['scylla']}",
)
