"""Which of a Kafka client's errors end it."""

import pytest
from confluent_kafka import KafkaError

from cdcd.transport.kafka import is_final


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
