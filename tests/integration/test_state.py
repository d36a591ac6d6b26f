"""cdcd's own tables where somebody else has prepared the database."""

import itertools
import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from cdcd.config.settings import PostgresSettings
from cdcd.preflight import postgres as checks
from cdcd.sink.pool import Pool
from cdcd.sink.schema import prepare_database
from cdcd.sink.state import STATE_VERSION
from tests.stack import Stack

_number = itertools.count()


@pytest.fixture
async def dsn(stack: Stack) -> AsyncIterator[str]:
    """A database with both schemas, made for a user who may make none."""
    name = f"state{os.getpid()}x{next(_number)}"
    place = urlsplit(stack.postgres_admin)
    there = place._replace(path=f"/{name}").geturl()
    admin = await asyncpg.connect(stack.postgres_admin)
    await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    await admin.execute(f"CREATE DATABASE {name}")
    inside = await asyncpg.connect(there)
    for schema in ("cdcd", "cdc_data"):
        await inside.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {name}")
    await inside.close()
    yield place._replace(netloc=f"{name}:x@{place.hostname}:{place.port}", path=f"/{name}").geturl()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.execute(f"DROP ROLE {name}")
    await admin.close()


async def test_schemas_may_be_there_already(dsn: str) -> None:
    """A user who may not make schemas uses those that an operator has made, and `check` says no
    more than what comes true.
    """
    settings = PostgresSettings(dsn=SecretStr(dsn))
    async with Pool(settings, "cdcd test") as pool:
        for schema in ("cdcd", "cdc_data"):
            (row,) = await checks._query(pool, checks._SCHEMA, schema)
            assert checks.judge_schema(schema, row) == []
        await prepare_database(pool, "cdc_data")
        await prepare_database(pool, "cdc_data")
        async with pool.connection() as connection:
            version = await connection.fetchval("SELECT state_version FROM cdcd.meta")
    assert version == STATE_VERSION
