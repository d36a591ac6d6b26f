"""What production asks for beyond a pipeline that works: judgements of what was seen. Pure."""

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from cdcd.preflight.report import Finding, problem, warning

COPIES_MIN = 3
COPIES_CONFIRMED_MIN = 2
# A backup of the position is a day old at most, and logs and topics have to go back to it.
KEPT_SECONDS_MIN = 86_400
# The oldest major release that PostgreSQL's makers mend after November 2026.
POSTGRES_VERSION_MIN = 150_000

# What servers are shipped with, what manuals show, and what people type at first.
_COMMON_PASSWORDS = frozenset(
    "admin administrator cassandra cdcd changeit changeme default guest kafka pass passw0rd"
    " password postgres root scylla secret test vault 123456 12345678 1234".split()
)
# What the pipeline's user needs in all; each is the right's name in librdkafka and in CQL.
_KAFKA_NEEDED = frozenset({"CREATE", "DESCRIBE", "DESCRIBE_CONFIGS", "IDEMPOTENT_WRITE"})
_CQL_NEEDED = frozenset({"SELECT", "DESCRIBE"})
_POSTGRES_NEEDLESS = {
    "superuser": "is a superuser",
    "makes_roles": "may make roles",
    "makes_databases": "may make databases",
    "replicates": "may replicate",
    "bypasses": "passes over row-level security",
}
_GRANTS = "docs/SECURITY.md has the grants that are enough"

Links = Mapping[str, str | None]


def judge_links(faults: Links) -> list[Finding]:
    """What each service's link lacks to be private and to know its server; None for nothing."""
    return [warning(f"the link to {name} {why}", "use TLS") for name, why in faults.items() if why]


def judge_passwords(logins: Mapping[str, tuple[str | None, str | None]]) -> list[Finding]:
    """Whether each service is asked as a user, with a password that nobody would guess.

    The values are user and password, and (None, None) where nobody logs in.
    """
    found = []
    for service, (user, password) in logins.items():
        if user is None and password is None:
            found.append(warning(f"nobody logs in to {service}", "give cdcd a user of its own"))
        elif password is not None and password.lower() in _COMMON_PASSWORDS | {user or ""}:
            found.append(
                problem(f"the password of {service} is one that everybody tries", "set another one")
            )
    return found


def judge_listener(host: str) -> list[Finding]:
    """Whether others than this machine reach the daemon's port, which asks for no password."""
    try:
        mine = ipaddress.ip_address(host).is_loopback
    except ValueError:
        mine = host == "localhost"
    if mine:
        return []
    return [
        warning(
            f"http.host is {host}: whoever reaches the port sees the tables and how they stand",
            "bind 127.0.0.1, or let only Prometheus and probes through",
        )
    ]


def judge_kept(table: str, log_seconds: int, topic_seconds: float, settle: float) -> list[Finding]:
    """Whether a table's log and its topic go back far enough; 0 is a log that is kept for ever."""
    found = []
    if 0 < log_seconds <= settle:
        found.append(
            problem(
                f"{table}: the log is kept for {log_seconds} s and read again after {settle:g} s",
                "raise the table's cdc ttl, or lower source.settle_delays_seconds",
            )
        )
    elif 0 < log_seconds < KEPT_SECONDS_MIN:
        found.append(
            warning(
                f"{table}: the log is kept for {log_seconds} s, which is less than a day",
                "a source that is away for longer, or goes back to a daily backup, needs a copy",
            )
        )
    if topic_seconds < max(KEPT_SECONDS_MIN, log_seconds):
        found.append(
            warning(
                f"{table}: the topic keeps records for {topic_seconds:.0f} s, less than a day or"
                " than the log",
                "raise kafka.topic_retention_hours; a topic that is there: kafka-configs --alter",
            )
        )
    return found


def judge_keyspace(keyspace: str, replication: Mapping[str, str]) -> list[Finding]:
    """Whether a keyspace, and with it its logs, has three copies in each data centre."""
    per_centre = {k: int(v) for k, v in replication.items() if k != "class" and v.isdigit()}
    found = []
    for centre, copies in per_centre.items():
        if copies < COPIES_MIN:
            where = "" if centre == "replication_factor" else f" in {centre}"
            found.append(
                warning(
                    f"keyspace {keyspace} has {copies} copies{where}: its log has as many",
                    "ALTER KEYSPACE … replication_factor 3, and repair",
                )
            )
    if replication.get("class", "").endswith("SimpleStrategy"):
        found.append(
            warning(
                f"keyspace {keyspace} is replicated by SimpleStrategy, which knows no racks",
                "use NetworkTopologyStrategy",
            )
        )
    return found


def judge_cql_user(*, superuser: bool, permissions: Iterable[tuple[str, str]]) -> list[Finding]:
    """Whether the user may do more than read. The permissions are (right, resource)."""
    if superuser:
        return [warning("the user of ScyllaDB is a superuser", _GRANTS)]
    needless = sorted({f"{r} on {on}" for r, on in permissions if r.upper() not in _CQL_NEEDED})
    if not needless:
        return []
    return [warning(f"the user of ScyllaDB may do more than read: {_few(needless)}", _GRANTS)]


def judge_topic(topic: str, copies: int, settings: Mapping[str, str]) -> list[Finding]:
    """Whether losing a broker loses nothing of a topic and does not stop it."""
    found = []
    if copies < COPIES_MIN:
        found.append(
            warning(
                f"{topic} has {copies} of {COPIES_MIN} copies",
                "kafka.topic_replication_factor for new ones, kafka-reassign-partitions for others",
            )
        )
    # The brokers' setting holds for the offsets and transactions of Kafka's own topics.
    confirmed = int(settings.get("min.insync.replicas", "1"))
    if confirmed < COPIES_CONFIRMED_MIN:
        found.append(
            warning(
                f"{topic} has min.insync.replicas={confirmed}",
                f"set it to {COPIES_CONFIRMED_MIN}",
            )
        )
    if settings.get("unclean.leader.election.enable") == "true":
        found.append(
            warning(
                f"{topic} has unclean.leader.election.enable=true, and may lose what was confirmed",
                "set it to false",
            )
        )
    return found


def weak_topic(topic: str, words: str) -> Finding:
    """A topic's setting by which changes are lost or refused."""
    return warning(f"{topic}: {words}", "kafka-configs --alter, or make the topic anew")


def judge_brokers(settings: Mapping[str, str]) -> list[Finding]:
    """Whether the brokers make a topic of any name that somebody asks for."""
    if settings.get("auto.create.topics.enable") != "true":
        return []
    return [
        warning(
            "the brokers have auto.create.topics.enable=true: a misspelt name becomes a topic",
            "set it to false; cdcd makes its topics itself",
        )
    ]


def judge_kafka_rights(rights: Collection[str]) -> list[Finding]:
    """Whether the user may do more to the cluster as a whole than make topics."""
    needless = sorted(set(rights) - _KAFKA_NEEDED)
    if not needless:
        return []
    return [
        warning(
            f"the user of Kafka may do more to the cluster than is needed: {_few(needless)}",
            f"is an authorizer on? {_GRANTS}",
        )
    ]


def judge_postgres(row: Mapping[str, Any]) -> list[Finding]:
    """What the server's answers mean."""
    found = []
    if row["version_number"] < POSTGRES_VERSION_MIN:
        found.append(warning(f"PostgreSQL {row['version']} gets no fixes any more", "upgrade it"))
    needless = [words for name, words in _POSTGRES_NEEDLESS.items() if row[name]]
    needless += [f"is a member of {role}" for role in row["powers"]]
    if needless:
        role = row["role"]
        found.append(warning(f"PostgreSQL's role {role} {', '.join(needless)}", _GRANTS))
    if not row["encrypted"]:
        found.append(warning("this connection to PostgreSQL is not encrypted", "use TLS"))
    if not row["fsync"]:
        found.append(problem("PostgreSQL has fsync off: a crash loses all of it", "set it on"))
    if not row["archives"]:
        found.append(
            warning(
                "PostgreSQL archives no WAL: what came after the last dump is lost with it",
                "set archive_mode, or have the backup tool stream it",
            )
        )
    if not row["vacuums"]:
        found.append(warning("PostgreSQL has autovacuum off", "set it on"))
    return found


def judge_writers(schema: str, others: Sequence[str]) -> list[Finding]:
    """Whether others than cdcd's role may write what it replicates."""
    if not others:
        return []
    return [
        warning(
            f"others may write tables of schema {schema}: {_few(others)}",
            "cdcd is to be the only one: REVOKE INSERT, UPDATE, DELETE, TRUNCATE",
        )
    ]


def no_authorizer() -> Finding:
    """ScyllaDB gives no rights, so that whoever logs in may do everything."""
    return warning(
        "ScyllaDB has no authorizer: every user may do everything",
        "set authorizer to CassandraAuthorizer in scylla.yaml",
    )


def unseen(what: str, why: str) -> Finding:
    """Something that this user may not look at, so that nobody may take it for good."""
    return warning(f"{what} could not be looked at: {why}", "look at it as an administrator")


def _few(names: Sequence[str], most: int = 5) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
