"""The daemon's own port with TLS, and the commands that ask it."""

import io
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from rich.console import Console

from cdcd.cli.port import client_of, url_of
from cdcd.cli.watch import watch
from cdcd.config.settings import HttpSettings
from cdcd.config.tls import PortTlsSettings
from cdcd.model.errors import ConfigurationError
from cdcd.ops import health
from cdcd.ops.board import Board
from cdcd.ops.status import StageState
from tests.unit.certificates import Authority, new_authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority with the daemon's certificate."""
    made = new_authority(tmp_path)
    made.issue("cdcd")
    return made


@asynccontextmanager
async def _served(settings: HttpSettings) -> AsyncIterator[str]:
    board = Board("shop", "one")
    board.stage("source", StageState.RETRYING, "ScyllaDB is away")
    async with health.serve(settings, board.snapshot, board.exposition) as url:
        yield url


def _settings(authority: Authority, **more: object) -> HttpSettings:
    files = authority.files("cdcd")
    tls = PortTlsSettings.model_validate({"enabled": True, **files, **more})
    return HttpSettings(port=0, tls=tls)


def _stranger(authority: Authority) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
    """A client without a certificate."""
    context = ssl.create_default_context(cafile=authority.ca)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))


async def test_the_port_speaks_tls_alone(authority: Authority) -> None:
    """With TLS the port is https, by its certificate, and plain HTTP gets nothing."""
    async with _served(_settings(authority)) as url, _stranger(authority) as client:
        assert url.startswith("https://127.0.0.1:")
        async with client.get(f"{url}/livez") as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await client.get(url.replace("https", "http"))


@pytest.mark.parametrize(
    ("path", "status"),
    [("/livez", 200), ("/readyz", 503), ("/metrics", 403), ("/status", 403), ("/", 403)],
)
async def test_only_probes_need_no_certificate(
    authority: Authority, path: str, status: int
) -> None:
    """Where clients need certificates, probes alone are answered without one."""
    settings = _settings(authority, client_certificates=True)
    async with (
        _served(settings) as url,
        _stranger(authority) as client,
        client.get(f"{url}{path}") as answer,
    ):
        assert answer.status == status
        assert "ScyllaDB" not in await answer.text()


async def test_a_certificate_opens_the_port(authority: Authority) -> None:
    """A client with the daemon's own certificate reads it all, with the reasons."""
    settings = _settings(authority, client_certificates=True)
    async with _served(settings) as url, client_of(settings) as client:
        async with client.get(f"{url}/readyz") as answer:
            assert "ScyllaDB is away" in await answer.text()
        async with client.get(f"{url}/metrics") as answer:
            assert answer.status == 200


async def test_status_is_watched_with_a_certificate(
    authority: Authority, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cdcd status --watch` asks a port with TLS by the settings; without them it says which."""
    settings = _settings(authority, client_certificates=True)
    monkeypatch.setattr("cdcd.cli.watch.EVERY_SECONDS", 0.0)
    out = Console(file=io.StringIO())
    async with _served(settings) as url:
        with pytest.raises(ConfigurationError, match="certificate") as refused:
            await watch(HttpSettings(), url, out, as_json=True)
        assert "[http.tls]" in refused.value.hint
        monkeypatch.setattr("click.echo", _stop_after_first)
        with pytest.raises(_Seen) as seen:
            await watch(settings, url, out, as_json=True)
        assert json.loads(str(seen.value))["name"] == "shop"


class _Seen(Exception):
    """What was printed first."""


def _stop_after_first(text: str) -> None:
    raise _Seen(text)


def test_commands_ask_where_the_settings_say(authority: Authority) -> None:
    """The place of the daemon has its scheme, and brackets around an IPv6 address."""
    settings = _settings(authority)
    assert url_of(settings.model_copy(update={"host": "::1", "port": 7})) == "https://[::1]:7"
    assert url_of(HttpSettings(port=7)) == "http://127.0.0.1:7"
