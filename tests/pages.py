"""The documentation's pages, and the blocks of code that they hold."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])

SHELLS = frozenset({"sh", "console"})
_NOT_RUN = "not run:"
# For commands that refuse while a worker runs.
STOPPED = "workers stopped"

# An indented fence belongs to a list, and its block is indented as much.
_FENCE = re.compile(r"^( *)```(.*)\n((?:.*\n)*?)\1```$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: what stands behind the fence, split in language and rest, and its text."""

    page: Path
    language: str
    mark: str
    text: str

    @property
    def reason(self) -> str | None:
        """Why it is not run, which stands behind `not run:`; None where it is."""
        if self.mark.startswith(_NOT_RUN):
            return self.mark.removeprefix(_NOT_RUN).strip()
        return None


def name(page: Path) -> str:
    """The page's path in the project."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """All blocks of the page, in order."""
    found = []
    for indent, info, text in _FENCE.findall(page.read_text()):
        language, _, mark = info.partition(" ")
        lines = [line.removeprefix(indent) for line in text.splitlines()]
        found.append(Block(page, language, mark.strip(), "\n".join(lines)))
    return found
