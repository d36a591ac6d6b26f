"""Which tables the patterns mean, and why others are not replicated."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cdcd.model.errors import ConfigurationError
from cdcd.model.table import LOG_SUFFIX, CdcOptions, ColumnKind
from cdcd.source.catalog import CDC_PARTITIONER, Catalog, Schema, cdc_options, find, is_pattern

MURMUR3 = "org.apache.cassandra.dht.Murmur3Partitioner"
ON = {"enabled": "true"}
PLAIN = {"p": "int partition_key", "v": "text regular"}


def rows_of(
    name: str, cdc: Mapping[str, str] | None = ON, columns: Mapping[str, str] = PLAIN
) -> Schema:
    """The system tables' rows of one table, and of its log where it has one."""
    keyspace, table = name.split(".")
    at: dict[str, Any] = {"keyspace_name": keyspace, "table_name": table}
    log = at | {"table_name": table + LOG_SUFFIX}
    options: list[dict[str, Any]] = [at | {"cdc": cdc, "partitioner": MURMUR3}]
    tables: list[dict[str, Any]] = [at | {"id": f"id of {table}"}]
    if cdc:
        options.append(log | {"cdc": None, "partitioner": CDC_PARTITIONER})
        tables.append(log | {"id": f"id of {table}'s log"})
    described = [(n, *text.rsplit(" ", 1)) for n, text in columns.items()]
    kinds = [kind for _, _, kind in described]
    column_rows: list[dict[str, Any]] = [
        at
        | {
            "column_name": n,
            "type": cql,
            "kind": kind.removesuffix("_desc"),
            "position": kinds[:place].count(kind) if kind != "regular" else -1,
            "clustering_order": "DESC" if kind.endswith("_desc") else "none",
        }
        for place, (n, cql, kind) in enumerate(described)
    ]
    column_rows += [row | log for row in column_rows[:1] if cdc]
    return Schema("v1", options, tables, column_rows, [], [])


def schema(*parts: Schema, types: Any = (), tablets: tuple[str, ...] = ()) -> Schema:
    """Several tables' rows together."""
    return Schema(
        "v1",
        [r for p in parts for r in p.options],
        [r for p in parts for r in p.tables],
        [r for p in parts for r in p.columns],
        list(types),
        [{"keyspace_name": k, "initial_tablets": 1} for k in tablets]
        + [{"keyspace_name": "old", "initial_tablets": None}],
    )


def seen(found: Catalog) -> tuple[set[str], set[str], set[str]]:
    """The names of the found, refused and passed over tables."""
    return set(found.tables), set(found.refused), set(found.passed_over)


TWO = schema(rows_of("ks.a"), rows_of("ks.b"), rows_of("other.a"))


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["ks.a"], {"ks.a"}),
        (["ks.*"], {"ks.a", "ks.b"}),
        (["*.a"], {"ks.a", "other.a"}),
        (["*"], {"ks.a", "ks.b", "other.a"}),
        (["ks.[b-z]"], {"ks.b"}),
        (["k?.a", "ks.a"], {"ks.a"}),
        (["KS.*"], set()),
        ([], set()),
    ],
)
def test_patterns(patterns: list[str], expected: set[str]) -> None:
    """A pattern is a glob on keyspace.table that knows capitals; it passes over log tables."""
    assert seen(find(TWO, patterns)) == (expected, set(), set())


@pytest.mark.parametrize(
    ("text", "pattern"), [("ks.a", False), ("ks.*", True), ("ks.?", True), ("k[s].a", True)]
)
def test_what_is_a_pattern(text: str, pattern: bool) -> None:
    """Globs are patterns, and names are not."""
    assert is_pattern(text) is pattern


def test_a_table_without_cdc() -> None:
    """A table without CDC is passed over by a pattern and refused when it is named outright."""
    some = schema(rows_of("ks.a", None), rows_of("ks.b"))
    assert seen(find(some, ["ks.*"])) == ({"ks.b"}, set(), {"ks.a"})
    assert seen(find(some, ["ks.a", "ks.b"])) == ({"ks.b"}, {"ks.a"}, set())
    assert "ALTER TABLE ks.a" in find(some, ["ks.a"]).refused["ks.a"].hint


@pytest.mark.parametrize("cdc", [{"enabled": "false"}, {"enabled": "false", "delta": "keys"}])
def test_a_log_that_was_left_behind(cdc: dict[str, str]) -> None:
    """A table whose CDC was switched off has none, though its log table is still there."""
    found = find(schema(rows_of("ks.a", cdc)), ["ks.a"])
    assert "has no CDC" in found.refused["ks.a"].reason


def test_a_log_that_is_gone() -> None:
    """A table whose option is on and whose log table is not there has no CDC."""
    rows = rows_of("ks.a")
    some = replace(rows, options=rows.options[:1], tables=rows.tables[:1])
    assert "has no CDC" in find(some, ["ks.a"]).refused["ks.a"].reason


def test_a_log_table_is_known_by_its_partitioner() -> None:
    """A log table cannot be named, and an ordinary one with the suffix is a table like others."""
    log, ordinary = f"ks.a{LOG_SUFFIX}", f"ks.mine{LOG_SUFFIX}"
    some = schema(rows_of("ks.a"), rows_of(ordinary))
    assert "itself a CDC log" in find(some, [log]).refused[log].reason
    assert set(find(some, ["ks.*"]).tables) == {"ks.a", ordinary}


def test_deltas_of_keys_only_are_refused() -> None:
    """A log without values is refused, by a pattern too, with the statement that mends it."""
    some = schema(rows_of("ks.a", ON | {"delta": "keys"}))
    for patterns in (["ks.*"], ["ks.a"]):
        why = find(some, patterns).refused["ks.a"]
        assert "keys" in why.reason
        assert "'delta': 'full'" in why.hint


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"p": "int partition_key", "v": "'org.some.Custom' regular"}, "org.some.Custom"),
        ({"p": "int partition_key", "v": "empty regular"}, "empty"),
        ({"p": "int partition_key", "v": "frozen<unknown> regular"}, "unknown"),
        ({"p": "int partition_key", "v": "counter regular"}, "column v"),
    ],
)
def test_what_cannot_be_replicated(columns: dict[str, str], named: str) -> None:
    """A table with a column that is not supported is refused by its name; others go on."""
    some = schema(rows_of("ks.a", columns=columns), rows_of("ks.b"))
    found = find(some, ["ks.*"])
    assert set(found.tables) == {"ks.b"}
    assert named in found.refused["ks.a"].reason


def test_statics_and_collections_are_replicated() -> None:
    """A table with static columns and non-frozen collections is like any other."""
    columns = {
        "p": "int partition_key",
        "c": "int clustering",
        "s": "set<int> static",
        "m": "map<text, frozen<list<int>>> regular",
        "l": "list<text> regular",
    }
    assert set(find(schema(rows_of("ks.a", columns=columns)), ["ks.a"]).tables) == {"ks.a"}


def test_the_name_of_a_mistake() -> None:
    """A table that does not exist is refused, with the nearest name that does."""
    why = find(TWO, ["ks.aa"]).refused["ks.aa"]
    assert "does not exist" in why.reason
    assert "ks.a" in why.hint


def test_a_name_without_keyspace() -> None:
    """A name without a keyspace is refused as no table's name."""
    assert "no table's name" in find(TWO, ["orders"]).refused["orders"].reason


@pytest.mark.parametrize("name", ["system.local", "system_schema.tables", "system_auth.roles"])
def test_system_tables_are_no_ones(name: str) -> None:
    """No pattern takes in the server's own keyspaces."""
    assert seen(find(schema(rows_of(name), rows_of("ks.a")), ["*"]))[0] == {"ks.a"}


@pytest.mark.parametrize("keyspace", ["systems", "systematic", "system2"])
def test_keyspaces_that_only_begin_like_a_servers(keyspace: str) -> None:
    """A keyspace of the user whose name begins with `system` is one like others."""
    assert set(find(schema(rows_of(f"{keyspace}.a")), [f"{keyspace}.*"]).tables) == {
        f"{keyspace}.a"
    }


def test_alternator_is_refused() -> None:
    """An Alternator table is passed by and, named outright, refused."""
    some = schema(rows_of("alternator_x.a"))
    assert seen(find(some, ["*"])) == (set(), set(), set())
    assert "Alternator" in find(some, ["alternator_x.a"]).refused["alternator_x.a"].reason


def test_the_reserved_keyspace_is_refused() -> None:
    """A keyspace named cdcd is refused: its topics would mix with the pipeline's own."""
    assert "keyspace named cdcd" in find(schema(rows_of("cdcd.a")), ["*"]).refused["cdcd.a"].reason


def test_what_is_named_must_be_replicable() -> None:
    """A refused table stops the start only if it is named outright."""
    some = schema(rows_of("ks.a", ON | {"delta": "keys"}), rows_of("ks.b"))
    find(some, ["ks.*"]).require(["ks.*"])
    with pytest.raises(ConfigurationError, match=r"ks\.a has cdc"):
        find(some, ["ks.a"]).require(["ks.a"])


def test_a_tables_columns_are_in_order() -> None:
    """Key columns are in key order, others by name; clustering order and types are kept."""
    columns = {
        "z": "int partition_key",
        "a": "uuid partition_key",
        "y": "text clustering_desc",
        "v": "blob regular",
        "b": "frozen<outer> regular",
    }
    types = [
        {
            "keyspace_name": "ks",
            "type_name": name,
            "field_names": ["f"],
            "field_types": [field],
        }
        for name, field in (("outer", "frozen<inner>"), ("inner", "int"), ("unused", "int"))
    ]
    some = schema(rows_of("ks.a", columns=columns), types=types, tablets=("ks",))
    table = find(some, ["ks.a"]).tables["ks.a"]
    assert [c.name for c in table.spec.columns] == ["z", "a", "y", "b", "v"]
    assert [c.descending for c in table.spec.columns] == [False, False, True, False, False]
    assert table.spec.by_name["y"].kind is ColumnKind.CLUSTERING
    assert set(table.spec.udts) == {"outer", "inner"}
    assert (table.tablets, table.log_id) == (True, "id of a's log")


def test_types_are_those_of_the_keyspace() -> None:
    """A user-defined type of another keyspace with the same name is another type."""
    columns = {"p": "int partition_key", "v": "frozen<t> regular"}
    types = [
        {"keyspace_name": k, "type_name": "t", "field_names": ["f"], "field_types": [field]}
        for k, field in (("ks", "int"), ("other", "text"))
    ]
    parts = [rows_of(f"{k}.a", columns=columns) for k in ("ks", "other")]
    found = find(schema(*parts, types=types), ["*"])
    assert str(found.tables["ks.a"].spec.by_name["v"].type.args[0]) == "int"
    assert str(found.tables["other.a"].spec.by_name["v"].type.args[0]) == "text"


@pytest.mark.parametrize("missing", ["columns", "log"])
def test_a_table_that_is_dropped_while_the_schema_is_read(missing: str) -> None:
    """A table whose rows are in some of the system tables only does not trouble the others.

    The system tables are read one after the other, and a DROP may come between.
    """
    rows = rows_of("ks.a")
    half = {
        "columns": replace(rows, columns=rows.columns[-1:]),
        "log": replace(rows, tables=rows.tables[:1]),
    }[missing]
    found = find(schema(half, rows_of("ks.b")), ["ks.*"])
    assert set(found.tables) == {"ks.b"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, CdcOptions(enabled=False)),
        ({}, CdcOptions(enabled=False)),
        (ON, CdcOptions(enabled=True)),
        (
            ON | {"delta": "keys", "preimage": "full", "postimage": "true", "ttl": "0"},
            CdcOptions(True, delta_full=False, preimage=True, postimage=True, ttl_seconds=0),
        ),
        (ON | {"preimage": "false", "enable_requested": "x"}, CdcOptions(enabled=True)),
    ],
)
def test_the_options_of_a_log(options: dict[str, str] | None, expected: CdcOptions) -> None:
    """The option map is read with its defaults, and keys that are not known are passed over."""
    assert cdc_options(options) == expected
