"""The collector of reference cycles."""

import subprocess
import sys

CODE = """
import gc, weakref
from cdcd.ops.garbage import YOUNG_OBJECTS, expect_little
class Node: pass
expect_little()
frozen = gc.get_freeze_count()
node = Node(); node.itself = node
seen = weakref.ref(node)
del node
kept = [[] for _ in range(2 * YOUNG_OBJECTS)]
print(frozen > 0, gc.isenabled(), seen() is None)
"""


def test_cycles_are_still_collected() -> None:
    """What is there at the start is left alone, and cycles made later are collected."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]
