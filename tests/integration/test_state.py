"""cdcd's own tables where somebody else has prepared the database."""

import itertools
import os
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from cdcd.config.settings import PostgresSettings, Settings
from cdcd.preflight import postgres as checks
from cdcd.preflight import production_checks
from cdcd.sink.pool import Pool
from cdcd.sink.schema import prepare_database
from cdcd.sink.state import STATE_VERSION
from tests.pages import ROOT, blocks
from tests.stack import Stack

_number = itertools.count()


@pytest.fixture
async def dsn(stack: Stack) -> AsyncIterator[str]:
    """A database with what docs/SECURITY.md grants, and no more."""
    name = f"state{os.getpid()}x{next(_number)}"
    place = urlsplit(stack.postgres_admin)
    there = place._replace(path=f"/{name}").geturl()
    admin = await asyncpg.connect(stack.postgres_admin)
    await admin.execute(f"CREATE DATABASE {name}")
    inside = await asyncpg.connect(there)
    await inside.execute(_granted(name))
    await inside.close()
    yield place._replace(netloc=f"{name}:x@{place.hostname}:{place.port}", path=f"/{name}").geturl()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.execute(f"DROP ROLE {name}, {name}_reader")
    await admin.close()


def _granted(name: str) -> str:
    """The page's statements, for a role, a database and a reader of the test's own."""
    (text,) = (b.text for b in blocks(ROOT / "docs" / "SECURITY.md") if "AUTHORIZATION" in b.text)
    for theirs, ours in {
        "(ROLE|TO|AUTHORIZATION) cdcd": rf"\1 {name}",
        "(ROLE|TO) reader": rf"\1 {name}_reader",
        "DATABASE warehouse": f"DATABASE {name}",
        "…": "x",
    }.items():
        text = re.sub(rf"\b{theirs}\b" if theirs[0] != "…" else theirs, ours, text)
    return text


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


async def test_documented_grants_are_enough_and_no_more(dsn: str) -> None:
    """With the page's grants a target can be made, staged and read by its readers, and production
    finds neither a needless right nor another writer.
    """
    settings = PostgresSettings(dsn=SecretStr(dsn))
    async with Pool(settings, "cdcd test") as pool:
        await prepare_database(pool, "cdc_data")
        async with pool.connection() as connection:
            await connection.execute(
                "CREATE TABLE cdc_data.t (id int); INSERT INTO cdc_data.t VALUES (1)"
            )
            await connection.execute("CREATE TEMPORARY TABLE staged (id int)")
            reader = f"{await connection.fetchval('SELECT current_user')}_reader"
            may = [
                await connection.fetchval(
                    "SELECT has_table_privilege($1, 'cdc_data.t', $2)", reader, right
                )
                for right in ("SELECT", "UPDATE")
            ]
        whole = Settings(postgres=settings)
        said = await production_checks.role(pool, whole, ())
        assert not [f for f in said if "role" in f.message]
        assert await production_checks.writers(pool, whole, ()) == []
    assert may == [True, False]
