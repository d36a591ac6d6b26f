"""Connections of the pool: which are kept, and which end without a word."""

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from cdcd.config.settings import PostgresSettings
from cdcd.model.login import Login
from cdcd.sink.pool import Pool
from tests.integration.feeding import Feed, eventually


async def test_a_connection_of_an_older_login_may_be_gone(
    feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    """With another login connections are made anew; that one broke before is not told."""
    url = urlsplit(feed.postgres)
    logins = [Login(url.username or "", url.password or "", number) for number in (1, 2)]
    settings = PostgresSettings(dsn=feed.postgres, pool_connections_max=1)
    async with Pool(settings, "cdcd test", lambda: logins[0]) as pool:
        async with pool.connection() as connection:
            before = await connection.fetchval("SELECT pg_backend_pid()")
            transport = cast("Any", connection)._transport
        transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        del logins[0]
        async with pool.connection() as connection:
            assert await connection.fetchval("SELECT pg_backend_pid()") != before
        await eventually(_is_closing(transport), True)
        gc.collect()
    assert caplog.records == []


def _is_closing(transport: asyncio.Transport) -> Callable[[], Awaitable[bool]]:
    async def found() -> bool:
        return transport.is_closing()

    return found
