"""The daemon's page for people, in a real browser."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cdcd.config.settings import HttpSettings
from cdcd.ops import health
from cdcd.ops.board import Applied, Board, wall_clock_ms
from cdcd.ops.status import StageState, TableState
from tests.integration.browser import CHROMIUM, Page, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

# Where `make page-pictures` wants the pictures that the documentation shows.
PICTURES = os.environ.get("CDCD_PAGE_PICTURES")
DESKTOP, PHONE = (1180, 640), (400, 900)

TABLES = ("shop.orders", "shop.customers", "billing.invoices_by_customer_and_month")
ROWS = "document.querySelectorAll('#tables tr').length"


@pytest.fixture
def board() -> Board:
    """A worker with some tables, one of which is broken."""
    made = Board("shop", "one")
    for stage in ("source", "sink"):
        made.stage(stage, StageState.RUNNING)
    for table in TABLES:
        made.table(table, TableState.RUNNING)
        _work(made, table, 0)
    why = "shop.events: its CDC log was dropped and made again since it was last read"
    made.table("shop.events", TableState.NEEDS_SNAPSHOT, why)
    return made


def _work(board: Board, table: str, changes: int) -> None:
    now_ms = wall_clock_ms()
    board.frontier(table, now_ms - 300)
    board.published(table, [now_ms * 1000] * changes, now_ms)
    board.applied(Applied(table, [now_ms * 1000] * changes, [now_ms] * changes, now_ms, 0.01))
    board.waiting(table, 0)


@pytest.fixture
async def url(board: Board) -> AsyncIterator[str]:
    """The served board."""
    async with health.serve(HttpSettings(port=0), board.snapshot, board.exposition) as base:
        yield base


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    """A page of a browser."""
    async with browser(tmp_path / "profile") as opened:
        yield opened


@pytest.mark.parametrize(("width", "height"), [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_page_shows_the_board(
    page: Page, url: str, board: Board, width: int, height: int
) -> None:
    """Tables, reasons and rates are there, in the window's width, without a complaint."""
    await page.open(url, width, height)
    await page.wait(f"{ROWS} === 4")
    for turn in range(200 if PICTURES else 3):
        for number, table in enumerate(TABLES):
            if turn * (number + 1) % 7 < 5:
                _work(board, table, 700 + 140 * number)
        await asyncio.sleep(0.3)  # work that goes on: the page shows rates
    await page.wait("/[1-9]/.test(document.querySelector('#figures div:nth-child(2) b').innerText)")
    assert "shop.events is needs_snapshot" in await page.value("document.body.innerText")
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    assert await page.value("document.querySelectorAll('polyline').length") == 4
    assert page.complaints == []
    if PICTURES:
        name = "status-page.png" if width == DESKTOP[0] else "status-page-phone.png"
        _keep(name, await page.picture())


def _keep(name: str, picture: bytes) -> None:
    assert PICTURES is not None
    Path(PICTURES, name).write_bytes(picture)


async def test_names_are_text_and_no_markup(page: Page, url: str, board: Board) -> None:
    """A table whose quoted name looks like HTML is shown as it is called, and runs nothing."""
    name = "<img src=x onerror=\"document.title='owned'\">"
    board.table(f"ks.{name}", TableState.STOPPED, f"<script>document.title='owned'</script>{name}")
    await page.open(url, *DESKTOP)
    await page.wait(f"{ROWS} === 5")
    assert await page.value("document.querySelectorAll('img').length") == 0
    assert await page.value("document.title") == "shop · cdcd"
    assert name in await page.value("document.getElementById('tables').innerText")


async def test_page_says_when_nobody_answers(page: Page, board: Board) -> None:
    """A worker that is gone is not shown as one that is ready."""
    async with health.serve(HttpSettings(port=0), board.snapshot, board.exposition) as base:
        await page.open(base, *DESKTOP)
        await page.wait(f"{ROWS} === 4")
    await page.wait("document.getElementById('ready').innerText === 'no answer'")
