"""The C library's heap, set for a process of many threads of which one at a time runs Python.

glibc gives each thread a heap of its own, up to eight for each core, so that threads need not wait
for each other, and what one of them has freed no other takes again. The clients have some thirty
threads: all of the road took 190 MB at its peak with heaps of their own, and 172 with one, in the
same time (`mallopt(3)`, M_ARENA_MAX).
"""

import ctypes
import os

# In glibc's malloc.h.
_M_ARENA_MAX = -8
# By which whoever runs the process says otherwise.
VARIABLE = "MALLOC_ARENA_MAX"


def share() -> None:
    """Have all threads that begin from now on share one heap; nothing, where there is no glibc."""
    if VARIABLE in os.environ:
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_ARENA_MAX, 1)
