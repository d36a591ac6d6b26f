"""What every Kafka client of cdcd has in common: its properties, and the reading of its errors."""

from typing import Any

from confluent_kafka import KafkaError, KafkaException

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
    }


def _ignore(_: KafkaError) -> None:
    pass


def consumer_failure(error: KafkaError, doing: str) -> CdcdError:
    """What an error that a consumer read in place of a record means.

    With the classic protocol the one fatal error is that another member has this one's group
    instance id (librdkafka's introduction, "Fatal consumer errors").
    """
    if error.code() == KafkaError._FATAL:  # noqa: SLF001
        return _fenced(doing)
    return failure(error, doing)


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
