"""Which writes the log's reads are sure to see, by replication and consistency levels. Pure.

A read sees a write for sure where their copies overlap: R read and W written of N, R + W > N. A
write that it may miss is found when the log is read again, after the settle delays.
"""

from collections.abc import Mapping

# Of writers, from weak to strong; LOCAL_ONE and ANY are no stronger than ONE.
LEVELS = ("ONE", "LOCAL_QUORUM", "QUORUM", "EACH_QUORUM", "ALL")


def copies(replication: Mapping[str, str]) -> int:
    """Copies of each row over all data centres."""
    return sum(_by_place(replication).values())


def _by_place(replication: Mapping[str, str]) -> dict[str, int]:
    """Copies by data centre, or by none where the strategy knows none."""
    return {k: int(v) for k, v in replication.items() if k != "class" and v.isdigit()}


def seen_writes(replication: Mapping[str, str], level: str) -> tuple[str, ...]:
    """The levels of writers, in any data centre, all of whose writes a read at this level sees."""
    places = _by_place(replication)
    if sum(places.values()) <= 1 or level == "ALL":
        return LEVELS
    if level in ("ONE", "LOCAL_ONE"):
        return ("ALL",)
    if len(places) == 1:
        return LEVELS[1:]
    return ("EACH_QUORUM", "ALL") if level == "LOCAL_QUORUM" else ("QUORUM", "EACH_QUORUM", "ALL")


def writers_note(keyspace: str, replication: Mapping[str, str], level: str) -> str:
    """What the level of a keyspace's writers means for reads of its logs at another."""
    seen = seen_writes(replication, level)
    if seen == LEVELS:
        return f"keyspace {keyspace}: writes at any level are read at once"
    near = level == "LOCAL_QUORUM" and "LOCAL_QUORUM" not in seen
    more = ", or at LOCAL_QUORUM in the data centre that is read," if near else ""
    return (
        f"keyspace {keyspace}: writes at {', '.join(seen)}{more} are read at once; others may be "
        "late, and are found when the log is read again; a lightweight transaction counts as its "
        "commit's level"
    )
