"""A change topic's settings: which lose changes, and which are weaker than cdcd's own."""

import pytest

from cdcd.transport.topic_facts import HEADERS_BYTES_MAX, RECORD_BYTES_MAX, TopicFacts

GOOD = {
    "cleanup.policy": "delete",
    "retention.ms": str(48 * 3_600_000),
    "min.compaction.lag.ms": "0",
    "retention.bytes": "-1",
    "min.insync.replicas": "2",
    "max.message.bytes": str(RECORD_BYTES_MAX),
}


def facts(**changed: str) -> TopicFacts:
    settings = GOOD | {name.replace("_", "."): value for name, value in changed.items()}
    assert settings.keys() == GOOD.keys()
    return TopicFacts("id", 6, settings)


def test_cdcds_own_topics_are_good() -> None:
    """Nothing is said of a topic as cdcd makes it, nor of one that keeps records for longer."""
    for good in (facts(), facts(retention_ms="-1", min_insync_replicas="3")):
        assert (good.faults, good.warnings(48, 2)) == ([], [])


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_compaction_loses_changes(policy: str) -> None:
    """The last change of a row is not the whole row."""
    (fault,) = facts(cleanup_policy=policy).faults
    assert "set it to delete" in fault


def test_compaction_that_waits() -> None:
    """Where compaction waits, changes are kept for so long; less than promised is said."""
    found = facts(cleanup_policy="compact", min_compaction_lag_ms="3600000")
    assert (found.faults, found.retention_seconds) == ([], 3600)
    (warning,) = found.warnings(48, 2)
    assert warning.startswith("min.compaction.lag.ms=3600000")
    assert found.warnings(1, 2) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention.ms", "3600000"),
        ("retention.bytes", "1000"),
        ("min.insync.replicas", "1"),
        ("max.message.bytes", "1048588"),
    ],
)
def test_weaker_settings_are_said(name: str, value: str) -> None:
    """Each with its value."""
    found = facts(**{name.replace(".", "_"): value})
    assert found.faults == []
    (warning,) = found.warnings(48, 2)
    assert warning.startswith(f"{name}={value}")


def test_retention() -> None:
    """A topic keeps records for so long, or for ever."""
    assert facts().retention_seconds == 48 * 3600
    assert facts(retention_ms="-1").retention_seconds == float("inf")


def test_the_lanes_and_the_letters_topic_are_looked_at_too() -> None:
    """What is weaker than cdcd makes them is said, and nothing of those that cdcd has made."""
    assert facts().lanes_warnings(2) == []
    (warning,) = facts(min_insync_replicas="1").lanes_warnings(2)
    assert warning.startswith("min.insync.replicas=1")
    large = str(RECORD_BYTES_MAX + HEADERS_BYTES_MAX)
    assert facts(max_message_bytes=large).letters_warnings(48, 2) == []
    (warning,) = facts().letters_warnings(48, 2)
    assert warning.startswith("max.message.bytes")
    policy = {"cleanup_policy": "compact", "min_compaction_lag_ms": GOOD["retention.ms"]}
    (warning,) = facts(max_message_bytes=large, **policy).letters_warnings(48, 2)
    assert warning.startswith("cleanup.policy=compact")
