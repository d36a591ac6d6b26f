"""What takes minutes to compile, compiled beside the tests that do not need it: they wait a lot.

    python -m tests.builds NAME…

Tests name theirs with the marker `builds` and come last.
"""

import os
import shutil
import signal
import subprocess
import sys

from stackd import jaeger

from tests.contract import official_client

_COMPILERS = {"jaeger": "go", "official client": "cargo"}
_STOP_SECONDS_MAX = 10


class Beside:
    """The compilers, at the lowest priority, until the tests end."""

    def __init__(self, names: set[str]) -> None:
        # What this process finds, that one finds too.
        found = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = ["nice", "-n", "19", sys.executable, "-m", "tests.builds", *sorted(names)]
        # What fails here fails in the test that needs it, which says why.
        self._process = subprocess.Popen(
            command,
            env=found,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self) -> None:
        """No test needs it any more."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(_STOP_SECONDS_MAX)


def main(names: list[str]) -> None:
    """Build what these names say, as far as its compiler is there."""
    for name in names:
        if shutil.which(_COMPILERS[name]) is None:
            continue
        if name == "jaeger":
            jaeger.program()
        else:
            official_client.build(lambda _: None)


if __name__ == "__main__":
    main(sys.argv[1:])
