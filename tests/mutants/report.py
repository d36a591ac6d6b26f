"""What a run of mutmut found: totals, who is alive and why, and if that is good enough. Pure."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ALIVE_SHARE_MAX = 0.05
# A mutant that never ends was seen, and so was one that crashed.
_DEAD = {"killed", "timeout", "segfault", "suspicious", "caught by type check"}

_LINE = re.compile(r"\s*(\S+?)\.(x_|xǁ)(\S+)__mutmut_(\d+): (.+)")
_HEAD = """# Mutants

Made by `make mutants`: [mutmut](https://mutmut.readthedocs.io) changes one place at a time in the
modules that compute, and runs the unit tests that reach it. A change that no test sees is alive,
and so is one that no test reaches. `make mutants` ends with 1 when more than 5 % are alive, or when
one has no reason in `tests/mutants/survivors.toml`.

| module | mutants | seen | alive | share |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Mutant:
    """One change: in which module and function, and what became of it."""

    name: str
    module: str
    function: str
    status: str

    @property
    def is_alive(self) -> bool:
        """Whether the tests have not seen it."""
        return self.status not in _DEAD


def parsed(line: str) -> Mutant:
    """A line of `mutmut results`."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"not a mutant: {line}")
    module, kind, function, number, status = match.groups()
    name = f"{module}.{kind}{function}__mutmut_{number}"
    return Mutant(name, module, function.replace("ǁ", "."), status)


@dataclass(frozen=True)
class Found:
    """A mutant, and if it is alive the difference as `mutmut show` prints it."""

    mutant: Mutant
    difference: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether the tests have not seen it."""
        return self.mutant.is_alive

    @property
    def change(self) -> tuple[str, str]:
        """The line before and after."""
        return self._line("-"), self._line("+")

    def _line(self, sign: str) -> str:
        lines = self.difference.splitlines()
        marked = [n[1:].strip() for n in lines if n.startswith(sign) and not n.startswith(sign * 3)]
        return " ".join(marked)


@dataclass(frozen=True)
class Reasons:
    """Why a mutant may live: by function and by what its line becomes; numbers change too often."""

    by_change: dict[tuple[str, str], str]

    @classmethod
    def read(cls, path: Path) -> "Reasons":
        """Of a file that has `[[survivor]]` with `function`, `lines` and `reason`."""
        entries = tomllib.loads(path.read_text())["survivor"]
        return cls({(e["function"], line): e["reason"] for e in entries for line in e["lines"]})

    def of(self, found: Found) -> str | None:
        """The reason of a mutant, if there is one."""
        function = f"{found.mutant.module}.{found.mutant.function}"
        return self.by_change.get((function, found.change[1]))


def problems(found: Sequence[Found], reasons: Reasons) -> list[str]:
    """What is not good enough, a line each."""
    alive = [f for f in found if f.is_alive]
    wrong = [
        f"{f.mutant.name} is {f.mutant.status} without a reason: {f.change[1]}"
        for f in alive
        if reasons.of(f) is None
    ]
    if not found:
        wrong.append("there are no mutants")
    elif len(alive) > len(found) * ALIVE_SHARE_MAX:
        wrong.append(f"{len(alive)} of {len(found)} are more than {ALIVE_SHARE_MAX:.0%}")
    return wrong


def page(found: Sequence[Found], reasons: Reasons) -> str:
    """The page's text."""
    ordered = sorted(found, key=lambda f: (f.mutant.module, f.mutant.function, f.change))
    return "".join([_HEAD, *_totals(ordered), *_alive(ordered, reasons)])


def _totals(ordered: Sequence[Found]) -> Iterator[str]:
    for module, group in groupby(ordered, lambda f: f.mutant.module):
        yield _total(f"`{module}`", list(group))
    yield _total("all", ordered)


def _total(name: str, group: Sequence[Found]) -> str:
    alive = sum(f.is_alive for f in group)
    share = alive / len(group) if group else 0
    return f"| {name} | {len(group)} | {len(group) - alive} | {alive} | {share:.1%} |\n"


def _alive(ordered: Sequence[Found], reasons: Reasons) -> Iterator[str]:
    yield "\n## Alive, and why\n"
    alive = [f for f in ordered if f.is_alive]
    for (module, function), group in groupby(alive, lambda f: (f.mutant.module, f.mutant.function)):
        yield f"\n### {module}.{function}\n"
        for reason, same in groupby(group, lambda f: reasons.of(f) or "No reason is known."):
            yield f"\n{reason}\n\n```diff\n"
            for one in same:
                before, after = one.change
                yield f"- {before}\n+ {after}\n"
            yield "```\n"
