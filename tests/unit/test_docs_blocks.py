"""The blocks of the documentation say what they are, and commands in it are such as there are."""

import re
import shlex
from pathlib import Path

import click
import pytest

from cdcd.cli.main import cli
from tests.pages import PAGES, SHELLS, STOPPED, blocks, name

# Held by tests/scenario/test_drills.py, and written by those who hold the drills.
MADE_ELSEWHERE = {"docs/DRILLS.md", "docs/RACE.md"}
PAGES_HERE = [p for p in PAGES if name(p) not in MADE_ELSEWHERE]

_INLINE = re.compile(r"`(cdcd [^`]*)`")
_LINE = re.compile(r"^(?:\S*/)?(cdcd (?:[^\\\n]|\\\n)*)$", re.MULTILINE)
# What stands for a value, or for what is left out.
_OPEN = re.compile(r"[…|]|\.\.\.")


def _commands(page: Path) -> list[str]:
    """Each `cdcd` command of the page, in sentences and in shell blocks, run or not."""
    shells = "\n".join(b.text for b in blocks(page) if b.language in SHELLS)
    # A sentence may break within a command; a code span does not care.
    prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    inline = [" ".join(found.split()) for found in _INLINE.findall(prose)]
    return [*inline, *_LINE.findall(shells)]


def _wrong(command: str) -> str | None:
    """The first word of the command that cdcd does not know; None where it knows all."""
    here: click.Command = cli
    for word in shlex.split(_OPEN.sub(" ", command), comments=True)[1:]:
        options = {"-h", "--help"} | {o for p in here.params for o in (*p.opts, *p.secondary_opts)}
        if word.startswith("-"):
            if word.partition("=")[0] not in options:
                return word
        elif isinstance(here, click.Group) and word in here.commands:
            here = here.commands[word]
        elif isinstance(here, click.Group) and here is not cli and word.islower():
            return word
    return None


@pytest.mark.parametrize("page", PAGES_HERE, ids=name)
def test_blocks_say_what_they_are(page: Path) -> None:
    """Each block names its language, and a shell block that is not run says why."""
    for block in blocks(page):
        assert block.language, block.text
        if block.mark not in {"", STOPPED} and block.language in SHELLS:
            assert block.reason, block.mark


@pytest.mark.parametrize("page", PAGES_HERE, ids=name)
def test_commands_are_such_as_there_are(page: Path) -> None:
    """Every command and option of cdcd that a page names is one that cdcd has."""
    wrong = {command: _wrong(command) for command in _commands(page)}
    assert not {c: w for c, w in wrong.items() if w}


def test_a_command_that_is_not_there_is_seen() -> None:
    """What looks at commands knows a wrong option, and a wrong word behind a group."""
    assert _wrong("cdcd -c cdcd.toml check --table 'ks.*' --json") is None
    assert _wrong("cdcd dlq replay --everything") == "--everything"
    assert _wrong("cdcd offsets save") == "save"
