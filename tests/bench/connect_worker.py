"""Kafka Connect's own worker with Debezium's JDBC sink, as a user would tune it.

All of it comes from Maven and is kept in `.deps`. The settings are those that measured best here:
one task, upserts in batches of 3,000 merged by key, fetches of 6,000 and rewritten batches.
"""

import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

from tests.stack import ROOT, Stack

sys.path.insert(0, str(ROOT / "deploy" / "local"))

from stackd import deps

_POM = Path(__file__).parent / "connect" / "pom.xml"
SINK = "io.debezium:debezium-connector-jdbc:3.6.0.Final"
HEAP = os.environ.get("CDCD_RACE_CONNECT_HEAP", "1g")
_LOGGING = deps.HERE / "kafka" / "log4j2.xml"
_CONVERTER = "io.apicurio.registry.utils.converter.AvroConverter"


def _plugin(into: Path) -> None:
    packed = deps.copy_artifact(f"{SINK}:zip:plugin", into)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(into)
    packed.unlink()


def prepared() -> tuple[Path, Path]:
    """The worker's jars and the folder of plugins, downloaded once. Raises StackError."""
    jars = deps.made(
        "connect", [_POM], lambda into: deps.copy_jars(_POM, into), "downloading Kafka Connect"
    )
    plugins = deps.made("connect-jdbc", [], _plugin, "downloading Debezium's JDBC sink", SINK)
    return jars, plugins


class ConnectWorker:
    """One standalone worker that applies one topic of flat records to one table."""

    def __init__(self, stack: Stack, folder: Path, name: str) -> None:
        self._stack = stack
        self._folder = folder
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, topic: str, dsn: str, table: str) -> None:
        """Start it; it makes the table."""
        jars, plugins = prepared()
        worker = self._write("worker", self._worker(plugins))
        connector = self._write("connector", self._connector(topic, dsn, table))
        command = [deps.java(), f"-Xmx{HEAP}", f"-Dlog4j2.configurationFile={_LOGGING}"]
        command += ["-cp", f"{jars}/*", "org.apache.kafka.connect.cli.ConnectStandalone"]
        with (self._folder / f"{self._name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, str(worker), str(connector)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """End it, at once: nothing of it is needed again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _worker(self, plugins: Path) -> dict[str, object]:
        at = urlsplit(self._stack.registry)
        found: dict[str, object] = {
            "bootstrap.servers": self._stack.kafka,
            "plugin.path": plugins,
            "listeners": f"http://127.0.0.1:{_free_port()}",
            "offset.storage.file.filename": self._folder / f"{self._name}.offsets",
            "offset.flush.interval.ms": 10_000,
        }
        for part in ("key", "value"):
            found |= {
                f"{part}.converter": _CONVERTER,
                f"{part}.converter.apicurio.registry.url": f"http://{at.netloc}/apis/registry/v2",
                f"{part}.converter.apicurio.registry.as-confluent": "true",
                f"{part}.converter.apicurio.registry.use-id": "contentId",
            }
        return found

    def _connector(self, topic: str, dsn: str, table: str) -> dict[str, object]:
        at = urlsplit(dsn)
        return {
            "name": self._name,
            "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
            "tasks.max": 1,
            "topics": topic,
            "connection.url": f"jdbc:postgresql://{at.hostname}:{at.port}{at.path}"
            "?reWriteBatchedInserts=true",
            "connection.username": at.username,
            "connection.password": at.password,
            "collection.name.format": table,
            "schema.evolution": "basic",
            "insert.mode": "upsert",
            "primary.key.mode": "record_key",
            "delete.enabled": "true",
            "batch.size": 3000,
            "use.reduction.buffer": "true",
            "consumer.override.max.poll.records": 6000,
            "consumer.override.auto.offset.reset": "earliest",
        }

    def _write(self, what: str, properties: dict[str, object]) -> Path:
        path = self._folder / f"{self._name}.{what}.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
