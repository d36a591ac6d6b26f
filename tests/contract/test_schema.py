"""Log tables as schema: their columns, how they are found, and how they follow their base table."""

import re
from collections.abc import Mapping

import pytest
from cassandra import InvalidRequest
from cassandra.cluster import Session
from cassandra.protocol import ConfigurationException, SyntaxException

from tests.contract.case import INSERT, PLAIN, PREIMAGE, TABLES, UPDATE, Table, row
from tests.contract.conftest import Keyspace
from tests.contract.log import SUFFIX, checked_groups, read

pytestmark = pytest.mark.contract

CDC_PARTITIONER = "com.scylladb.dht.CDCPartitioner"
# Tuples are frozen whether the schema says so or not.
TUPLE = re.compile(r"frozen<(tuple<.*>)>")
OFF = "'enabled': false"
ON = "'enabled': true"

WIDE = Table(
    'p int, q text, a int, b frozen<list<int>>, "V" text, f frozen<map<int, text>>,'
    " tu tuple<int, text>, l list<int>, s set<text>, m map<int, text>, u $ks.abc,"
    " st int static, sm map<text, int> static, PRIMARY KEY ((p, q), a, b)",
    options="CLUSTERING ORDER BY (a DESC, b ASC)",
)

# name: (kind, position, type); the log's own order is ascending whatever the base table's is.
KEYS = {
    "cdc$stream_id": ("partition_key", 0, "blob"),
    "cdc$time": ("clustering", 0, "timeuuid"),
    "cdc$batch_seq_no": ("clustering", 1, "int"),
}
WIDE_LOG = {
    "cdc$operation": "tinyint",
    "cdc$ttl": "bigint",
    "cdc$end_of_batch": "boolean",
    "p": "int",
    "q": "text",
    "a": "int",
    "b": "frozen<list<int>>",
    "V": "text",
    "cdc$deleted_V": "boolean",
    "f": "frozen<map<int, text>>",
    "cdc$deleted_f": "boolean",
    "tu": "tuple<int, text>",
    "cdc$deleted_tu": "boolean",
    "l": "frozen<map<timeuuid, int>>",
    "cdc$deleted_l": "boolean",
    "cdc$deleted_elements_l": "frozen<set<timeuuid>>",
    "s": "frozen<set<text>>",
    "cdc$deleted_s": "boolean",
    "cdc$deleted_elements_s": "frozen<set<text>>",
    "m": "frozen<map<int, text>>",
    "cdc$deleted_m": "boolean",
    "cdc$deleted_elements_m": "frozen<set<int>>",
    "u": "frozen<abc>",
    "cdc$deleted_u": "boolean",
    "cdc$deleted_elements_u": "frozen<set<smallint>>",
    "st": "int",
    "cdc$deleted_st": "boolean",
    "sm": "frozen<map<text, int>>",
    "cdc$deleted_sm": "boolean",
    "cdc$deleted_elements_sm": "frozen<set<text>>",
}


def columns(session: Session, table: str) -> dict[str, tuple[str, int, str]]:
    """Columns of `ks.table` from the schema tables: kind, position, type."""
    query = (
        "SELECT column_name, kind, position, type FROM system_schema.columns"
        " WHERE keyspace_name = %s AND table_name = %s"
    )
    return {
        r.column_name: (r.kind, r.position, TUPLE.sub(r"\1", r.type))
        for r in session.execute(query, table.split("."))
    }


def exists(session: Session, table: str) -> bool:
    return bool(columns(session, table))


def table_id(session: Session, table: str) -> object:
    query = "SELECT id FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s"
    return session.execute(query, table.split(".")).one()[0]


def scylla_table(session: Session, table: str) -> tuple[Mapping[str, str] | None, str | None]:
    """The cdc options and the partitioner of `ks.table`."""
    query = (
        "SELECT cdc, partitioner FROM system_schema.scylla_tables"
        " WHERE keyspace_name = %s AND table_name = %s"
    )
    found = session.execute(query, table.split(".")).one()
    return (found.cdc and dict(found.cdc), found.partitioner) if found else (None, None)


def alter(keyspace: Keyspace, table: str, cdc: str) -> None:
    keyspace.execute(f"ALTER TABLE {table} WITH cdc = {{{cdc}}}")


def test_log_has_these_columns_of_these_types(shared: Keyspace) -> None:
    """Every kind of base column has the log columns, and only those, that the contract names."""
    table = shared.create(WIDE.create)
    expected = {name: ("regular", -1, cql_type) for name, cql_type in WIDE_LOG.items()}
    assert columns(shared.session, table + SUFFIX) == KEYS | expected


def test_log_is_clustered_ascending(shared: Keyspace) -> None:
    """The log's clustering columns ascend, whatever the base table's order is."""
    query = (
        "SELECT column_name, clustering_order FROM system_schema.columns"
        " WHERE keyspace_name = %s AND table_name = %s"
    )
    table = shared.table("falling") + SUFFIX
    orders = dict(list(shared.session.execute(query, table.split("."))))
    assert (orders["cdc$time"], orders["cdc$batch_seq_no"]) == ("asc", "asc")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("'enabled': true", {}),
        ("'enabled': 'true'", {}),
        ("'enabled': true, 'preimage': true", {"preimage": "true"}),
        ("'preimage': 'full', 'enabled': true", {"preimage": "full"}),
        ("'enabled': true, 'postimage': true", {"postimage": "true"}),
        ("'enabled': true, 'delta': 'keys'", {"delta": "keys"}),
        ("'enabled': true, 'ttl': 3600", {"ttl": "3600"}),
        ("'enabled': true, 'ttl': '0'", {"ttl": "0"}),
        ("'enabled': false", {"enabled": "false"}),
    ],
)
def test_options_are_listed_in_full(shared: Keyspace, given: str, stored: dict[str, str]) -> None:
    """`scylla_tables` shows every option as text, defaults filled in."""
    table = shared.create(Table(PLAIN, cdc=given).create)
    defaults = {
        "enabled": "true",
        "preimage": "false",
        "postimage": "false",
        "delta": "full",
        "ttl": "86400",
    }
    options, _ = scylla_table(shared.session, table)
    assert options is not None
    assert {name: options.get(name) for name in defaults} == defaults | stored


def test_options_are_an_extension_of_the_table_too(shared: Keyspace) -> None:
    """The schema's extension `cdc` holds the same options: a serialised map of texts."""
    query = (
        "SELECT extensions FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s"
    )
    table = shared.table("full preimage")
    raw = bytes(shared.session.execute(query, table.split(".")).one()[0]["cdc"])
    count, at, texts = int.from_bytes(raw[:4], "little"), 4, []
    for _ in range(2 * count):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        texts.append(raw[at + 4 : end].decode())
        at = end
    assert at == len(raw)
    assert dict(zip(texts[::2], texts[1::2], strict=True)) == scylla_table(shared.session, table)[0]


def test_log_is_told_from_other_tables_by_its_partitioner(shared: Keyspace) -> None:
    """Only a log table has the CDC partitioner; the suffix of the name proves nothing."""
    table = shared.create(TABLES["plain"].create)
    impostor = shared.create(
        lambda name: f"CREATE TABLE {name}{SUFFIX} (pk int PRIMARY KEY, v int)"
    )
    assert scylla_table(shared.session, table + SUFFIX)[1] == CDC_PARTITIONER
    assert scylla_table(shared.session, table)[1] != CDC_PARTITIONER
    assert scylla_table(shared.session, impostor + SUFFIX)[1] != CDC_PARTITIONER


def test_table_without_the_option_has_no_log(shared: Keyspace) -> None:
    """Without the cdc option there is no log table, and no options are listed."""
    table = shared.create(lambda name: f"CREATE TABLE {name} ({PLAIN})")
    assert not exists(shared.session, table + SUFFIX)
    assert not scylla_table(shared.session, table)[0]


def test_keyspace_says_whether_it_has_tablets(shared: Keyspace) -> None:
    """`initial_tablets` is set for keyspaces with tablets and for no other."""
    query = "SELECT initial_tablets FROM system_schema.scylla_keyspaces WHERE keyspace_name = %s"
    found = shared.session.execute(query, (shared.name,)).one()
    assert (found is not None and found[0] is not None) == (shared.kind == "tablets")


def test_log_of_limited_ttl_is_made_to_expire(shared: Keyspace) -> None:
    """A log with a TTL is compacted by time windows and keeps no tombstones."""
    query = (
        "SELECT compaction, gc_grace_seconds FROM system_schema.tables"
        " WHERE keyspace_name = %s AND table_name = %s"
    )
    log = shared.table("plain") + SUFFIX
    compaction, grace = shared.session.execute(query, log.split(".")).one()
    assert compaction["class"].endswith("TimeWindowCompactionStrategy")
    assert grace == 0


def test_counter_table_is_refused(shared: Keyspace) -> None:
    """A table of counters cannot have a log, and the attempt leaves no table."""
    names: list[str] = []

    def definition(name: str) -> str:
        names.append(name)
        return Table("pk int PRIMARY KEY, c counter").create(name)

    with pytest.raises(InvalidRequest, match=r"(?i)counter"):
        shared.create(definition)
    assert not exists(shared.session, names[0])


@pytest.mark.parametrize("option", ["'enabeld': true", "'delta': 'all', 'enabled': true"])
def test_unknown_option_is_refused(shared: Keyspace, option: str) -> None:
    """A misspelt option or value is an error, not a table without a log."""
    with pytest.raises((InvalidRequest, ConfigurationException, SyntaxException)):
        shared.create(Table(PLAIN, cdc=option).create)


def test_enabling_later_logs_from_then_on(shared: Keyspace, new_key: int) -> None:
    """ALTER TABLE makes the log; what was written before is not in it."""
    table = shared.create(lambda name: f"CREATE TABLE {name} ({PLAIN})")
    update = "UPDATE $t SET v = $v WHERE pk = $pk AND ck = 1"
    shared.execute(update, t=table, pk=new_key, v=1)
    alter(shared, table, ON)
    shared.execute(update, t=table, pk=new_key, v=2)
    assert checked_groups(read(shared.session, table), "pk") == [[row(UPDATE, ck=1, v=2)]]


def test_disabling_keeps_the_log_and_enabling_takes_it_up_again(
    shared: Keyspace, new_key: int
) -> None:
    """Off and on again: the same log table, the old rows, a gap, the new rows."""
    table = shared.create(TABLES["plain"].create)
    before = table_id(shared.session, table + SUFFIX)
    update = "UPDATE $t SET v = $v WHERE pk = $pk AND ck = 1"
    shared.execute(update, t=table, pk=new_key, v=1)
    alter(shared, table, OFF)
    shared.execute(update, t=table, pk=new_key, v=2)
    options, _ = scylla_table(shared.session, table)
    assert options is not None and options["enabled"] == "false"
    assert checked_groups(read(shared.session, table), "pk") == [[row(UPDATE, ck=1, v=1)]]
    alter(shared, table, ON)
    shared.execute(update, t=table, pk=new_key, v=3)
    assert checked_groups(read(shared.session, table), "pk") == [
        [row(UPDATE, ck=1, v=1)],
        [row(UPDATE, ck=1, v=3)],
    ]
    assert table_id(shared.session, table + SUFFIX) == before


def test_altered_options_hold_for_the_next_write(shared: Keyspace, new_key: int) -> None:
    """A change of delta and images takes effect at once, on the same log."""
    table = shared.create(TABLES["plain"].create)
    update = "UPDATE $t SET v = $v WHERE pk = $pk AND ck = 1"
    shared.execute(update, t=table, pk=new_key, v=1)
    alter(shared, table, f"{ON}, 'delta': 'keys', 'preimage': true")
    shared.execute(update, t=table, pk=new_key, v=2)
    assert checked_groups(read(shared.session, table), "pk") == [
        [row(UPDATE, ck=1, v=1)],
        [row(PREIMAGE, ck=1, v=1), row(UPDATE, ck=1)],
    ]


def test_added_column_is_added_to_the_log(shared: Keyspace, new_key: int) -> None:
    """ALTER TABLE ADD gives the log the column and its companions, and its writes are logged."""
    table = shared.create(TABLES["plain"].create)
    shared.execute("INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1)", t=table, pk=new_key)
    shared.execute("ALTER TABLE $t ADD (x text, y set<int>)", t=table)
    found = columns(shared.session, table + SUFFIX)
    assert {n: found[n][2] for n in found if n.endswith(("x", "y"))} == {
        "x": "text",
        "cdc$deleted_x": "boolean",
        "y": "frozen<set<int>>",
        "cdc$deleted_y": "boolean",
        "cdc$deleted_elements_y": "frozen<set<int>>",
    }
    insert = "INSERT INTO $t (pk, ck, x, y) VALUES ($pk, 1, 'a', {1})"
    shared.execute(insert, t=table, pk=new_key)
    assert checked_groups(read(shared.session, table), "pk") == [
        [row(INSERT, ck=1, v=1)],
        [row(INSERT, ck=1, x="a", y=frozenset({1}), deleted=("y",))],
    ]


def test_dropped_column_is_dropped_from_the_log(shared: Keyspace, new_key: int) -> None:
    """ALTER TABLE DROP takes the column and its companions from the log; writing goes on."""
    table = shared.create(TABLES["collections"].create)
    insert = "INSERT INTO $t (pk, ck, v, m) VALUES ($pk, 1, 1, {1: 'a'})"
    shared.execute(insert, t=table, pk=new_key)
    shared.execute("ALTER TABLE $t DROP m", t=table)
    assert not {"m", "cdc$deleted_m", "cdc$deleted_elements_m"} & set(
        columns(shared.session, table + SUFFIX)
    )
    shared.execute("UPDATE $t SET v = 2 WHERE pk = $pk AND ck = 1", t=table, pk=new_key)
    assert checked_groups(read(shared.session, table), "pk") == [
        [row(INSERT, ck=1, v=1)],
        [row(UPDATE, ck=1, v=2)],
    ]


def test_renamed_clustering_column_is_renamed_in_the_log(shared: Keyspace, new_key: int) -> None:
    """RENAME gives the log the new name, and the rows written after it carry it."""
    table = shared.create(TABLES["plain"].create)
    shared.execute("ALTER TABLE $t RENAME ck TO place", t=table)
    names = columns(shared.session, table + SUFFIX)
    assert "place" in names and "ck" not in names
    shared.execute("INSERT INTO $t (pk, place) VALUES ($pk, 7)", t=table, pk=new_key)
    assert checked_groups(read(shared.session, table), "pk") == [[row(INSERT, place=7)]]


def test_field_added_to_a_type_is_logged(keyspace: Keyspace, new_key: int) -> None:
    """After ALTER TYPE ADD the log knows the field, and its index for deleted elements."""
    table = keyspace.table("udts")
    keyspace.execute("ALTER TYPE $ks.abc ADD d int")
    update = "UPDATE $t SET u.a = 1, u.d = null WHERE pk = $pk AND ck = 1"
    keyspace.execute(update, t=table, pk=new_key)
    assert checked_groups(read(keyspace.session, table), "pk") == [
        [row(UPDATE, ck=1, u={"a": 1, "b": None, "c": None, "d": None}, elements={"u": {3}})]
    ]


def test_dropping_the_base_table_drops_the_log(shared: Keyspace) -> None:
    """DROP TABLE takes the log with it, and a new table of that name gets a new log."""
    table = shared.create(TABLES["plain"].create)
    before = table_id(shared.session, table + SUFFIX)
    shared.execute("DROP TABLE $t", t=table)
    assert not exists(shared.session, table + SUFFIX)
    assert scylla_table(shared.session, table) == (None, None)
    assert scylla_table(shared.session, table + SUFFIX) == (None, None)
    shared.execute(TABLES["plain"].create(table))
    assert table_id(shared.session, table + SUFFIX) != before
    assert read(shared.session, table) == []


def test_dropping_the_base_table_drops_a_log_that_was_switched_off(shared: Keyspace) -> None:
    """A log whose table has CDC off goes with its table all the same."""
    table = shared.create(TABLES["plain"].create)
    alter(shared, table, OFF)
    shared.execute("DROP TABLE $t", t=table)
    assert not exists(shared.session, table + SUFFIX)
