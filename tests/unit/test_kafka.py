"""What a Kafka client is told, and what its errors mean."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import ConfigurationError, Transient
from cdcd.transport.consumer import ChangeConsumer
from cdcd.transport.kafka import (
    Refusals,
    StallWatch,
    called_back,
    client_properties,
    is_final,
)
from cdcd.transport.records import Partition


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


NO_CERTIFICATE = KafkaError(
    KafkaError._TRANSPORT,
    "ssl://k:9093/1: Receive failed: SSL routines::ssl/tls alert bad certificate",
)
UNKNOWN_AUTHORITY = KafkaError(
    KafkaError._TRANSPORT,
    "ssl://k:9093/1: SSL routines::certificate verify failed (after 2ms in state SSL_HANDSHAKE)",
)
WRONG_PASSWORD = KafkaError(KafkaError._AUTHENTICATION, "sasl_ssl://k:9093/1: invalid credentials")
ALL_DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")


@pytest.mark.parametrize(
    ("heard", "section"),
    [
        (NO_CERTIFICATE, "[kafka.tls]"),
        (UNKNOWN_AUTHORITY, "ca_file and check_name in [kafka.tls]"),
        (WRONG_PASSWORD, "[kafka.sasl]"),
    ],
)
def test_refused_by_all_is_a_wrong_setting(heard: KafkaError, section: str) -> None:
    """When every broker refuses, a call that fails names the setting, and is not tried again."""
    refusals = Refusals()
    for error in (heard, ALL_DOWN):
        refusals.hear(error)
    found = refusals.explain("Kafka: listing topics: timed out")
    assert isinstance(found, ConfigurationError)
    assert section in found.hint


def test_refused_by_one_is_tried_again() -> None:
    """While another broker may be there, the call is tried again, and says what was heard."""
    refusals = Refusals()
    refusals.hear(NO_CERTIFICATE)
    found = refusals.explain("Kafka: listing topics: timed out")
    assert isinstance(found, Transient)
    assert "certificate" in found.message


@pytest.mark.parametrize("heard", [[], [ALL_DOWN], [KafkaError(KafkaError._TRANSPORT, "reset")]])
def test_brokers_that_are_away_are_no_refusal(heard: list[KafkaError]) -> None:
    """Without a word of certificates or logins a call that fails means what it says."""
    refusals = Refusals()
    for error in heard:
        refusals.hear(error)
    found = refusals.explain("Kafka: listing topics: timed out")
    assert (type(found), found.message) == (Transient, "Kafka: listing topics: timed out")


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ({}, None),
        ({"tls": {"enabled": True}}, "ssl"),
        ({"sasl": {"mechanism": "PLAIN", "username": "u", "password": "p"}}, "sasl_plaintext"),
        (
            {
                "tls": {"enabled": True},
                "sasl": {"mechanism": "PLAIN", "username": "u", "password": "p"},
            },
            "sasl_ssl",
        ),
        ({"tls": {"enabled": True}, "properties": {"security.protocol": "plaintext"}}, "plaintext"),
    ],
)
def test_protocols(given: dict[str, object], protocol: str | None) -> None:
    """TLS and login make the protocol together; a property of the user's wins."""
    properties = client_properties(KafkaSettings.model_validate(given), "test")
    assert properties.get("security.protocol") == protocol


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Consumer group metadata not available"),
        KafkaException(KafkaError(KafkaError._TRANSPORT, "not available")),
    ],
)
def test_what_fails_in_a_callback_is_a_failure_like_any_other(error: Exception) -> None:
    """The client would make a SystemError of it, which is none of ours and ends the process."""
    with (
        pytest.raises(Transient, match=r"taking the lanes: .*not available"),
        called_back("taking the lanes", StallWatch(6)),
    ):
        raise error


@pytest.mark.parametrize("away", [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN])
async def test_nothing_is_committed_while_brokers_are_away(away: int) -> None:
    """The client would keep the commit until they are back, and then be taken for its own double.
    What is not committed is kept for later.
    """
    place = Partition("topic", 0)
    consumer = ChangeConsumer(KafkaSettings(), "p", "a")
    consumer._assigned = (place,)
    with pytest.raises(RuntimeError, match="outside"):  # it asks the client, which is not open
        await consumer.commit({place: 1})
    consumer = ChangeConsumer(KafkaSettings(), "p", "a")
    consumer._assigned = (place,)
    consumer._hear(KafkaError(away))
    await consumer.commit({place: 1})
    assert consumer._uncommitted == {place: 1}
