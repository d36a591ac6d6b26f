"""Kafka Connect's own worker with the connectors that cdcd replaces, as a user would tune them.

All of it comes from Maven and is kept in `.deps`; ScyllaDB's source connector may also come from
the folder that CDCD_RACE_SCYLLA_PLUGIN names. The sink's settings are those that measured best
here: one task, upserts in batches of 3,000 merged by key, fetches of 6,000 and rewritten batches.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.stack import ROOT, Stack

sys.path.insert(0, str(ROOT / "deploy" / "local"))

from stackd import deps
from stackd.errors import StackError

_POM = Path(__file__).parent / "connect" / "pom.xml"
SINK = "io.debezium:debezium-connector-jdbc:3.6.0.Final"
SOURCE = "com.scylladb:scylla-cdc-source-connector:2.0.3:jar:jar-with-dependencies"
HEAP = os.environ.get("CDCD_RACE_CONNECT_HEAP", "1g")
_LOGGING = deps.HERE / "kafka" / "log4j2.xml"
_CONVERTER = "io.apicurio.registry.utils.converter.AvroConverter"
# Of the windows that ScyllaDB's connector reads, and of its distance to the clock. By default both
# are 30 s, with which no change is there before a minute.
SOURCE_WINDOW_MS = 1000
# The connector counts back from its own start, and the worker takes its time until then.
START_MS_MAX = 60_000
Properties = dict[str, object]


class NotHad(Exception):
    """An arm that cannot run; the text is the reason."""


def _unpack(into: Path) -> None:
    packed = deps.copy_artifact(f"{SINK}:zip:plugin", into)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(into)
    packed.unlink()


def _fetch_source(into: Path) -> None:
    (into / "scylla").mkdir()
    deps.copy_artifact(SOURCE, into / "scylla")


def prepared() -> tuple[Path, Path]:
    """The worker's jars and the folder of plugins, downloaded once. Raises StackError."""
    jars = deps.made(
        "connect", [_POM], lambda into: deps.copy_jars(_POM, into), "downloading Kafka Connect"
    )
    plugins = deps.made("connect-jdbc", [], _unpack, "downloading Debezium's JDBC sink", SINK)
    return jars, plugins


def source_plugin(folder: Path) -> Path:
    """A folder of plugins with ScyllaDB's source connector. Raises NotHad."""
    if named := os.environ.get("CDCD_RACE_SCYLLA_PLUGIN"):
        if not Path(named).is_dir():
            raise NotHad(f"CDCD_RACE_SCYLLA_PLUGIN: {named} is no folder")
        # A plugin is a folder within a folder of plugins, whatever is in it.
        link = folder / "plugins" / "scylla"
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path(named).resolve())
        return link.parent
    try:
        return deps.made(
            "connect-scylla", [], _fetch_source, "downloading ScyllaDB's connector", SOURCE
        )
    except StackError:
        version = ":".join(SOURCE.split(":")[:3])
        raise NotHad(f"Maven does not resolve {version}") from None


def jdbc_sink(topic: str, dsn: str, table: str, *, flatten: bool = False) -> Properties:
    """Debezium's sink of one topic into one table, which it makes itself; `flatten` takes the
    envelopes of ScyllaDB's connector apart.
    """
    at = urlsplit(dsn)
    found: Properties = {
        "name": f"jdbc-{table}",
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
    if flatten:
        transform = "com.scylladb.cdc.debezium.connector.transforms.ScyllaExtractNewRecordState"
        found |= {"transforms": "flat", "transforms.flat.type": transform}
        found |= {"transforms.flat.delete.tombstone.handling.mode": "tombstone"}
    return found


def scylla_source(stack: Stack, prefix: str, table: str, since_ms: int) -> Properties:
    """ScyllaDB's connector on one table's log, which it publishes as `PREFIX.KEYSPACE.TABLE`. The
    log has no post-images, and only this form works without them. Told nothing, it would read
    windows since the cluster's first generation; it begins at a time.
    """
    look_back_ms = time.time_ns() // 1_000_000 - since_ms + START_MS_MAX
    found: Properties = {
        "name": f"scylla-{prefix}",
        "connector.class": "com.scylladb.cdc.debezium.connector.ScyllaConnector",
        "tasks.max": 1,
        "topic.prefix": prefix,
        "scylla.cluster.ip.addresses": f"{stack.scylla_host}:{stack.scylla_port}",
        "scylla.table.names": table,
        "scylla.query.time.window.size": SOURCE_WINDOW_MS,
        "scylla.confidence.window.size": SOURCE_WINDOW_MS,
        "scylla.initial.lookback.ms": look_back_ms,
        "cdc.output.format": "legacy",
        "topic.creation.default.replication.factor": 1,
        "topic.creation.default.partitions": 4,
    }
    if stack.scylla_login:
        found |= dict(zip(("scylla.user", "scylla.password"), stack.scylla_login, strict=True))
    return found


class ConnectWorker:
    """One standalone worker of some connectors."""

    def __init__(self, stack: Stack, folder: Path, name: str) -> None:
        self._stack = stack
        self._folder = folder
        self._name = name
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *connectors: Properties, plugins: tuple[Path, ...] = ()) -> None:
        """Start it, with further folders of plugins."""
        jars, jdbc = prepared()
        files = [self._write("worker", self._worker((jdbc, *plugins)))]
        for number, properties in enumerate(connectors):
            files.append(self._write(f"connector{number}", properties))
        command = [deps.java(), f"-Xmx{HEAP}", f"-Dlog4j2.configurationFile={_LOGGING}"]
        command += ["-cp", f"{jars}/*", "org.apache.kafka.connect.cli.ConnectStandalone"]
        with (self._folder / f"{self._name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *map(str, files)], stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def failure(self) -> str | None:
        """Why a task of it has failed, in a line; None while all is well, or not known yet."""
        assert self._process is not None
        if self._process.poll() is not None:
            return f"the worker ended with {self._process.returncode}"
        try:
            names = self._ask("connectors")
            statuses = [self._ask(f"connectors/{name}/status") for name in names]
        except OSError:
            return None
        return failed_task(statuses)

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{path}", timeout=5) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """End it, at once: nothing of it is needed again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _worker(self, plugins: tuple[Path, ...]) -> Properties:
        at = urlsplit(self._stack.registry)
        found: Properties = {
            "bootstrap.servers": self._stack.kafka,
            "plugin.path": ",".join(map(str, plugins)),
            "listeners": f"http://127.0.0.1:{self._port}",
            "offset.storage.file.filename": self._folder / f"{self._name}.offsets",
            "offset.flush.interval.ms": 10_000,
        }
        for part in ("key", "value"):
            found |= {
                f"{part}.converter": _CONVERTER,
                f"{part}.converter.apicurio.registry.url": f"http://{at.netloc}/apis/registry/v2",
                f"{part}.converter.apicurio.registry.as-confluent": "true",
                f"{part}.converter.apicurio.registry.use-id": "contentId",
                f"{part}.converter.apicurio.registry.auto-register": "true",
            }
        return found

    def _write(self, what: str, properties: Properties) -> Path:
        path = self._folder / f"{self._name}.{what}.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        return path


def failed_task(statuses: list[dict[str, Any]]) -> str | None:
    """The innermost cause that a failed connector or task names."""
    for status in statuses:
        for part in (status["connector"], *status["tasks"]):
            if part["state"] == "FAILED":
                lines = part.get("trace", "").splitlines() or ["no trace"]
                causes = [line for line in lines if line.startswith("Caused by: ")]
                said = (causes or lines[:1])[-1].removeprefix("Caused by: ")
                return f"{status['name']}: {said}"
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
