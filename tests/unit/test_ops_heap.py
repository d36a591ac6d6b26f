"""How many heaps the threads of a process have."""

import os
import platform
import subprocess
import sys

import pytest

from cdcd.ops.heap import VARIABLE

# Threads that hold memory at the same time; glibc then tells its heaps as XML.
PROGRAM = """
import ctypes, threading
from cdcd.ops import heap
heap.share()
libc, all_hold = ctypes.CDLL(None), threading.Barrier(4)
def hold():
    libc.malloc(1000)
    all_hold.wait()
threads = [threading.Thread(target=hold) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
out = ctypes.c_void_p.in_dll(libc, "stdout")
libc.malloc_info(0, out)
libc.fflush(out)
"""


def heaps(**variables: str) -> int:
    """How many heaps a process has whose threads held memory at the same time."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={k: v for k, v in os.environ.items() if k != VARIABLE} | variables,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has several heaps")
def test_threads_share_one_heap() -> None:
    """All threads have one heap, or as many as whoever runs the process has asked for."""
    assert heaps() == 1
    assert heaps(**{VARIABLE: "3"}) == 3
