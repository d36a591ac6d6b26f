"""What a change topic is, and which of its settings lose changes or could refuse them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

# A change holds a row, which may be larger than the brokers' default of 1 MiB.
RECORD_BYTES_MAX = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic's id, which another topic of the same name does not have, its number of partitions,
    and its settings as the brokers have them.
    """

    topic_id: str
    partitions: int
    settings: Mapping[str, str]

    @property
    def retention_seconds(self) -> float:
        """How long records are kept at least; infinity where they are kept for ever."""
        retention_ms = int(self.settings["retention.ms"])
        return float("inf") if retention_ms < 0 else retention_ms / 1000

    @property
    def faults(self) -> list[str]:
        """Settings by which changes are lost before they are applied."""
        policy = self.settings["cleanup.policy"]
        if "compact" not in policy:
            return []
        why = "forgets all but the last change of a row, which may hold a part of it"
        return [f"cleanup.policy={policy} {why}: set it to delete"]

    def warnings(self, retention_hours: int, min_insync_replicas: int) -> list[str]:
        """Settings that are weaker than those that cdcd gives its topics."""
        has = self.settings
        found = []
        if self.retention_seconds < retention_hours * 3600:
            found.append(f"retention.ms={has['retention.ms']}, under `topic_retention_hours`")
        if int(has["retention.bytes"]) >= 0:
            found.append(f"retention.bytes={has['retention.bytes']} may forget changes sooner")
        if int(has["min.insync.replicas"]) < min_insync_replicas:
            found.append(
                f"min.insync.replicas={has['min.insync.replicas']}, under"
                " `topic_min_insync_replicas`"
            )
        if int(has["max.message.bytes"]) < RECORD_BYTES_MAX:
            found.append(f"max.message.bytes={has['max.message.bytes']} refuses big rows")
        return found
