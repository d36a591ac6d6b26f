"""The style guide as tests: what a linter does not know about this project."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from cdcd.cli.main import SECTIONS
from cdcd.config.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
CODE = sorted(ROOT.glob("cdcd/**/*.py"))
TESTS = sorted(ROOT.glob("tests/**/*.py"))
STACK = sorted(ROOT.glob("deploy/**/*.py"))
ALL = CODE + TESTS + STACK

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
ARGUMENTS_MAX = 6

# A folder of odds and ends has no owner.
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "shared"}
# A time or size is named with its unit; these are counts, flags, names and choices.
UNITS = ("_seconds", "_ms", "_hours", "_bytes", "_rows", "_share")
MEASURES = re.compile(r"time|delay|wait|interval|age|ttl|retention|period|timeout|size|limit|pause")
SENTENCE = re.compile(r"\S.*[.:]", re.DOTALL)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(params=ALL, ids=_name)
def source(request: pytest.FixtureRequest) -> Path:
    """Each Python file of the project."""
    path: Path = request.param
    return path


def _functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def _is_command(function: Function) -> bool:
    """Whether click passes this function its options, so that its arguments are no one's call."""
    return any("click." in ast.unparse(d) for d in function.decorator_list)


def test_modules_are_short(source: Path) -> None:
    """A module has at most 400 lines."""
    assert len(source.read_text().splitlines()) <= MODULE_LINES_MAX


def test_functions_are_short(source: Path) -> None:
    """A function has at most 70 lines."""
    long = {
        f.name: f.end_lineno - f.lineno + 1
        for f in _functions(source)
        if f.end_lineno and f.end_lineno - f.lineno >= FUNCTION_LINES_MAX
    }
    assert not long


def test_functions_take_few_arguments(source: Path) -> None:
    """A function takes at most 6 arguments beside self, commands excepted."""
    many = {}
    for function in _functions(source):
        arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        count = len([a for a in arguments if a.arg not in {"self", "cls"}])
        if count > ARGUMENTS_MAX and not _is_command(function):
            many[function.name] = count
    assert not many


def test_nothing_is_left_to_do(source: Path) -> None:
    """No file holds a note of unfinished work."""
    marks = re.findall(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b", source.read_text())
    assert not marks


def test_modules_say_what_they_are(source: Path) -> None:
    """Every module that holds code begins with a docstring."""
    tree = ast.parse(source.read_text())
    assert not tree.body or ast.get_docstring(tree)


@pytest.mark.parametrize("path", ALL, ids=_name)
def test_names_tell_the_content(path: Path) -> None:
    """No module is a drawer for odds and ends, and none hides one of the standard library."""
    parts = [p.removesuffix(".py") for p in path.relative_to(ROOT).parts]
    assert not DRAWERS & set(parts)
    if path in CODE:
        assert path.stem not in sys.stdlib_module_names - {"__init__", "__main__"}


@pytest.mark.parametrize("path", TESTS, ids=_name)
def test_tests_state_claims(path: Path) -> None:
    """Every test's docstring is a sentence: the claim that it proves."""
    silent = [
        f.name
        for f in _functions(path)
        if f.name.startswith("test_") and not SENTENCE.fullmatch(ast.get_docstring(f) or "")
    ]
    assert not silent


def _fields(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str | None]]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", name, field.description


@pytest.mark.parametrize(
    ("path", "name", "description"), list(_fields(Settings)), ids=lambda v: str(v)[:40]
)
def test_settings_say_what_they_are(path: str, name: str, description: str | None) -> None:
    """Every setting is described by a sentence, and a time or size has its unit in its name."""
    assert description, path
    assert SENTENCE.fullmatch(description), path
    if MEASURES.search(name):
        assert any(unit in name for unit in UNITS), path


def _leaves(commands: Iterable[click.Command]) -> Iterator[click.Command]:
    """Commands, and those of groups."""
    for command in commands:
        if isinstance(command, click.Group):
            assert command.help
            assert command.short_help
            yield from _leaves(command.commands.values())
        else:
            yield command


@pytest.mark.parametrize(
    "command", list(_leaves(c for g in SECTIONS.values() for c in g)), ids=lambda c: c.name
)
def test_commands_say_what_they_do(command: click.Command) -> None:
    """Every command and option has a help text, and every command that prints has --json; what
    `completion` prints is for a shell.
    """
    assert command.help
    assert command.get_short_help_str()
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert all(o.help for o in options)
    assert command.name in {"run", "completion"} or any("--json" in o.opts for o in options)
