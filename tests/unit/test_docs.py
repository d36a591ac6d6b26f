"""The documentation: its links lead somewhere, and its pages are found from the first one."""

import re
from pathlib import Path

import pytest

from tests.pages import PAGES, ROOT, name

README = ROOT / "README.md"

_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)", re.DOTALL)


def _links(page: Path) -> list[str]:
    """What the page links to within the project."""
    found = _LINK.findall(_CODE.sub("", page.read_text()))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def _anchors(page: Path) -> set[str]:
    """The anchors that the page's headings have, as the usual renderers name them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def _target(page: Path, link: str) -> tuple[Path, str]:
    path, _, anchor = link.partition("#")
    return (page.parent / path).resolve() if path else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link is to a file that is there, and to a heading that it has."""
    for link in _links(page):
        target, anchor = _target(page, link)
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in _anchors(target), link


def test_every_page_is_found_from_the_readme() -> None:
    """Somebody who begins at the README gets to each page of docs/ by links."""
    reached: set[Path] = set()
    pending = [README]
    while pending:
        page = pending.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        pending += [_target(page, link)[0] for link in _links(page)]
    missed = {p for p in PAGES if ROOT / "docs" in p.parents} - reached
    assert not missed, sorted(map(name, missed))
