"""Apicurio Registry, for its API that is compatible with Confluent's schema registry."""

from __future__ import annotations

import tarfile
from pathlib import Path

from stackd import deps, probes, procs
from stackd.service import Archive, Service, java_command
from stackd.state import State

_VERSION = "2.6.13.Final"
_HEAP_MEGABYTES = 256


def _prepare() -> list[Path]:
    def build(into: Path) -> None:
        archive = deps.copy_artifact(
            f"io.apicurio:apicurio-registry-app:{_VERSION}:tar.gz:all", into
        )
        with tarfile.open(archive) as tar:
            tar.extractall(into, filter="data")
        archive.unlink()

    note = f"downloading Apicurio Registry {_VERSION} (142 MB)"
    return [deps.made("registry", [Path(__file__)], build, note)]


def url(state: State) -> str:
    """The base of the API that Confluent's clients speak."""
    return f"http://127.0.0.1:{state.ports['registry']}/apis/ccompat/v7"


def _start(state: State, archive: Archive | None) -> procs.Proc:
    data = state.data("registry")
    data.mkdir(exist_ok=True)
    options = [
        "-XX:TieredStopAtLevel=1",
        "-Dquarkus.http.host=127.0.0.1",
        f"-Dquarkus.http.port={state.ports['registry']}",
        "-Dquarkus.log.level=WARN",
        "-Dquarkus.banner.enabled=false",
    ]
    jar = _prepare()[0] / f"apicurio-registry-app-{_VERSION}-runner.jar"
    command = [*java_command(state, _HEAP_MEGABYTES, options, archive), "-jar", str(jar)]
    # In a file: in memory, as is its default, a restart would forget every schema. Closing it
    # must be left to the registry, not to H2's own exit hook.
    store = f"jdbc:h2:file:{data / 'registry'};DB_CLOSE_ON_EXIT=FALSE"
    return procs.start(command, state.log("registry"), env={"REGISTRY_DATASOURCE_URL": store})


SERVICE = Service(
    name="registry",
    title=f"Apicurio Registry {_VERSION}",
    prepare=_prepare,
    start=_start,
    probe=lambda state: probes.registry(url(state)),
    address=url,
)
