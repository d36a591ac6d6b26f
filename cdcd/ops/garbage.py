"""Python's collector of reference cycles, set for a process that makes a lot and throws it away.

Changes and records form no cycles, so counting references frees them. The collector's defaults look
for cycles at each 700 new objects, and again and again at everything that is alive: a third of the
CPU of catching up. It stays on, for the few cycles that exceptions and clients make.
"""

import gc

# New objects until the young ones are looked at: some thousands of changes.
YOUNG_OBJECTS = 50_000


def expect_little() -> None:
    """Call it once all modules are loaded: what is there now stays, and is looked at no more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
