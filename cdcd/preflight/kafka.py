"""Checks of Kafka: rights, replication against the brokers there are, transactions, limits."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from cdcd.config.settings import KafkaSettings, Settings
from cdcd.preflight.report import Finding, note, problem, warning
from cdcd.transport.brokers import Brokers, Cluster

Check = Callable[[Brokers, Settings, Sequence[str]], Awaitable[list[Finding]]]

RETENTION_HOURS_MIN = 24
COPIES_SAFE = 3
COPIES_CONFIRMED_SAFE = 2


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Brokers]:
    """The brokers, once they answered."""
    brokers = Brokers(settings.kafka)
    await brokers.cluster()
    yield brokers


async def replication(brokers: Brokers, settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether there are brokers for the copies that topics ask for."""
    return judge_replication(settings.kafka, await brokers.cluster())


def judge_replication(settings: KafkaSettings, cluster: Cluster) -> list[Finding]:
    """What the topics' replication settings mean with these brokers."""
    wanted, confirmed = settings.topic_replication_factor, settings.topic_min_insync_replicas
    findings = []
    if wanted > cluster.brokers:
        findings.append(
            problem(
                f"kafka.topic_replication_factor is {wanted} and the number of brokers is"
                f" {cluster.brokers}: topics cannot be made",
                "add brokers, or set it lower where losing changes is acceptable",
            )
        )
    if confirmed > wanted:
        findings.append(
            problem(
                f"kafka.topic_min_insync_replicas is {confirmed} of {wanted} copies:"
                " no write can be confirmed",
                "set it below kafka.topic_replication_factor",
            )
        )
    elif confirmed == wanted > 1:
        findings.append(
            warning(
                f"kafka.topic_min_insync_replicas is {confirmed} of {wanted} copies:"
                " one broker away stops all writes",
                "set it below kafka.topic_replication_factor",
            )
        )
    if wanted < COPIES_SAFE or confirmed < COPIES_CONFIRMED_SAFE:
        findings.append(
            note(
                f"{wanted} copies of which {confirmed} confirm: a lost broker can lose changes",
                "the defaults are 3 and 2",
            )
        )
    return findings


async def rights(brokers: Brokers, settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether this user can make the pipeline's topics with these settings."""
    config = {
        "retention.ms": str(settings.kafka.topic_retention_hours * 3_600_000),
        "min.insync.replicas": str(settings.kafka.topic_min_insync_replicas),
    }
    cluster = await brokers.cluster()
    if settings.kafka.topic_replication_factor > cluster.brokers:
        return []  # the brokers would refuse for the reason that `replication` has found
    await brokers.could_make(f"{settings.name}.cdcd.check", config)
    return []


async def transactions(brokers: Brokers, settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether a transactional producer can be opened."""
    await brokers.could_transact(f"{settings.name}-check")
    return []


async def limits(brokers: Brokers, settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether the brokers' limits allow our timeouts, and retention survives a day's absence."""
    cluster = await brokers.cluster()
    return judge_limits(settings.kafka, cluster.settings)


def judge_limits(settings: KafkaSettings, broker: Mapping[str, str]) -> list[Finding]:
    """What the brokers' limits mean for our timeouts."""
    findings = []
    session_ms = settings.session_timeout_seconds * 1000
    lowest = int(broker.get("group.min.session.timeout.ms", "0"))
    if session_ms < lowest:
        findings.append(
            problem(
                f"kafka.session_timeout_seconds is below the brokers' limit of {lowest / 1000} s",
                "raise it, or lower group.min.session.timeout.ms on the brokers",
            )
        )
    highest = int(broker.get("transaction.max.timeout.ms", "900000"))
    if settings.transaction_timeout_seconds * 1000 > highest:
        findings.append(
            problem(
                "kafka.transaction_timeout_seconds is above the brokers' limit of"
                f" {highest / 1000} s",
                "lower it, or raise transaction.max.timeout.ms on the brokers",
            )
        )
    if settings.topic_retention_hours < RETENTION_HOURS_MIN:
        findings.append(
            warning(
                f"kafka.topic_retention_hours is {settings.topic_retention_hours}:"
                " a sink that is away for longer needs a snapshot",
                "24 to 48 hours are usual",
            )
        )
    return findings


CHECKS: Mapping[str, Check] = {
    "replication": replication,
    "rights": rights,
    "transactions": transactions,
    "limits": limits,
}
