"""The kinds of drills, in words: what each does, and what it takes. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `needs_stack` marks those that disturb servers, which only the local stack's may
    be; `timed` says from when a round's recovery is counted; `programs` are used by it.
    """

    name: str
    does: str
    timed: str
    workers: int = 1
    needs_stack: bool = False
    tablets: bool = False
    programs: tuple[str, ...] = ()
    needs_root: bool = False


_KINDS = (
    Kind(
        "kill",
        "kills the worker (SIGKILL) at a random moment and starts it again at once; every other"
        " time once more while it comes back",
        "the last kill",
    ),
    Kind(
        "pause",
        "stops one of two workers (SIGSTOP) until the other has taken over, and wakes it",
        "the stop",
        workers=2,
    ),
    Kind(
        "takeover",
        "kills one of two workers (SIGKILL), and starts it again once the other has taken over",
        "the kill",
        workers=2,
    ),
    Kind(
        "clock",
        "sets the worker's clock half a minute ahead or back in turn, starts the worker anew with"
        " it, and sets it right",
        "the first step",
        programs=("cc",),
    ),
    Kind(
        "poison",
        "writes rows that PostgreSQL refuses, and mends and replays their dead letters",
        "the replay",
    ),
    Kind("schema", "adds a column and writes to it at once", "the ALTER TABLE"),
    Kind(
        "connections",
        "takes all of PostgreSQL's connections, the worker's too, for three seconds",
        "their return",
        needs_stack=True,
    ),
    Kind(
        "disk",
        "fills the disk of the target's table until the worker says so, and for three seconds",
        "the new room",
        needs_stack=True,
        programs=("mount",),
        needs_root=True,
    ),
    Kind(
        "vault",
        "takes Vault away, killed and sealed in turn, until the login that it leased has ended, and"
        " breaks the worker's connections",
        "Vault's first answer",
        needs_stack=True,
    ),
    Kind(
        "database",
        "takes PostgreSQL away for two seconds, killed and stopped in turn",
        "PostgreSQL's first answer",
        needs_stack=True,
    ),
    Kind(
        "broker",
        "takes Kafka away for two seconds, killed and stopped in turn",
        "Kafka's first answer",
        needs_stack=True,
    ),
    Kind(
        "cluster",
        "takes ScyllaDB away for two seconds",
        "ScyllaDB's first answer",
        needs_stack=True,
    ),
    Kind(
        "registry",
        "takes the registry away while a column is added, killed and stopped in turn",
        "the registry's first answer",
        needs_stack=True,
    ),
    Kind(
        "partition",
        "cuts, swallows, half-opens or delays what passes between worker and one server, for three"
        " seconds; 16 rounds have each with each server",
        "the healing, or the beginning of the delays",
        needs_stack=True,
    ),
    Kind(
        "generation",
        "gives the whole cluster other streams",
        "the switch",
        needs_stack=True,
    ),
    Kind(
        "tablets",
        "gives the table more tablets, then fewer",
        "the switch",
        needs_stack=True,
        tablets=True,
    ),
)
KINDS = {kind.name: kind for kind in _KINDS}
