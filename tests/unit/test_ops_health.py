"""The daemon's own port, asked over a real socket."""

import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from cdcd.config.settings import HttpSettings
from cdcd.model.errors import ConfigurationError, ExitCode
from cdcd.ops import health
from cdcd.ops.board import Board
from cdcd.ops.status import StageState, TableState


@pytest.fixture
def board() -> Board:
    """An empty board."""
    return Board("cdcd", "one")


@pytest.fixture
async def url(board: Board) -> AsyncIterator[str]:
    """The base URL of a served board."""
    async with health.serve(HttpSettings(port=0), board.snapshot, board.exposition) as base:
        yield base


async def _get(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        is_json = answer.content_type == "application/json"
        return answer.status, await (answer.json() if is_json else answer.text())


async def test_live_although_everything_is_away(board: Board, url: str) -> None:
    """/livez answers 200 while every stage waits for something remote."""
    board.stage("source", StageState.RETRYING, "ScyllaDB is away")
    assert await _get(f"{url}/livez") == (200, {"live": True})


async def test_not_ready_says_why(board: Board, url: str) -> None:
    """/readyz answers 503 with the state of each stage and table and the reasons."""
    board.stage("source", StageState.RETRYING, "ScyllaDB is away")
    board.table("ks.t", TableState.RUNNING)
    status, body = await _get(f"{url}/readyz")
    assert status == 503
    assert body == {
        "ready": False,
        "reasons": ["stage source is retrying: ScyllaDB is away"],
        "stages": {"source": "retrying"},
        "tables": {"ks.t": "running"},
    }


async def test_ready_when_stages_run(board: Board, url: str) -> None:
    """/readyz answers 200 once the stages run."""
    board.stage("source", StageState.RUNNING)
    status, body = await _get(f"{url}/readyz")
    assert (status, body["ready"]) == (200, True)


async def test_metrics_are_served(board: Board, url: str) -> None:
    """/metrics has what the board counted."""
    board.published("ks.t", [1], 2)
    status, body = await _get(f"{url}/metrics")
    assert status == 200
    assert 'cdcd_published_changes_total{table="ks.t"} 1.0' in body


async def test_status_is_the_board(board: Board, url: str) -> None:
    """/status is the board's snapshot as JSON."""
    board.table("ks.t", TableState.STOPPED, "why")
    _, body = await _get(f"{url}/status")
    assert body["name"] == "cdcd"
    assert (body["tables"][0]["state"], body["tables"][0]["reason"]) == ("stopped", "why")


async def test_taken_port_is_a_wrong_setting(board: Board) -> None:
    """A port that another process has is a configuration error that says what to set."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = HttpSettings(port=other.getsockname()[1])
        with pytest.raises(ConfigurationError) as caught:
            async with health.serve(settings, board.snapshot, board.exposition):
                pass
    assert caught.value.exit_code is ExitCode.CONFIGURATION
    assert "--http-port" in caught.value.hint


def test_loopback_is_the_default() -> None:
    """Nobody outside of the machine is served unless told otherwise."""
    assert HttpSettings().host == "127.0.0.1"
