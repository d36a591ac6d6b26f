"""The kinds of drills, in words: what each does, and what it takes. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `needs_stack` marks those that disturb servers, which only the local stack's may
    be; `timed` says from when a round's recovery is counted.
    """

    name: str
    does: str
    timed: str
    workers: int = 1
    needs_stack: bool = False
    tablets: bool = False


_KINDS = (
    Kind(
        "kill",
        "kills the worker (SIGKILL) at a random moment and starts it again at once",
        "the kill",
    ),
    Kind(
        "pause",
        "stops one of two workers (SIGSTOP) until the other has taken over, and wakes it",
        "the stop",
        workers=2,
    ),
)
KINDS = {kind.name: kind for kind in _KINDS}
