"""What a topic is, and which of its settings lose records or could refuse them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

# A change holds a row, which may be larger than the brokers' default of 1 MiB.
RECORD_BYTES_MAX = 10 * 1024 * 1024
# What a dead letter adds to its record.
HEADERS_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic's id, which another topic of the same name does not have, its number of partitions,
    and its settings as the brokers have them.
    """

    topic_id: str
    partitions: int
    settings: Mapping[str, str]

    @property
    def is_compacted(self) -> bool:
        """Whether records that are old enough are forgotten once their key has a newer one."""
        return "compact" in self.settings["cleanup.policy"]

    @property
    def retention_seconds(self) -> float:
        """How long every record is kept at least; infinity where all are kept for ever."""
        kept_ms = []
        if self.is_compacted:
            kept_ms.append(int(self.settings["min.compaction.lag.ms"]))
        if "delete" in self.settings["cleanup.policy"]:
            kept_ms.append(int(self.settings["retention.ms"]))
        return min((ms / 1000 for ms in kept_ms if ms >= 0), default=float("inf"))

    @property
    def faults(self) -> list[str]:
        """Settings by which changes are lost before they are applied."""
        if not self.is_compacted or int(self.settings["min.compaction.lag.ms"]) > 0:
            return []
        policy = self.settings["cleanup.policy"]
        why = "forgets all but the last change of a row, which may hold a part of it"
        mend = "set it to delete, or min.compaction.lag.ms to the time until all is applied"
        return [f"cleanup.policy={policy} {why}: {mend}"]

    def lanes_warnings(self, min_insync_replicas: int) -> list[str]:
        """Settings of the lanes topic that are weaker than those that cdcd gives it."""
        confirmed = self.settings["min.insync.replicas"]
        if int(confirmed) >= min_insync_replicas:
            return []
        return [f"min.insync.replicas={confirmed}, under `topic_min_insync_replicas`"]

    def letters_warnings(self, retention_hours: int, min_insync_replicas: int) -> list[str]:
        """Settings of the dead-letter topic that are weaker than those that cdcd gives it."""
        found = []
        if self.is_compacted:
            policy = self.settings["cleanup.policy"]
            found.append(f"cleanup.policy={policy} forgets all but the last letter of a row")
        bytes_max = RECORD_BYTES_MAX + HEADERS_BYTES_MAX
        return found + self.warnings(retention_hours, min_insync_replicas, bytes_max)

    def warnings(
        self, retention_hours: int, min_insync_replicas: int, bytes_max: int = RECORD_BYTES_MAX
    ) -> list[str]:
        """Settings that are weaker than those that cdcd gives its topics."""
        has = self.settings
        found = self.lanes_warnings(min_insync_replicas)
        if self.retention_seconds < retention_hours * 3600:
            name = "min.compaction.lag.ms" if self.is_compacted else "retention.ms"
            found.append(f"{name}={has[name]}, under `topic_retention_hours`")
        if int(has["retention.bytes"]) >= 0:
            found.append(f"retention.bytes={has['retention.bytes']} may forget changes sooner")
        if int(has["max.message.bytes"]) < bytes_max:
            found.append(f"max.message.bytes={has['max.message.bytes']} refuses big rows")
        return found
