"""Completion, typed into real shells."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
# Nothing of the user's: neither settings nor a prompt that is drawn anew.
COMMANDS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
BEGIN = {
    "bash": 'PS1="ready> "; eval "$(cdcd completion bash)"',
    "zsh": "PS1='ready> '; autoload -U compinit; compinit -u -D; eval \"$(cdcd completion zsh)\"",
}

# Each answer starts an interpreter.
ANSWER_SECONDS = 60


class Terminal:
    """A shell with somebody who types."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.shown = ""

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def wait(self, pattern: str) -> None:
        """Wait until the shell shows something behind all that was waited for before."""
        ends = time.monotonic() + ANSWER_SECONDS
        while not (found := re.search(pattern, self.shown)):
            assert time.monotonic() < ends, (pattern, self.shown)
            if select.select([self._master], [], [], 1)[0]:
                self.shown += os.read(self._master, 65536).decode(errors="replace")
        self.shown = self.shown[found.end() :]


@contextmanager
def terminal(shell: str, folder: Path) -> Iterator[Terminal]:
    """The shell on a terminal of its own, with cdcd's completion."""
    master, slave = pty.openpty()
    environment = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TERM": "dumb",
        "LANG": "C.UTF-8",
    }
    process = subprocess.Popen(
        COMMANDS[shell],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )
    os.close(slave)
    made = Terminal(master)
    try:
        made.type(BEGIN[shell] + "; echo has''begun\n")
        made.wait("hasbegun")
        made.wait("ready> ")
        yield made
    finally:
        process.kill()
        process.wait()
        with suppress(OSError):
            os.close(master)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes(shell: str, tmp_path: Path) -> None:
    """Commands, commands within them, options, choices and files are completed by the tab key."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "shop.toml").touch()
    with terminal(shell, tmp_path) as typed:
        for begun, rest in (
            ("cdcd rec", "oncile"),
            ("cdcd reconcile inc", "remental"),
            ("cdcd run --sta", "[gr]"),  # --stage and --start have these letters in common
            ("cdcd check --service reg", "istry"),
            ("cdcd -c sho", "p.toml"),
        ):
            typed.type(f"{begun}\t")
            if rest.startswith("["):
                typed.type("\t")
                typed.wait("--stage")
                typed.wait("--start")
            else:
                typed.wait(re.escape(rest))
            # The line is taken back.
            typed.type("\x15echo is''done\n")
            typed.wait("isdone")
            typed.wait("ready> ")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(tmp_path: Path) -> None:
    """Fish knows commands, options and choices, with their descriptions."""
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    def completions(line: str) -> list[str]:
        script = f"cdcd completion fish | source; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=ANSWER_SECONDS,
        )
        return done.stdout.splitlines()

    assert completions("cdcd rec") == ["reconcile\tCompare the target with the source"]
    assert completions("cdcd check --service reg") == ["registry"]
    assert [c.split("\t")[0] for c in completions("cdcd run --sta")] == ["--stage", "--start"]


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_the_script_is_printed(shell: str) -> None:
    """The script names cdcd, and nothing is on stderr."""
    done = subprocess.run(
        [BIN / "cdcd", "completion", shell], capture_output=True, text=True, check=True
    )
    assert "_CDCD_COMPLETE" in done.stdout
    assert done.stderr == ""


def test_a_shell_that_nobody_knows_is_a_mistake() -> None:
    """Another shell's name gives two lines and exit code 2."""
    done = subprocess.run(
        [BIN / "cdcd", "completion", "ksh"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert "bash" in done.stderr
