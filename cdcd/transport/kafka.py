"""What every Kafka client of cdcd has in common: its properties, and the reading of its errors."""

import asyncio
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import CdcdError, ConfigurationError, Fenced, Transient
from cdcd.ops import tls

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
# How a call fails when no broker takes this client's connections, or all are away.
_AWAY = frozenset(
    {
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    }
)
# What OpenSSL says of a certificate, ours or theirs. librdkafka tells it as a connection that was
# lost, when it does not tell it as an error of TLS.
_BAD_CERTIFICATE = "ssl/tls alert", "certificate verify failed"
_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
    }
)


# What makes a client useless is above every level, and would go past our log to stderr; it comes
# back from the calls too. Whoever wants to hear the client says so by one of the properties.
_HEARD_BY = {"debug", "log_level"}
_unheard = logging.getLogger("cdcd.librdkafka")
_unheard.disabled = True


def client_properties(settings: KafkaSettings, role: str, **extra: object) -> dict[str, Any]:
    """The properties of one client; `role` names it in the brokers' logs."""
    timeout_ms = int(settings.request_timeout_seconds * 1000)
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": f"cdcd-{role}",
        "socket.timeout.ms": timeout_ms,
        "reconnect.backoff.max.ms": 1000,
        **({} if _HEARD_BY & settings.properties.keys() else {"log_level": 0, "logger": _unheard}),
        # Errors come back from the calls, but for why a connection was refused.
        "error_cb": hear_refusal,
        **_security(settings),
        **extra,
        **settings.properties,
        # A producer's default would have a topic that was deleted come back with other settings.
        "allow.auto.create.topics": False,
    }


def _security(settings: KafkaSettings) -> dict[str, Any]:
    """The properties of TLS and login. Raises ConfigurationError where a file is wrong."""
    tls_settings, sasl = settings.tls, settings.sasl
    found: dict[str, Any] = {}
    if tls_settings.enabled:
        # Says what is wrong with a file; librdkafka's words do not name it.
        tls.client_context(tls_settings, "kafka")
        found = {
            "ssl.ca.location": tls_settings.ca_file,
            "ssl.certificate.location": tls_settings.cert_file,
            "ssl.key.location": tls_settings.key_file,
            "ssl.endpoint.identification.algorithm": "https" if tls_settings.check_name else "none",
        }
    if sasl.mechanism == "OAUTHBEARER":
        found |= {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.token.endpoint.url": sasl.token_url,
            "sasl.oauthbearer.client.id": sasl.client_id,
            "sasl.oauthbearer.client.secret": _secret(sasl.client_secret),
            "sasl.oauthbearer.scope": sasl.scope,
            "https.ca.location": sasl.token_ca_file,
        }
    elif sasl.mechanism != "none":
        found |= {"sasl.username": sasl.username, "sasl.password": _secret(sasl.password)}
    if sasl.mechanism != "none":
        found["sasl.mechanism"] = sasl.mechanism
    words = ("sasl" if sasl.mechanism != "none" else "", "ssl" if tls_settings.enabled else "")
    protocol = "_".join(word for word in words if word)
    if protocol:
        found["security.protocol"] = "sasl_plaintext" if protocol == "sasl" else protocol
    return {name: str(value) for name, value in found.items() if value is not None}


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None


class Refusals:
    """What brokers, or a token's server, last refused this process; clients tell it in the
    background, and a call only that it could not be done.
    """

    # How long it explains calls that fail.
    SECONDS = 30.0

    def __init__(self) -> None:
        self._heard_at = -math.inf
        self._error = CdcdError("")
        self._by_all = False

    def hear(self, error: KafkaError) -> None:
        """Take note of an error that a client tells in the background."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._by_all = self._is_fresh
            return
        found = _refusal(error)
        if found is not None:
            self._by_all = self._by_all and self._is_fresh
            self._error, self._heard_at = found, time.monotonic()

    def explain(self, message: str) -> CdcdError:
        """What a call that failed means. While other brokers are there it is tried again."""
        if not self._is_fresh:
            return Transient(message)
        if self._by_all:
            return self._error
        return Transient(f"{message} ({self._error.message})", self._error.hint)

    @property
    def _is_fresh(self) -> bool:
        return time.monotonic() - self._heard_at < self.SECONDS


def _refusal(error: KafkaError) -> CdcdError | None:
    """What an error in the background says of certificates and logins; None where nothing."""
    said = error.str()
    if "OAUTHBEARER token" in said:
        # A token's server that is away is no wrong setting.
        return Transient(f"Kafka: login: {said}", "see token_url in [kafka.sasl]")
    if error.code() in {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}:  # noqa: SLF001
        return ConfigurationError(f"Kafka: login: {said}", "see [kafka.sasl]")
    if error.code() == KafkaError._SSL or any(mark in said for mark in _BAD_CERTIFICATE):  # noqa: SLF001
        return tls.refusal(said, "Kafka", "kafka")
    if "SSL_HANDSHAKE" in said or "security.protocol" in said:
        # A broker that goes away looks like this too.
        hint = "does bootstrap_servers name a listener with TLS if and only if [kafka.tls] says so?"
        return Transient(f"Kafka: {said}", hint)
    return None


_refusals = Refusals()


def hear_refusal(error: KafkaError) -> None:
    """Take note of what a client tells in the background, to explain calls that fail later."""
    _refusals.hear(error)


def is_away(error: KafkaError) -> bool:
    """Whether a broker cannot be reached, or does not answer."""
    return error.code() in _AWAY


def fetch(consumer: Consumer, records_max: int, wait_seconds: float) -> list[Message]:
    """What is there, as soon as anything is: `consume` itself waits until it has all or the time
    is over.
    """
    messages = consumer.consume(1, wait_seconds)
    if messages and records_max > 1:
        messages += consumer.consume(records_max - 1, 0)
    return messages


def leave(consumer: Consumer) -> None:
    """Close a group's member.

    What the group has decided and nobody has consumed yet is taken note of before. Within `close`
    the callback asks a client whose group may have ended, and then waits for ever, with Python's
    lock: the whole process stands still (librdkafka 2.16; one of five times when it was tried).
    """
    with suppress(KafkaException, CdcdError):
        consumer.consume(1, 0)
    consumer.close()


class StallWatch:
    """Tells whether this process stood still lately, by how seldom its event loop comes by.

    A worker that was stopped for longer than its session, and wakes up, is fenced by itself: it
    joins anew while a request of its former membership is on the way.
    """

    def __init__(self, session_seconds: float) -> None:
        self._session_seconds = session_seconds
        self._last = time.monotonic()
        self._stalled_at = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Come by from now on, whatever the loop's tasks wait for meanwhile."""
        self._tick()
        seconds = self._session_seconds / 10
        self._timer = asyncio.get_running_loop().call_later(seconds, self.start)

    def stop(self) -> None:
        """Come by no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._last > self._session_seconds / 2:
            self._stalled_at = now
        self._last = now

    @property
    def stalled_lately(self) -> bool:
        """Whether the process stood still within the last ten sessions."""
        self._tick()
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
    return Fenced(
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
    return _refusals.explain(message) if cause.code() in _AWAY else Transient(message)


def admin_failure(client: AdminClient, error: KafkaException, doing: str) -> CdcdError:
    """What an administrator's error means; such a client tells its background only when asked."""
    client.poll(0)
    return failure(error, doing)
