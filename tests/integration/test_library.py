"""The source as a library, as docs/LIBRARY.md shows it."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cassandra.cluster import Session as DriverSession

from cdcd.config.settings import SourceSettings
from cdcd.model.change import ChangeEvent
from cdcd.model.errors import ConfigurationError, TableStopped
from cdcd.source.library import Changes, changes
from tests.integration.keyspaces import CDC, Keyspace, keyspace, settings_of
from tests.stack import Stack

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "LIBRARY.md"
FAST = SourceSettings(confidence_seconds=0.1, catalog_seconds=0.3, settle_delays_seconds=(1.0, 3.0))


@pytest.fixture
def ks(plain: DriverSession) -> Iterator[Keyspace]:
    """A keyspace with a table."""
    with keyspace(plain, "tablets") as made:
        made.execute(f"CREATE TABLE $ks.t (p int PRIMARY KEY, v int) WITH {CDC}")
        yield made


async def take(found: Changes, count: int) -> list[ChangeEvent]:
    """So many changes."""
    async with asyncio.timeout(20):
        return [await anext(found) for _ in range(count)]


def test_the_page_runs(stack: Stack, ks: Keyspace) -> None:
    """The block of docs/LIBRARY.md, with this stack's address and table, prints the changes."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len([line for line in block.splitlines() if line]) <= 10
    ks.execute("INSERT INTO $ks.t (p, v) VALUES (7, 42)")
    address = f'hosts=("{stack.scylla_host}",), port={stack.scylla_port}'
    code = block.replace('hosts=("127.0.0.1",), port=9042', address)
    code = code.replace("shop.orders", f"{ks.name}.t")
    assert code.count(ks.name) == 1
    assert str(stack.scylla_port) in code
    command = [sys.executable, "-u", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        lines = (line.decode() for line in process.stdout)
        printed = next(line for line in lines if line.startswith("c "))
        process.terminate()
    assert printed == "c (7,) () {'v': 42} ()\n"


async def test_it_goes_on_where_it_was(stack: Stack, ks: Keyspace) -> None:
    """What was taken does not come again, and what was not, does."""
    scylla, name = settings_of(stack), f"{ks.name}.t"
    for v in range(4):
        ks.execute(f"UPDATE $ks.t SET v = {v} WHERE p = 1")
    async with changes(scylla, name, settings=FAST) as found:
        first = await take(found, 4)
        ks.execute("UPDATE $ks.t SET v = 4 WHERE p = 1")
        first += await take(found, 1)
        saved = found.saved
    async with changes(scylla, name, settings=FAST, saved=saved) as found:
        ks.execute("UPDATE $ks.t SET v = 5 WHERE p = 1")
        second = await take(found, 2)
    assert [e.values["v"] for e in first] == [0, 1, 2, 3, 4]
    # The last one was not yet taken when the state was saved.
    assert [e.values["v"] for e in second] == [4, 5]


async def test_a_table_that_cannot_be_read(stack: Stack, ks: Keyspace) -> None:
    """A table without a log is refused at once, and one that is dropped ends the iteration."""
    ks.execute("CREATE TABLE $ks.silent (p int PRIMARY KEY)")
    with pytest.raises(ConfigurationError, match="has no CDC"):
        async with changes(settings_of(stack), f"{ks.name}.silent"):
            pass
    async with changes(settings_of(stack), f"{ks.name}.t", settings=FAST) as found:
        ks.execute("UPDATE $ks.t SET v = 4 WHERE p = 1")
        await take(found, 1)
        ks.execute("DROP TABLE $ks.t")
        with pytest.raises(TableStopped, match="was dropped"):
            await take(found, 1)
        assert "was dropped" in found.stopped[f"{ks.name}.t"]
