"""The door to the database: raw rows, pages, and what each failure becomes."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from cassandra.cluster import Session as DriverSession

from cdcd.model.errors import Transient
from cdcd.source.session import Session, StatementRefused, partition_token
from tests.contract.type_values import TABLE, VALUES
from tests.integration.keyspaces import Keyspace, keyspace, settings_of
from tests.stack import Stack


@pytest.fixture(scope="module")
def ks(plain: DriverSession) -> Iterator[Keyspace]:
    """A keyspace for this module."""
    with keyspace(plain, "vnodes") as made:
        yield made


async def test_raw_rows_are_what_the_driver_decodes(ks: Keyspace, session: Session) -> None:
    """The raw bytes of every type, decoded by the driver's types, are the driver's own values."""
    ks.execute(TABLE.create("$ks.every"))
    names = [f"c{n}" for n in range(len(VALUES))]
    literals = [literal for literal, _ in VALUES.values()]
    ks.execute(
        f"INSERT INTO $ks.every (pk, ck, {', '.join(names)}) VALUES (1, 1, {', '.join(literals)})"
    )
    text = f"SELECT {', '.join(names)} FROM {ks.name}.every WHERE pk = ?"
    statement = await session.prepare(text, 100)
    pages = [page async for page in session.read(statement, (1,))]
    ((raw,),) = pages
    decoded = ks.driver.execute(text.replace("?", "1"))
    types, (expected,) = decoded.column_types, list(decoded)
    assert [t.from_binary(r, 4) for t, r in zip(types, raw, strict=True)] == list(expected)


async def test_nulls_are_none(ks: Keyspace, session: Session) -> None:
    """A null column is None and an empty text is no bytes."""
    ks.execute("CREATE TABLE $ks.nulls (p int PRIMARY KEY, a text, b text)")
    ks.execute("INSERT INTO $ks.nulls (p, a) VALUES (1, '')")
    statement = await session.prepare(f"SELECT a, b FROM {ks.name}.nulls WHERE p = ?", 10)
    assert [page async for page in session.read(statement, (1,))] == [[(b"", None)]]


@pytest.mark.parametrize("page_rows", [1, 2, 100])
async def test_pages_bring_every_row_once(ks: Keyspace, session: Session, page_rows: int) -> None:
    """However small the pages are, all rows come, in order and once."""
    table = f"{ks.name}.paged{page_rows}"
    ks.execute(f"CREATE TABLE {table} (p int, c int, PRIMARY KEY (p, c))")
    for c in range(5):
        ks.execute(f"INSERT INTO {table} (p, c) VALUES (1, {c})")
    statement = await session.prepare(f"SELECT c FROM {table} WHERE p = ?", page_rows)
    pages = [page async for page in session.read(statement, (1,))]
    assert max(map(len, pages)) <= page_rows
    assert [raw for page in pages for (raw,) in page] == [c.to_bytes(4, "big") for c in range(5)]


async def test_reads_run_at_the_same_time(ks: Keyspace, session: Session) -> None:
    """Many reads of one statement run together, and each gets its own pages."""
    ks.execute("CREATE TABLE $ks.many (p int, c int, PRIMARY KEY (p, c))")
    for p in range(1, 20):
        inserts = "; ".join(f"INSERT INTO $ks.many (p, c) VALUES ({p}, {c})" for c in range(p))
        ks.execute(f"BEGIN UNLOGGED BATCH {inserts}; APPLY BATCH")
    statement = await session.prepare(f"SELECT c FROM {ks.name}.many WHERE p = ?", 3)

    async def count(p: int) -> int:
        return sum([len(page) async for page in session.read(statement, (p,))])

    async with asyncio.TaskGroup() as group:
        counts = [group.create_task(count(p)) for p in range(20)]
    assert [c.result() for c in counts] == list(range(20))


async def test_an_abandoned_read_leaves_nothing_behind(ks: Keyspace, session: Session) -> None:
    """A read that is cancelled in the middle does not trouble the session."""
    ks.execute("CREATE TABLE $ks.left (p int, c int, PRIMARY KEY (p, c))")
    for c in range(3):
        ks.execute(f"INSERT INTO $ks.left (p, c) VALUES (1, {c})")
    statement = await session.prepare(f"SELECT c FROM {ks.name}.left WHERE p = ?", 1)
    for _ in range(10):
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                await anext(session.read(statement, (1,)))
    assert len([page async for page in session.read(statement, (1,)) if page]) == 3


@pytest.mark.parametrize(
    "text", ["SELEC 1", "SELECT nothing FROM system.local", "SELECT p FROM nowhere.at_all"]
)
async def test_statements_that_the_server_refuses(session: Session, text: str) -> None:
    """What the server does not understand or does not have is refused, prepared or not."""
    with pytest.raises(StatementRefused):
        await session.query(text)
    with pytest.raises(StatementRefused):
        await session.prepare(text, 10)


async def test_a_prepared_read_of_a_dropped_table(ks: Keyspace, session: Session) -> None:
    """A prepared read is refused when its table was dropped since."""
    ks.execute("CREATE TABLE $ks.gone (p int PRIMARY KEY)")
    statement = await session.prepare(f"SELECT p FROM {ks.name}.gone", 10)
    ks.execute("DROP TABLE $ks.gone")
    with pytest.raises(StatementRefused):
        _ = [page async for page in session.read(statement, ())]


async def test_a_prepared_read_goes_on_after_an_alter(ks: Keyspace, session: Session) -> None:
    """A prepared read brings the columns that it names after others were added."""
    ks.execute("CREATE TABLE $ks.grown (p int PRIMARY KEY, b int)")
    ks.execute("INSERT INTO $ks.grown (p, b) VALUES (1, 2)")
    statement = await session.prepare(f"SELECT p, b FROM {ks.name}.grown WHERE p = ?", 10)
    before = [page async for page in session.read(statement, (1,))]
    ks.execute("ALTER TABLE $ks.grown ADD a text")
    assert [page async for page in session.read(statement, (1,))] == before


async def test_nobody_there_is_transient(stack: Stack) -> None:
    """A database that does not answer is a failure that may pass."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = settings_of(stack, connect_timeout_seconds=1.0).model_copy(update={"port": port})
    with pytest.raises(Transient, match="connecting"):
        async with Session.open(settings):
            pass


async def test_a_name_that_is_not_known_is_transient(stack: Stack) -> None:
    """Hosts whose names the name service does not know, or does not know just now, are away."""
    settings = settings_of(stack).model_copy(update={"hosts": ("nowhere.invalid",)})
    with pytest.raises(Transient, match="names is known"):
        await Session(settings).connect()


@pytest.mark.parametrize("key", ["1", "-5", "2147483647"])
async def test_tokens_are_the_servers(ks: Keyspace, key: str) -> None:
    """The token of a partition key is the one that the server computes."""
    ks.execute("CREATE TABLE IF NOT EXISTS $ks.tokens (p int PRIMARY KEY)")
    ks.execute(f"INSERT INTO $ks.tokens (p) VALUES ({key})")
    ((token,),) = ks.execute(f"SELECT token(p) FROM $ks.tokens WHERE p = {key}")
    assert partition_token(int(key).to_bytes(4, "big", signed=True)) == token
