"""Which topics have partitions that nobody reads although the group has divided them. Pure.

A member with an instance id that is back before its session has ended is given what it had, and
the group is not divided anew, whatever topics it asks for now (KIP-345). So a topic that it did not
know before, or that has more partitions since, would be nobody's until a member comes or goes.
"""

from collections.abc import Mapping

from cdcd.transport.records import Partition

# How many looks at most are passed over between two times that the group divides anew: that holds
# up all its members, and is no help where it has not been before.
LOOKS_PASSED_MAX = 32
# How long it is looked after a division, or after a topic has other partitions: nothing becomes
# nobody's by itself, and brokers that are about to go away are better not asked.
LOOK_SECONDS = 60.0


class Unread:
    """Remembers the last look: a group that is just about to divide anew is seen once as it was."""

    def __init__(self) -> None:
        self._before: set[str] = set()
        self._pass = 1
        self._passing = 0
        self._wanted: Mapping[str, int] = {}
        self._until_seconds = 0.0

    def divided(self, now_seconds: float) -> None:
        """The group has divided its topics."""
        self._until_seconds = now_seconds + LOOK_SECONDS

    def is_due(self, wanted: Mapping[str, int], now_seconds: float) -> bool:
        """Whether to look now; `wanted` is the number of partitions by topic."""
        if wanted != self._wanted:
            self._wanted = wanted
            self.divided(now_seconds)
        return bool(wanted) and now_seconds < self._until_seconds

    def look(self, wanted: Mapping[str, int], read: frozenset[Partition] | None) -> set[str]:
        """The topics for which the group should divide anew: those that were found in this look and
        in the one before. When that does not help, it is told more and more seldom.

        `wanted` is the number of partitions by topic, `read` what the members of the group read,
        None while they are dividing it.
        """
        if self._passing:
            self._passing -= 1
            return set()
        found: set[str] = set() if read is None else nobodys(wanted, read)
        again = found & self._before
        self._before = found
        if again:
            self._before = set()
            self._passing, self._pass = self._pass, min(self._pass * 2, LOOKS_PASSED_MAX)
        elif read is not None and not found:
            self._pass = 1
        return again


def nobodys(wanted: Mapping[str, int], read: frozenset[Partition]) -> set[str]:
    """Topics of which not every partition is read."""
    return {
        topic
        for topic, count in wanted.items()
        if any(Partition(topic, number) not in read for number in range(count))
    }
