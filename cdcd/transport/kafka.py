"""What every Kafka client of cdcd has in common: its properties, and the reading of its errors."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import CdcdError, ConfigurationError, Transient

# The end of a partition, told as an error.
PARTITION_EOF: int = KafkaError._PARTITION_EOF  # noqa: SLF001  librdkafka's codes begin with _

# librdkafka's and the brokers' codes that a second try does not mend.
_REFUSED = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001  librdkafka's own codes begin with an underscore
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_CONFIG,
        KafkaError.POLICY_VIOLATION,
        KafkaError.UNSUPPORTED_VERSION,
    }
)
_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
    }
)


def client_properties(settings: KafkaSettings, role: str, **extra: object) -> dict[str, Any]:
    """The properties of one client; `role` names it in the brokers' logs."""
    timeout_ms = int(settings.request_timeout_seconds * 1000)
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": f"cdcd-{role}",
        "socket.timeout.ms": timeout_ms,
        "reconnect.backoff.max.ms": 1000,
        "log_level": 0,
        # Errors come back from the calls; the background ones would only repeat them on stderr.
        "error_cb": _ignore,
        **extra,
        **settings.properties,
        # A producer's default would have a topic that was deleted come back with other settings.
        "allow.auto.create.topics": False,
    }


def _ignore(_: KafkaError) -> None:
    pass


def fetch(consumer: Consumer, records_max: int, wait_seconds: float) -> list[Message]:
    """What is there, as soon as anything is: `consume` itself waits until it has all or the time
    is over.
    """
    messages = consumer.consume(1, wait_seconds)
    if messages and records_max > 1:
        messages += consumer.consume(records_max - 1, 0)
    return messages


class StallWatch:
    """Tells whether this process stood still lately, by how seldom it comes by.

    A worker that was stopped for longer than its session, and wakes up, is fenced by itself: it
    joins anew while a request of its former membership is on the way.
    """

    def __init__(self, session_seconds: float) -> None:
        self._session_seconds = session_seconds
        self._last = time.monotonic()
        self._stalled_at = -math.inf

    def tick(self) -> None:
        """Come by; to be called every second or so."""
        now = time.monotonic()
        if now - self._last > self._session_seconds / 2:
            self._stalled_at = now
        self._last = now

    @property
    def stalled_lately(self) -> bool:
        """Whether the process stood still within the last ten sessions."""
        self.tick()
        return self._last - self._stalled_at < 10 * self._session_seconds


def consumer_failure(
    error: KafkaError | KafkaException, doing: str, watch: StallWatch
) -> CdcdError:
    """What an error of a member of a group means.

    With the classic protocol the one fatal error is that another member has this one's group
    instance id (librdkafka's introduction, "Fatal consumer errors").
    """
    cause: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
    if cause.code() != KafkaError._FATAL and cause.code() not in _FENCED:  # noqa: SLF001
        return failure(cause, doing)
    if watch.stalled_lately:
        return Transient(f"Kafka: {doing}: this worker stood still for longer than its session")
    return _fenced(doing)


@contextmanager
def called_back(doing: str, watch: StallWatch) -> Iterator[None]:
    """For what a consumer's callback does with its client: its failures are ours, where the client
    was called. Raises Transient and ConfigurationError.

    The client hands on what a callback raises, and makes a SystemError of what it had raised itself
    (confluent-kafka 2.16, before Python 3.12: `CallState_restore_exception`).
    """
    try:
        yield
    except KafkaException as error:
        raise consumer_failure(error, doing, watch) from error
    except RuntimeError as error:  # it is being closed, or is no member any more
        raise Transient(f"Kafka: {doing}: {error}") from error


def is_final(error: KafkaError) -> bool:
    """Whether the client that told this reads nothing any more.

    It tells so once, with a message's error, which has librdkafka's code but not its fatal mark.
    """
    return error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001


def is_fenced(error: KafkaException) -> bool:
    """Whether another client has taken this one's name."""
    return error.args[0].code() in _FENCED


def _fenced(doing: str) -> CdcdError:
    return ConfigurationError(
        f"Kafka: {doing}: another worker runs under this one's name",
        "give each worker an `instance` of its own",
    )


def failure(error: KafkaException | KafkaError, doing: str) -> CdcdError:
    """What a client's error means; `doing` is what was tried, in the words of a sentence."""
    cause: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
    message = f"Kafka: {doing}: {cause.str()}"
    if cause.code() in _FENCED:
        return _fenced(doing)
    if cause.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return ConfigurationError(
            f"Kafka: {doing}: a record is larger than the brokers take",
            "raise max.message.bytes of the topic and message.max.bytes of the brokers",
        )
    if cause.code() in _REFUSED:
        return ConfigurationError(message, "see [kafka] in the settings and the user's rights")
    return Transient(message)
