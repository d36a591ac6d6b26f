"""A keyspace, a pipeline and a target schema of its own for each scenario."""

import itertools
import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import RoundRobinPolicy

from tests.scenario.daemon import Daemon
from tests.stack import Stack

_number = itertools.count()

# Of the end of a failed test's log, in characters.
LOG_SHOWN = 10_000


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed scenario shows what its workers logged, and where they stand now."""
    report = yield
    place = getattr(item, "funcargs", {}).get("place")
    if report.failed and isinstance(place, Place):
        for number, daemon in enumerate(place.daemons):
            report.sections.append((f"log of worker {number}", daemon.output[-LOG_SHOWN:]))
            standing = json.dumps(daemon.get("/status")[1], indent=1)
            report.sections.append((f"status of worker {number}", standing))
    return report


@contextmanager
def connected(stack: Stack) -> Iterator[tuple[Stack, Session]]:
    """A connection of the driver's own."""
    profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=60)
    cluster = Cluster(
        [stack.scylla_host],
        port=stack.scylla_port,
        protocol_version=4,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )
    try:
        yield stack, cluster.connect()
    finally:
        cluster.shutdown()


@pytest.fixture(scope="session")
def session(stack: Stack) -> Iterator[Session]:
    """A connection that all scenarios share."""
    with connected(stack) as (_, session):
        yield session


@dataclass
class Place:
    """Names that no other test uses, and the settings that name them."""

    stack: Stack
    session: Session
    folder: Path
    name: str
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    daemons: list[Daemon] = field(default_factory=list)

    @property
    def schema(self) -> str:
        """The target schema."""
        return f"{self.name}_target"

    def begin(self) -> None:
        """Make the keyspace."""
        self.session.execute(
            f"CREATE KEYSPACE {self.name} WITH replication ="
            " {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
            " AND tablets = {'enabled': false}"
        )

    def end(self) -> None:
        """End what was started, and sweep."""
        for daemon in self.daemons:
            daemon.end()
        self.session.execute(f"DROP KEYSPACE {self.name}")

    def execute(self, cql: str) -> None:
        """Run a statement with `$ks` for the keyspace."""
        self.session.execute(cql.replace("$ks", self.name))

    def config(self) -> Path:
        """The settings, in a file."""
        file = self.folder / "cdcd.toml"
        file.write_text(self._toml())
        return file

    def daemon(self, *arguments: str, **flags: str) -> Daemon:
        """A worker that is not started yet; its instance is `one` unless told otherwise, and it
        begins with the log, so that each log row is to be found in the topic.
        """
        config = self.config()
        instance, start = flags.get("instance", "one"), flags.get("start", "log")
        folder = self.folder / f"daemon-{len(self.daemons)}"
        folder.mkdir()
        named = ("run", "--name", self.name, "--instance", instance, "--start", start)
        daemon = Daemon(config, folder, *named, *arguments)
        self.daemons.append(daemon)
        return daemon

    def _toml(self) -> str:
        sections: dict[str, dict[str, object]] = {
            "scylla": {"hosts": [self.stack.scylla_host], "port": self.stack.scylla_port},
            "kafka": {
                "bootstrap_servers": self.stack.kafka,
                "topic_replication_factor": 1,
                "topic_min_insync_replicas": 1,
                "topic_partitions": 4,
            },
            "registry": {"url": self.stack.registry},
            "postgres": {"dsn": self.stack.postgres, "target_schema": self.schema},
            "http": {"port": 0},
            # Late rows are to be found while a test waits for them.
            "source": {"settle_delays_seconds": [5, 30]},
        }
        for section, values in self.settings.items():
            sections.setdefault(section, {}).update(values)
        # JSON's strings, numbers and arrays are TOML's too.
        return "\n".join(
            f"[{section}]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in values.items())
            for section, values in sections.items()
        )


@pytest.fixture
def place(stack: Stack, session: Session, tmp_path: Path) -> Iterator[Place]:
    """A place of its own, swept afterwards."""
    here = Place(stack, session, tmp_path, f"s{os.getpid()}_{next(_number)}")
    here.begin()
    yield here
    here.end()


@pytest.fixture
def make_table(place: Place) -> Callable[[str], None]:
    """Make a table with CDC of `name (columns)`."""

    def make(definition: str) -> None:
        place.execute(f"CREATE TABLE $ks.{definition} WITH cdc = {{'enabled': true}}")

    return make


@pytest.fixture
def started(place: Place) -> Place:
    """A place whose positions are saved often, so that a comparison waits for little."""
    place.settings["source"] = {"settle_delays_seconds": [1, 5], "position_seconds_max": 1}
    return place
