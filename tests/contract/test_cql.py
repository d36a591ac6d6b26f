"""ScyllaDB's own words in statements are understood, and only where they are words."""

import pytest

from tests.contract.case import INSERT, PLAIN, TABLES, UPDATE, Table, row
from tests.contract.conftest import Keyspace
from tests.contract.log import SUFFIX, checked_groups, read

pytestmark = pytest.mark.contract

TRAPS = {
    "bypass": "a BYPASS CACHE",
    "option": "WITH cdc = {''enabled'': false}",
    "second option": "AND tablets = {''enabled'': true}",
    "comment": "/* nothing */ -- nothing",
    "stand-in": "/* stand-in: generation in 0 ms */ SELECT",
    "quotes": "''; BYPASS CACHE; ''",
    "dollars": "$$$$ bypass cache $$$$",
    "timeout": "USING TIMEOUT 5s",
}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT v FROM {t} BYPASS CACHE",
        "SELECT v FROM {t} WHERE pk = 1 bypass cache;",
        "SELECT v FROM {t} WHERE v = 5 ALLOW FILTERING\nBYPASS\n CACHE",
        "SELECT v FROM {t} LIMIT 1 BYPASS CACHE",
        "SELECT v FROM {t} WHERE pk = 1 ORDER BY ck DESC LIMIT 1 BYPASS CACHE ;",
        "/* any */ SELECT v FROM {t} BYPASS CACHE -- any\n",
    ],
)
@pytest.mark.parametrize("prepared", [False, True], ids=["simple", "prepared"])
def test_bypass_cache_is_understood(shared: Keyspace, query: str, prepared: bool) -> None:
    """BYPASS CACHE at the end of a SELECT changes nothing in its result."""
    name = "bypassed"
    if name not in shared.tables:
        shared.tables[name] = shared.create(TABLES["plain"].create)
    table = shared.tables[name]
    shared.execute("INSERT INTO $t (pk, ck, v) VALUES (1, 1, 5)", t=table)
    text = query.format(t=table)
    statement = shared.session.prepare(text) if prepared else text
    assert [tuple(r) for r in shared.session.execute(statement)] == [(5,)]


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("comment", ["", "/* any */ "], ids=["bare", "after a comment"])
def test_text_that_looks_like_an_option_is_left_alone(
    shared: Keyspace, new_key: int, trap: str, comment: str
) -> None:
    """Inside a literal the words of options are text: stored, logged and read back as written."""
    if "texts" not in shared.tables:
        definition = Table("pk int, ck text, v text, PRIMARY KEY (pk, ck)").create
        shared.tables["texts"] = shared.create(definition)
    table, literal = shared.tables["texts"], f"'{TRAPS[trap]}'"
    insert = f"{comment}INSERT INTO {table} (pk, ck, v) VALUES ({new_key}, {literal}, {literal})"
    shared.session.execute(insert)
    text = TRAPS[trap].replace("''", "'")
    select = f"SELECT v FROM {table} WHERE pk = {new_key} AND ck = {literal} BYPASS CACHE"
    assert [r[0] for r in shared.session.execute(select)] == [text]
    found = checked_groups(read(shared.session, table, {"pk": new_key}), "pk")
    assert found == [[row(INSERT, ck=text, v=text)]]


def test_comment_of_a_table_is_no_option(shared: Keyspace) -> None:
    """A table's comment may quote options without setting them."""
    text = "cdc = {''enabled'': true} AND tablets = {''enabled'': true} BYPASS CACHE"
    table = shared.create(lambda n: f"CREATE TABLE {n} ({PLAIN}) WITH comment = '{text}'")
    query = (
        "SELECT table_name, comment FROM system_schema.tables"
        " WHERE keyspace_name = %s AND table_name IN (%s, %s)"
    )
    name = table.partition(".")[2]
    found = shared.session.execute(query, (shared.name, name, name + SUFFIX))
    assert [tuple(r) for r in found] == [(name, text.replace("''", "'"))]


@pytest.mark.parametrize(
    "options",
    [
        "cdc = {'enabled': true}",
        "CDC={'enabled':true}",
        "comment = 'x' AND cdc = {'enabled': true}",
        "cdc = {'enabled': true} AND comment = 'x'",
        "CLUSTERING ORDER BY (ck DESC) AND cdc = {'enabled': 'true', 'ttl': '60'} AND comment = ''",
        "cdc\n=\n{ 'enabled' : true ,\n'preimage' : 'full' }",
    ],
)
def test_cdc_option_stands_anywhere_among_the_options(shared: Keyspace, options: str) -> None:
    """The cdc option makes a log wherever it stands and however it is spaced."""
    table = shared.create(lambda name: f"CREATE TABLE {name} ({PLAIN}) WITH {options}")
    shared.execute("INSERT INTO $t (pk, ck) VALUES (1, 1)", t=table)
    assert len(read(shared.session, table)) == 1


def test_columns_may_be_called_like_options(shared: Keyspace) -> None:
    """`cdc` and `tablets` are names like others in a table."""
    columns = "pk int, cdc int, tablets int, PRIMARY KEY (pk)"
    table = shared.create(Table(columns).create)
    shared.execute("INSERT INTO $t (pk, cdc, tablets) VALUES (1, 2, 3)", t=table)
    shared.execute("UPDATE $t SET cdc = 4 WHERE pk = 1", t=table)
    assert checked_groups(read(shared.session, table)) == [
        [row(INSERT, pk=1, cdc=2, tablets=3)],
        [row(UPDATE, pk=1, cdc=4)],
    ]


def test_create_if_not_exists_leaves_an_existing_log(shared: Keyspace) -> None:
    """CREATE TABLE IF NOT EXISTS of a table that exists changes no option and no log."""
    table = shared.create(TABLES["plain"].create)
    shared.execute("INSERT INTO $t (pk, ck) VALUES (1, 1)", t=table)
    again = f"CREATE TABLE IF NOT EXISTS {table} ({PLAIN}) WITH cdc = {{'enabled': false}}"
    shared.session.execute(again)
    shared.execute("INSERT INTO $t (pk, ck) VALUES (1, 2)", t=table)
    assert len(read(shared.session, table)) == 2
