"""What production asks for, judged without a service."""

import re
from typing import Any

import pytest

from cdcd.config.settings import Settings
from cdcd.preflight import production as judge
from cdcd.preflight import production_checks as checks
from cdcd.preflight.report import Finding, Level, Report
from cdcd.preflight.to_do import TO_DO
from tests.pages import ROOT

WARNING, PROBLEM = {Level.WARNING}, {Level.PROBLEM}


def _levels(findings: list[Finding]) -> set[Level]:
    return {f.level for f in findings} - {Level.NOTE}


def _settings(**sections: dict[str, Any]) -> Settings:
    return Settings.model_validate(sections)


@pytest.mark.parametrize(
    ("service", "sections"),
    [
        ("kafka", {"kafka": {"properties": {"security.protocol": "SASL_SSL"}}}),
        ("registry", {"registry": {"url": "https://r"}}),
        ("postgres", {"postgres": {"dsn": "postgresql://h/d?sslmode=verify-full"}}),
        ("vault", {"vault": {"url": "https://v"}}),
        ("scylla", {"scylla": {"tls": {"enabled": True}}}),
        ("kafka", {"kafka": {"tls": {"enabled": True}}}),
        ("postgres", {"postgres": {"tls": {"enabled": True}}}),
    ],
)
def test_links_with_tls_are_good(service: str, sections: dict[str, Any]) -> None:
    """A link whose settings ask for TLS and verify the server lacks nothing."""
    assert checks.links(_settings(**sections))[service] is None


@pytest.mark.parametrize(
    ("service", "sections"),
    [
        ("scylla", {}),
        ("kafka", {}),
        ("kafka", {"kafka": {"properties": {"security.protocol": "sasl_plaintext"}}}),
        (
            "kafka",
            {
                "kafka": {
                    "properties": {
                        "security.protocol": "ssl",
                        "enable.ssl.certificate.verification": "false",
                    }
                }
            },
        ),
        ("registry", {}),
        ("postgres", {}),
        ("postgres", {"postgres": {"dsn": "postgresql://h/d?sslmode=require"}}),
        ("vault", {"vault": {"url": "http://v"}}),
        ("scylla", {"scylla": {"tls": {"enabled": True, "check_name": False}}}),
        (
            "kafka",
            {
                "kafka": {
                    "tls": {"enabled": True},
                    "properties": {"security.protocol": "plaintext"},
                }
            },
        ),
    ],
)
def test_links_without_tls_are_found(service: str, sections: dict[str, Any]) -> None:
    """A link in the clear, or to a server that is not verified, is a finding."""
    found = checks.links(_settings(**sections))
    assert _levels(judge.judge_links({service: found[service]})) == WARNING


@pytest.mark.parametrize(
    ("login", "levels"),
    [
        ((None, None), WARNING),
        (("cassandra", "Cassandra"), PROBLEM),
        (("shop", "shop"), PROBLEM),
        (("shop", "5f2e9a"), set()),
        (("certificate.pem", None), set()),
    ],
)
def test_passwords_that_everybody_tries(
    login: tuple[str | None, str | None], levels: set[Level]
) -> None:
    """No login is a warning; the user's own name, and what servers ship with, are problems."""
    assert _levels(judge.judge_passwords({"x": login})) == levels


def test_no_finding_has_a_password() -> None:
    """A finding on a password does not say which one it is."""
    (finding,) = judge.judge_passwords({"x": ("a", "changeme")})
    assert "changeme" not in finding.message + finding.hint


def test_logins_are_read_from_where_they_are() -> None:
    """User and password may be in a URL, escaped, or in settings of their own, or leased."""
    in_url = checks.logins(_settings(postgres={"dsn": "postgresql://me:p%40ss@h/d"}))
    assert in_url["postgres"] == ("me", "p@ss")
    apart = checks.logins(
        _settings(postgres={"dsn": "postgresql://me:a@h/d", "username": "u", "password": "b"})
    )
    assert apart["postgres"] == ("u", "b")
    by_scram = {"mechanism": "SCRAM-SHA-512", "username": "u", "password": "b"}
    assert checks.logins(_settings(kafka={"sasl": by_scram}))["kafka"] == ("u", "b")
    leased = checks.logins(
        _settings(postgres={"dsn": "postgresql://h/d", "vault_login": "database/creds/cdcd"})
    )
    assert _levels(judge.judge_passwords({"postgres": leased["postgres"]})) == set()


@pytest.mark.parametrize(
    ("host", "levels"),
    [
        ("127.0.0.1", set()),
        ("::1", set()),
        ("localhost", set()),
        ("0.0.0.0", WARNING),
        ("10.1.2.3", WARNING),
    ],
)
def test_port_is_for_this_machine(host: str, levels: set[Level]) -> None:
    """A port that others reach is a finding, because it asks for no password."""
    assert _levels(judge.judge_listener(host)) == levels


@pytest.mark.parametrize(
    ("log_seconds", "topic_seconds", "levels"),
    [
        (86_400, 172_800, set()),
        (0, 86_400, set()),
        (86_399, 172_800, WARNING),
        (600, 172_800, PROBLEM),
        (86_400, 86_399, WARNING),
        (259_200, 172_800, WARNING),
    ],
)
def test_logs_and_topics_go_back_a_day(
    log_seconds: int, topic_seconds: float, levels: set[Level]
) -> None:
    """A log outlives its last settling, both go back a day, and a topic as far as its log."""
    assert _levels(judge.judge_kept("ks.t", log_seconds, topic_seconds, 600)) == levels


@pytest.mark.parametrize(
    ("replication", "levels"),
    [
        ({"class": "NetworkTopologyStrategy", "a": "3", "b": "3"}, set()),
        ({"class": "NetworkTopologyStrategy", "a": "3", "b": "2"}, WARNING),
        ({"class": "org.apache…SimpleStrategy", "replication_factor": "3"}, WARNING),
    ],
)
def test_keyspaces_have_three_copies(replication: dict[str, str], levels: set[Level]) -> None:
    """Each data centre has three copies, by a strategy that knows racks."""
    assert _levels(judge.judge_keyspace("ks", replication)) == levels


@pytest.mark.parametrize(
    ("superuser", "permissions", "levels"),
    [
        (False, [("SELECT", "<table ks.t>"), ("DESCRIBE", "<all roles>")], set()),
        (False, [("SELECT", "<table ks.t>"), ("MODIFY", "<table ks.t>")], WARNING),
        (True, [], WARNING),
    ],
)
def test_cql_user_may_only_read(
    *, superuser: bool, permissions: list[tuple[str, str]], levels: set[Level]
) -> None:
    """A superuser, or a right to change anything, is a finding."""
    found = judge.judge_cql_user(superuser=superuser, permissions=permissions)
    assert _levels(found) == levels


@pytest.mark.parametrize(
    ("copies", "settings", "levels"),
    [
        (3, {"min.insync.replicas": "2"}, set()),
        (2, {"min.insync.replicas": "2"}, WARNING),
        (3, {"min.insync.replicas": "1"}, WARNING),
        (3, {"min.insync.replicas": "2", "unclean.leader.election.enable": "true"}, WARNING),
    ],
)
def test_topics_survive_a_broker(copies: int, settings: dict[str, str], levels: set[Level]) -> None:
    """Three copies, two of them confirmed, and no leader that missed something."""
    assert _levels(judge.judge_topic("t", copies, settings)) == levels


def test_kafkas_own_topics_that_are_not_seen_are_not_good() -> None:
    """What the brokers do not show this user is a finding by name; what they show is none."""
    own = {"__consumer_offsets", "__transaction_state"}
    assert checks.not_seen({*own, "shop.ks.t"}) == []
    (finding,) = checks.not_seen({"__consumer_offsets", "shop.ks.t"})
    assert "topic __transaction_state could not be looked at" in finding.message
    assert _levels(checks.not_seen(())) == WARNING


def test_topics_are_made_by_intent() -> None:
    """Brokers that make whatever is asked for are a finding."""
    assert _levels(judge.judge_brokers({"auto.create.topics.enable": "true"})) == WARNING
    assert judge.judge_brokers({"auto.create.topics.enable": "false"}) == []


def test_rights_to_the_cluster_are_few() -> None:
    """What topics and transactions need is good; a right to alter the cluster is a finding."""
    assert judge.judge_kafka_rights({"CREATE", "DESCRIBE", "IDEMPOTENT_WRITE"}) == []
    assert _levels(judge.judge_kafka_rights({"CREATE", "ALTER"})) == WARNING


GOOD = {
    "version": "16.1",
    "version_number": 160_001,
    "role": "cdcd",
    "superuser": False,
    "makes_roles": False,
    "makes_databases": False,
    "replicates": False,
    "bypasses": False,
    "powers": [],
    "encrypted": True,
    "fsync": True,
    "archives": True,
    "vacuums": True,
}


@pytest.mark.parametrize(
    ("answer", "levels"),
    [
        ({}, set()),
        ({"version_number": 140_020}, WARNING),
        ({"superuser": True}, WARNING),
        ({"makes_roles": True}, WARNING),
        ({"powers": ["pg_write_all_data"]}, WARNING),
        ({"encrypted": False}, WARNING),
        ({"fsync": False}, PROBLEM),
        ({"archives": False}, WARNING),
        ({"vacuums": False}, WARNING),
    ],
)
def test_postgres_keeps_what_it_has(answer: dict[str, Any], levels: set[Level]) -> None:
    """A role that may do more than it needs, and a server that forgets, are found."""
    assert _levels(judge.judge_postgres({**GOOD, **answer})) == levels


def test_what_could_not_be_looked_at_is_not_good() -> None:
    """A right that could not be asked for, and a server that knows no rights, are findings."""
    assert _levels([judge.unseen("x", "y")]) == _levels([judge.no_authorizer()]) == WARNING


def test_one_writer() -> None:
    """Others that may write the target are named, the first few of them."""
    assert judge.judge_writers("cdc_data", []) == []
    (finding,) = judge.judge_writers("cdc_data", ["a", "b", "c", "d", "e", "f"])
    assert finding.message.endswith("a, b, c, d, e and 1 more")


def test_what_is_left_is_no_finding() -> None:
    """The list of what people have to see to changes no exit code, and is in the JSON."""
    report = Report((), TO_DO)
    assert report.exit_code == 0
    assert len(report.as_json()["to_do"]) == len(TO_DO)
    assert "to_do" not in Report(()).as_json()


def test_what_is_left_leads_to_a_page() -> None:
    """Each line of the list names a page that is there."""
    assert not [each for each in TO_DO if not (ROOT / re.sub("#.*", "", each.see)).is_file()]
