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

    def warnings(self, retention_hours: int, min_insync_replicas: int) -> list[str]:
        """Settings that are weaker than those that cdcd gives its topics."""
        has = self.settings
        found = []
        if self.retention_seconds < retention_hours * 3600:
            name = "min.compaction.lag.ms" if self.is_compacted else "retention.ms"
            found.append(f"{name}={has[name]}, under `topic_retention_hours`")
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
