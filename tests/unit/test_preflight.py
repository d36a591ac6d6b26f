"""What the checks make of what they see, without a service."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from cdcd.config.settings import KafkaSettings, Settings
from cdcd.model.cqltype import parse
from cdcd.model.errors import ConfigurationError, ExitCode, Fatal, Transient
from cdcd.model.table import CdcOptions, Column, ColumnKind, TableSpec
from cdcd.preflight import clocks, kafka, levels, postgres, scylla
from cdcd.preflight.audit import judge_audit
from cdcd.preflight.report import (
    Finding,
    Level,
    Outcome,
    Report,
    Result,
    ended,
    failed,
    note,
    problem,
    skipped,
    warning,
)
from cdcd.source.catalog import SourceTable
from cdcd.transport.brokers import Cluster

GOOD = ended("kafka", "rights", [note("x")], 0.1)
FOUND = ended("kafka", "rights", [warning("x")], 0.1)
REFUSED = failed("kafka", "rights", ConfigurationError("x"), 0.1)
UNFINISHED = failed("kafka", "rights", Transient("x"), 0.1)
SKIPPED = skipped("kafka", "rights")


def _levels(findings: list[Finding]) -> set[Level]:
    return {f.level for f in findings} - {Level.NOTE}


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ((), ExitCode.DONE),
        ((GOOD,), ExitCode.DONE),
        ((GOOD, FOUND), ExitCode.FOUND),
        ((FOUND, UNFINISHED, SKIPPED), ExitCode.OUTSIDE),
        ((FOUND, UNFINISHED, REFUSED), ExitCode.CONFIGURATION),
    ],
)
def test_gravest_outcome_decides(outcomes: tuple[Outcome, ...], code: ExitCode) -> None:
    """Wrong settings come before checks that could not finish, and these before findings."""
    assert Report(outcomes).exit_code is code


def test_notes_are_no_findings() -> None:
    """A check that only has notes is good."""
    assert GOOD.result is Result.GOOD


def test_unfinished_is_not_found() -> None:
    """A check that raised has seen nothing, and says why."""
    outcome = failed("kafka", "rights", Fatal("away", "start it"), 0.1)
    assert outcome.result is Result.UNFINISHED
    assert outcome.findings == (problem("away", "start it"),)


def test_json_has_every_outcome() -> None:
    """The JSON report has the exit code, whether it passed, and each check."""
    found = Report((GOOD, FOUND)).as_json()
    assert (found["exit_code"], found["passed"]) == (1, False)
    assert [c["result"] for c in found["checks"]] == ["good", "found"]


@pytest.mark.parametrize(
    ("found_ms", "levels"),
    [
        (1000, set()),
        (1050, set()),
        (1100 + 500, set()),
        (1100 + 501, {Level.WARNING}),
        (1000 - 500, set()),
        (1000 - 501, {Level.WARNING}),
    ],
)
def test_clocks_may_differ_by_half_a_second(found_ms: float, levels: set[Level]) -> None:
    """Only a time that no moment between question and answer explains is a difference."""
    assert _levels(clocks.judge("PostgreSQL", found_ms, 1000, 1100)) == levels


def test_clock_finding_says_which_way() -> None:
    """The finding says whether the server is ahead or behind, and by how much."""
    (finding,) = clocks.judge("PostgreSQL", 5000, 1000, 1000)
    assert finding.message == "PostgreSQL's clock is 4000 ms ahead of this machine's"


@pytest.mark.parametrize(
    ("copies", "confirmed", "brokers", "levels"),
    [
        (3, 2, 3, set()),
        (3, 2, 1, {Level.PROBLEM}),
        (3, 3, 3, {Level.WARNING}),
        (2, 3, 3, {Level.PROBLEM}),
        (1, 1, 1, set()),
    ],
)
def test_replication_fits_the_brokers(
    copies: int, confirmed: int, brokers: int, levels: set[Level]
) -> None:
    """Copies need brokers, and one broker away must not stop writes."""
    settings = KafkaSettings(topic_replication_factor=copies, topic_min_insync_replicas=confirmed)
    findings = kafka.judge_replication(settings, Cluster(brokers, frozenset(), {}))
    assert _levels(findings) == levels


@pytest.mark.parametrize(
    ("settings", "broker", "levels"),
    [
        ({}, {}, set()),
        ({}, {"group.min.session.timeout.ms": "6000"}, set()),
        ({}, {"group.min.session.timeout.ms": "6001"}, {Level.PROBLEM}),
        ({}, {"transaction.max.timeout.ms": "9999"}, {Level.PROBLEM}),
        ({"topic_retention_hours": 23}, {}, {Level.WARNING}),
    ],
)
def test_timeouts_fit_the_brokers(
    settings: dict[str, Any], broker: Mapping[str, str], levels: set[Level]
) -> None:
    """The brokers' limits hold for our timeouts, and retention spans a day."""
    assert _levels(kafka.judge_limits(KafkaSettings(**settings), broker)) == levels


@pytest.mark.parametrize(
    ("ttl_seconds", "levels"),
    [(0, set()), (60, {Level.WARNING}), (3600, set()), (86_400, set())],
)
def test_short_retention_of_a_log_is_found(ttl_seconds: int, levels: set[Level]) -> None:
    """A log that is kept for less than an hour is a warning."""
    options = CdcOptions(enabled=True, ttl_seconds=ttl_seconds)
    table = SourceTable(TableSpec("ks", "t", ()), options, "id", tablets=False)
    assert _levels(scylla.judge_ttl(table)) == levels


@pytest.mark.parametrize(
    ("ttl_seconds", "source", "hours", "levels"),
    [
        (86_400, {}, 48, set()),
        (0, {}, 48, set()),
        (7200, {}, 48, {Level.NOTE}),
        (1500, {}, 48, {Level.WARNING}),
        (86_400, {"audit_delay_seconds": 0}, 48, {Level.NOTE}),
        (86_400, {"audit_delay_seconds": 60}, 48, {Level.WARNING}),
        (86_400, {}, 4, {Level.WARNING}),
    ],
    ids=["day", "for-ever", "shortened", "too-short", "off", "before-settling", "topic-forgets"],
)
def test_audits_fit_the_log_and_the_topic(
    ttl_seconds: int, source: dict[str, Any], hours: int, levels: set[Level]
) -> None:
    """An audit that comes earlier is a note, one that cannot be or may not know is a warning."""
    options = CdcOptions(enabled=True, ttl_seconds=ttl_seconds)
    table = SourceTable(TableSpec("ks", "t", ()), options, "id", tablets=False)
    kafka = {"topic_retention_hours": hours}
    settings = Settings.model_validate({"source": source, "kafka": kafka})
    assert {finding.level for finding in judge_audit(table, settings)} == levels


@pytest.mark.parametrize(
    ("cql", "named"), [("time", True), ("double", True), ("int", False), ("text", False)]
)
def test_keys_of_which_values_are_refused_are_named(cql: str, named: bool) -> None:
    """A key column with values that PostgreSQL's type takes for one another is named in a note, and
    those of other types are not.
    """
    table = TableSpec("ks", "t", (Column("id", parse(cql), ColumnKind.PARTITION_KEY),))
    found = scylla.judge_key(table, Settings())
    assert [f.level for f in found] == [Level.NOTE] * named
    assert all('ks.t: key column "id"' in f.message for f in found)


def test_copies_are_counted_over_all_data_centres() -> None:
    """Replication per data centre adds up."""
    assert levels.copies({"class": "NetworkTopologyStrategy", "a": "3", "b": "2"}) == 5


@pytest.mark.parametrize("read", ["ONE", "LOCAL_QUORUM", "QUORUM", "ALL"])
@pytest.mark.parametrize("copies", [{"a": 1}, {"a": 3}, {"a": 3, "b": 3}, {"a": 2, "b": 5}])
def test_writes_that_are_said_to_be_seen_are(read: str, copies: dict[str, int]) -> None:
    """Of the writers' levels exactly those are named whose copies overlap with every read's."""
    replication = {"class": "NetworkTopologyStrategy", **{k: str(v) for k, v in copies.items()}}
    here, said = next(iter(copies)), levels.seen_writes(replication, read)
    # The reader is in the first data centre, writers may be in any.
    overlapping = tuple(
        write
        for write in levels.LEVELS
        if all(
            reads & writes
            for reads in _held(read, here, copies)
            for place in copies
            for writes in _held(write, place, copies)
        )
    )
    assert said == overlapping


def test_writers_of_the_data_centre_that_is_read_are_named() -> None:
    """A read at LOCAL_QUORUM sees its own data centre's writers, and that is said."""
    two = {"class": "NetworkTopologyStrategy", "a": "3", "b": "3"}
    assert "LOCAL_QUORUM in the data centre" in levels.writers_note("ks", two, "LOCAL_QUORUM")
    assert "LOCAL_QUORUM" not in levels.writers_note("ks", two, "QUORUM")


def _held(level: str, place: str, copies: dict[str, int]) -> list[frozenset[tuple[str, int]]]:
    """The sets of copies that an operation at a level from a data centre may have to do with."""
    every = [(name, n) for name, count in copies.items() for n in range(count)]
    local = [(name, n) for name, n in every if name == place]
    if level == "ALL":
        return [frozenset(every)]
    if level == "EACH_QUORUM":
        parts = [_held("LOCAL_QUORUM", name, copies) for name in copies]
        return [frozenset().union(*chosen) for chosen in itertools.product(*parts)]
    pool, size = (local, len(local) // 2 + 1) if level == "LOCAL_QUORUM" else (every, 1)
    size = len(every) // 2 + 1 if level == "QUORUM" else size
    return [frozenset(chosen) for chosen in itertools.combinations(pool, size)]


@pytest.mark.parametrize(
    ("copies", "nodes", "level", "found"),
    [
        (3, 3, "QUORUM", set()),
        (1, 1, "ALL", set()),
        (3, 1, "QUORUM", {Level.WARNING}),
        (3, 3, "ONE", {Level.WARNING}),
        (3, 3, "ALL", {Level.WARNING}),
    ],
)
def test_consistency_fits_the_cluster(
    copies: int, nodes: int, level: str, found: set[Level]
) -> None:
    """Reads must be possible, and must see what a majority has."""
    assert _levels(scylla.judge_copies("ks", copies, nodes, level)) == found


SERVER = {
    "version": "16.1",
    "version_number": 160_001,
    "database": "warehouse",
    "role": "cdcd",
    "standby": False,
    "read_only": False,
    "connections_max": 100,
}


@pytest.mark.parametrize(
    ("answer", "levels"),
    [
        ({}, set()),
        ({"standby": True}, {Level.PROBLEM}),
        ({"read_only": True}, {Level.PROBLEM}),
        ({"version_number": 120_000}, {Level.PROBLEM}),
        ({"connections_max": 10}, {Level.WARNING}),
    ],
)
def test_server_takes_writes(answer: dict[str, Any], levels: set[Level]) -> None:
    """A standby, a read-only or an old server, or one without room, is found."""
    assert _levels(postgres.judge_server({**SERVER, **answer}, 8)) == levels


@pytest.mark.parametrize(
    ("there", "may_make_schema", "may_make_tables", "levels"),
    [
        (False, True, False, set()),
        (False, False, False, {Level.PROBLEM}),
        (True, False, True, set()),
        (True, True, False, {Level.PROBLEM}),
    ],
)
def test_schema_can_be_used(
    *, there: bool, may_make_schema: bool, may_make_tables: bool, levels: set[Level]
) -> None:
    """A schema has to be there or to be makable, and tables in it have to be makable."""
    row = {
        "there": there,
        "may_make_schema": may_make_schema,
        "may_make_tables": may_make_tables,
        "may_use": there,
    }
    assert _levels(postgres.judge_schema("cdc_data", row)) == levels
