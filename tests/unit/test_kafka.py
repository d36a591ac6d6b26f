"""Which of a Kafka client's errors end it."""

import pytest
from confluent_kafka import KafkaError

from cdcd.config.settings import KafkaSettings
from cdcd.transport.kafka import client_properties, is_final


@pytest.mark.parametrize(
    ("error", "final"),
    [
        # A message brings it without the mark.
        (KafkaError(KafkaError._FATAL, "fenced", fatal=False), True),
        (KafkaError(KafkaError.FENCED_INSTANCE_ID, "fenced", fatal=True), True),
        (KafkaError(KafkaError._ALL_BROKERS_DOWN, "away"), False),
        (KafkaError(KafkaError._TRANSPORT, "away"), False),
    ],
)
def test_what_ends_a_client(error: KafkaError, final: bool) -> None:
    """A fatal error is known by its mark or by its code; others pass."""
    assert is_final(error) is final


def test_no_client_makes_topics_by_asking_for_them() -> None:
    """Whatever the settings say: a topic that was deleted must not come back by itself."""
    settings = KafkaSettings(properties={"allow.auto.create.topics": "true"})
    assert client_properties(settings, "source")["allow.auto.create.topics"] is False
