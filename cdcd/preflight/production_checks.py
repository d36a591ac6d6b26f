"""What `cdcd check --production` asks: settings, and each service beyond its ordinary checks."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr

from cdcd.config.settings import KafkaSettings, PostgresSettings, Settings
from cdcd.config.tls import TlsSettings
from cdcd.model.errors import ConfigurationError
from cdcd.preflight import production
from cdcd.preflight.report import Finding, note
from cdcd.sink.pool import Pool
from cdcd.source.catalog import find, read_schema
from cdcd.source.session import Session, StatementRefused
from cdcd.transport.brokers import Brokers
from cdcd.transport.topic_facts import TopicFacts
from cdcd.transport.topics import dead_letter_topic, table_of_topic

Check = Callable[[Any, Settings, Sequence[str]], Awaitable[list[Finding]]]

# Kafka's own, on which transactions and groups rest.
_KAFKAS_TOPICS = ("__consumer_offsets", "__transaction_state")

# What the server says whose every user may do everything.
_NO_AUTHORIZER = "AllowAllAuthorizer"

_ROLE = """
SELECT current_user AS role, current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS version_number,
       r.rolsuper AS superuser, r.rolcreaterole AS makes_roles, r.rolcreatedb AS makes_databases,
       r.rolreplication AS replicates, r.rolbypassrls AS bypasses,
       ARRAY(SELECT p.rolname::text FROM pg_roles p WHERE p.rolname LIKE 'pg\\_%'
             AND NOT r.rolsuper AND pg_has_role(current_user, p.oid, 'USAGE')
             AND p.rolname <> 'pg_database_owner' ORDER BY 1) AS powers,
       coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted,
       current_setting('fsync')::bool AS fsync,
       current_setting('archive_mode') <> 'off' AS archives,
       current_setting('autovacuum')::bool AS vacuums
FROM pg_roles r WHERE r.rolname = current_user
"""
# Whoever owns a table may do anything with it; superusers are left out, for they always may.
_WRITERS = """
SELECT DISTINCT coalesce(g.rolname, 'PUBLIC')::text AS writer
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
     LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
     LEFT JOIN pg_roles g ON g.oid = a.grantee
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')
  AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
  AND (a.grantee = 0 OR NOT (g.rolsuper OR pg_has_role(current_user, a.grantee, 'MEMBER')))
ORDER BY 1
"""


def links(settings: Settings) -> dict[str, str | None]:
    """What each service's link lacks; the one place that knows which settings mean TLS."""
    registry, vault = settings.registry, settings.vault
    return {
        "scylla": _lacks(settings.scylla.tls, "has no TLS"),
        "kafka": _kafka_lacks(settings.kafka),
        "registry": _lacks(registry.tls, _plain(registry.url)),
        "postgres": _lacks(settings.postgres.tls, _dsn_lacks(settings.postgres)),
        "vault": _lacks(vault.tls, _plain(vault.url)) if vault.url else None,
    }


def _lacks(tls: TlsSettings, without: str | None) -> str | None:
    """What a link lacks by its own section, and where TLS is not enabled there, `without` it."""
    if not tls.enabled:
        return without
    return None if tls.check_name else "does not check the server's name"


def _kafka_lacks(kafka: KafkaSettings) -> str | None:
    # Properties win over the other settings.
    protocol = kafka.properties.get("security.protocol", "").lower()
    if "false" in kafka.properties.get("enable.ssl.certificate.verification", ""):
        return "does not verify the brokers"
    if protocol:
        return None if "ssl" in protocol else f"is {protocol}"
    return _lacks(kafka.tls, "is plaintext")


def _dsn_lacks(postgres: PostgresSettings) -> str | None:
    found = parse_qs(urlsplit(postgres.dsn.get_secret_value()).query).get("sslmode", [""])[0]
    if found == "verify-full":
        return None
    return f"has sslmode {found or 'prefer'}, which does not tell whose server it is"


def _plain(url: str) -> str | None:
    return "is http" if url.startswith("http:") else None


def logins(settings: Settings) -> dict[str, tuple[str | None, str | None]]:
    """User and password for each service; (None, None) where nobody logs in."""
    scylla, registry, postgres = settings.scylla, settings.registry, settings.postgres
    kafka, sasl = settings.kafka.properties, settings.kafka.sasl
    url = urlsplit(postgres.dsn.get_secret_value())
    user = postgres.username or (unquote(url.username) if url.username else None)
    password = _word(postgres.password) or (unquote(url.password) if url.password else None)
    # A client's certificate is a login too, and a leased one has no password in the settings.
    certificate = kafka.get("ssl.certificate.location") or kafka.get("ssl.keystore.location")
    if settings.kafka.tls.cert_file is not None:
        certificate = str(settings.kafka.tls.cert_file)
    return {
        "scylla": (scylla.username, _word(scylla.password)),
        "kafka": (
            kafka.get("sasl.username")
            or kafka.get("sasl.mechanism")
            or sasl.username
            or sasl.client_id
            or certificate,
            kafka.get("sasl.password") or _word(sasl.password) or _word(sasl.client_secret),
        ),
        "registry": (registry.username, _word(registry.password)),
        "postgres": (user or postgres.vault_login, password),
    }


def _word(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def of_settings(settings: Settings, services: Collection[str]) -> dict[str, list[Finding]]:
    """What the settings alone tell, for the services that are meant."""
    wanted = {*services, "vault"}
    return {
        "links": production.judge_links({n: w for n, w in links(settings).items() if n in wanted}),
        "passwords": production.judge_passwords(
            {n: login for n, login in logins(settings).items() if n in wanted}
        ),
        "listener": []
        if settings.http.tls.client_certificates
        else production.judge_listener(settings.http.host),
    }


async def copies(session: Session, settings: Settings, patterns: Sequence[str]) -> list[Finding]:
    """Whether the tables' keyspaces, and so their logs, have three copies; and logs and topics go
    back for a day.
    """
    tables = find(await read_schema(session), patterns or ["*"]).tables
    rows = await session.query("SELECT keyspace_name, replication FROM system_schema.keyspaces")
    wanted = {t.spec.keyspace for t in tables.values()}
    found = [
        finding
        for row in sorted(rows, key=lambda r: str(r["keyspace_name"]))
        if row["keyspace_name"] in wanted
        for finding in production.judge_keyspace(row["keyspace_name"], row["replication"])
    ]
    topic_seconds = settings.kafka.topic_retention_hours * 3600
    settle = max(settings.source.settle_delays_seconds, default=0.0)
    for name, table in sorted(tables.items()):
        found += production.judge_kept(name, table.options.ttl_seconds, topic_seconds, settle)
    return found


async def cql_user(session: Session, settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether ScyllaDB's user may only read."""
    user = settings.scylla.username
    if user is None:
        return []  # `passwords` has found it
    quoted = "'" + user.replace("'", "''") + "'"
    try:
        superusers = {r["role"] for r in await session.query("LIST ROLES") if r["super"]}
        if user in superusers:
            return production.judge_cql_user(superuser=True, permissions=())
        rows = await session.query(f"LIST ALL PERMISSIONS OF {quoted}")
    except StatementRefused as refused:
        if _NO_AUTHORIZER in refused.message:
            return [production.no_authorizer()]
        return [production.unseen("what the user of ScyllaDB may do", refused.message)]
    except ConfigurationError as refused:
        return [production.unseen("what the user of ScyllaDB may do", refused.message)]
    permissions = [(str(r["permission"]), str(r["resource"])) for r in rows]
    return production.judge_cql_user(superuser=False, permissions=permissions)


async def topics(brokers: Brokers, settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether the pipeline's topics and Kafka's own survive the loss of a broker."""
    prefix = f"{settings.name}."
    found = await brokers.topics(lambda n: n.startswith(prefix) or n in _KAFKAS_TOPICS)
    kafka = settings.kafka
    findings = production.judge_topic(
        "a new topic",
        kafka.topic_replication_factor,
        {"min.insync.replicas": str(kafka.topic_min_insync_replicas)},
    )
    findings += not_seen(found)
    for name, topic in sorted(found.items()):
        findings += production.judge_topic(f"topic {name}", topic.copies, topic.settings)
        facts = TopicFacts("", 0, topic.settings)
        if name == dead_letter_topic(settings.name):
            weak = facts.letters_warnings(kafka.topic_retention_hours, 0)
            findings += [production.weak_topic(f"topic {name}", words) for words in weak]
        if table_of_topic(settings.name, name):
            weak = facts.warnings(kafka.topic_retention_hours, 0)
            findings += [
                production.weak_topic(f"topic {name}", words) for words in [*facts.faults, *weak]
            ]
    return findings or [note(f"{len(found)} topic(s) are well")]


def not_seen(topics_seen: Collection[str]) -> list[Finding]:
    """Those of Kafka's own topics that were not seen: brokers say nothing of a topic to a user who
    may not describe it.
    """
    why = "this user may not DESCRIBE it, or it was never needed"
    missed = [name for name in _KAFKAS_TOPICS if name not in topics_seen]
    return [production.unseen(f"topic {name}", why) for name in missed]


async def kafka_rights(brokers: Brokers, _settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether Kafka's user may do no more than it needs, and topics are made by intent."""
    cluster = await brokers.cluster()
    if not cluster.settings:
        return [
            *production.judge_kafka_rights(cluster.rights),
            production.unseen("the brokers' settings", "this user may not DESCRIBE_CONFIGS"),
        ]
    return [
        *production.judge_kafka_rights(cluster.rights),
        *production.judge_brokers(cluster.settings),
    ]


async def role(pool: Pool, _settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether PostgreSQL keeps what it has, and its role may do no more than it needs."""
    async with pool.connection() as connection:
        (row,) = await connection.fetch(_ROLE)
    return production.judge_postgres(row)


async def writers(pool: Pool, settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether cdcd's role is the only one that may write what it replicates."""
    found = []
    async with pool.connection() as connection:
        for schema in ("cdcd", settings.postgres.target_schema):
            rows = await connection.fetch(_WRITERS, schema)
            found += production.judge_writers(schema, [r["writer"] for r in rows])
    return found


CHECKS: Mapping[str, Mapping[str, Check]] = {
    "scylla": {"copies": copies, "user": cql_user},
    "kafka": {"topics": topics, "user": kafka_rights},
    "registry": {},
    "postgres": {"role": role, "writers": writers},
}
