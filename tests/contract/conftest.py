"""A connection to the database, and keyspaces of either kind to write in."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from string import Template

import pytest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import RoundRobinPolicy

from tests import stack
from tests.contract.case import TABLES, TYPES, Case, Group
from tests.contract.log import checked_groups, read

KINDS = ("vnodes", "tablets")
REPLICATION = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"

# Names and keys differ from run to run, so that runs can follow each other on one server.
_run = time.time_ns() // 1_000_000 % 100_000_000
_number = itertools.count(_run * 10)


@dataclass(slots=True)
class Keyspace:
    """A keyspace; `create` makes a table with its log, `run` a case in a partition of its own."""

    session: Session
    kind: str
    name: str
    tables: dict[str, str] = field(default_factory=dict)

    def execute(self, statement: str, **values: object) -> object:
        """Runs a statement with `$ks` and the given `$names` filled in."""
        text = Template(statement).substitute(values, ks=self.name)
        return self.session.execute(text)

    def create(self, definition: Callable[[str], str]) -> str:
        """A new table, of which `definition` gives the statement for its name."""
        table = f"{self.name}.t{next(_number)}"
        self.execute(definition(table))
        return table

    def table(self, of: str) -> str:
        """The table of that name in TABLES, made when first asked for."""
        if of not in self.tables:
            self.tables[of] = self.create(TABLES[of].create)
        return self.tables[of]

    def write(self, case: Case) -> int:
        """Runs the case's statements; returns the partition key that it used."""
        pk, table = next(_number), self.table(case.table)
        for statement in (*case.before, *case.statements):
            now = time.time_ns() // 1000
            self.execute(statement, t=table, pk=pk, now=now, next=now + 1)
        return pk

    def run(self, case: Case) -> list[Group]:
        """Runs the case and returns the groups that its statements left in the log."""
        pk = self.write(case)
        found = checked_groups(read(self.session, self.table(case.table), {"pk": pk}), "pk")
        return found[len(case.before) :]


@contextmanager
def new_keyspace(session: Session, kind: str) -> Iterator[Keyspace]:
    """A keyspace with the types of TYPES, dropped at the end."""
    name = f"contract_{kind}_{next(_number)}"
    tablets = str(kind == "tablets").lower()
    session.execute(
        f"CREATE KEYSPACE {name} WITH replication = {REPLICATION}"
        f" AND tablets = {{'enabled': {tablets}}}"
    )
    try:
        keyspace = Keyspace(session, kind, name)
        for statement in TYPES:
            keyspace.execute(statement)
        yield keyspace
    finally:
        session.execute(f"DROP KEYSPACE {name}")


@pytest.fixture(scope="session")
def services() -> stack.Stack:
    return stack.load()


@pytest.fixture(scope="session")
def session(services: stack.Stack) -> Iterator[Session]:
    login = services.scylla_login
    profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=60)
    cluster = Cluster(
        [services.scylla_host],
        port=services.scylla_port,
        auth_provider=login and PlainTextAuthProvider(*login),
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )
    try:
        yield cluster.connect()
    finally:
        cluster.shutdown()


@pytest.fixture
def standin(session: Session) -> None:
    """For tests that give the stand-in an order, in a comment that a real server would ignore."""
    (version,) = (r.version for r in session.execute("SELECT version FROM system.versions"))
    if "stand-in" not in version:
        pytest.skip(f"ScyllaDB {version} takes no orders from tests")


@pytest.fixture(scope="session")
def tablets_keyspace(session: Session) -> Iterator[Keyspace]:
    """For what is said of tablets only."""
    with new_keyspace(session, "tablets") as keyspace:
        yield keyspace


@pytest.fixture(scope="session")
def vnodes_keyspace(session: Session) -> Iterator[Keyspace]:
    """For what is said of vnodes only."""
    with new_keyspace(session, "vnodes") as keyspace:
        yield keyspace


@pytest.fixture(scope="session", params=KINDS)
def shared(session: Session, request: pytest.FixtureRequest) -> Iterator[Keyspace]:
    """The keyspace for tests that ask only for rows of partitions or tables of their own."""
    with new_keyspace(session, request.param) as keyspace:
        yield keyspace


@pytest.fixture
def new_key() -> int:
    """A partition key that no other test uses."""
    return next(_number)


@pytest.fixture(params=KINDS)
def keyspace(session: Session, request: pytest.FixtureRequest) -> Iterator[Keyspace]:
    """A keyspace that one test has for itself."""
    with new_keyspace(session, request.param) as keyspace:
        yield keyspace
