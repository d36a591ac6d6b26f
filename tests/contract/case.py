"""Statements and the log rows that they must leave: the contract of the change log, as data.

Being data, every reader of the log is held against it: the Python driver in test_log_rows.py, the
official client in test_official_client.py.

In statements `$t` is the table, `$pk` a partition key that no other case uses, `$now` the time in
microseconds, `$next` one microsecond later. One list of rows is one group, the rows of one stream
and time in the order of their sequence numbers. The hidden timeuuid keys of lists are called k1,
k2, … in the order in which they appear.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

PREIMAGE, UPDATE, INSERT, ROW_DELETE, PARTITION_DELETE = 0, 1, 2, 3, 4
FROM, AFTER, UP_TO, BEFORE, POSTIMAGE = 5, 6, 7, 8, 9

LogRow = dict[str, object]
Group = list[LogRow]


def row(
    operation: int,
    /,
    *,
    ttl: int | None = None,
    deleted: tuple[str, ...] = (),
    elements: Mapping[str, set[object]] | None = None,
    **columns: object,
) -> LogRow:
    """One log row: its non-null columns, but for stream, time, sequence and partition key."""
    out: LogRow = {"cdc$operation": operation, **columns}
    if ttl is not None:
        out["cdc$ttl"] = ttl
    out |= {f"cdc$deleted_{name}": True for name in deleted}
    out |= {f"cdc$deleted_elements_{n}": frozenset(e) for n, e in (elements or {}).items()}
    return out


def batch(*statements: str, at: str = "") -> str:
    """An unlogged batch, with `at` for all its statements' timestamp."""
    using = f" USING TIMESTAMP {at}" if at else ""
    return f"BEGIN UNLOGGED BATCH{using} {'; '.join(statements)}; APPLY BATCH"


@dataclass(frozen=True, slots=True)
class Table:
    """What follows CREATE TABLE: the columns, other options, and the options of the log."""

    columns: str
    options: str = ""
    cdc: str = "'enabled': true"

    def create(self, name: str) -> str:
        options = f"{self.options} AND " if self.options else ""
        return f"CREATE TABLE {name} ({self.columns}) WITH {options}cdc = {{{self.cdc}}}"


@dataclass(frozen=True, slots=True)
class Case:
    """`statements` run one after the other; of `before`, run earlier, the rows are not asked."""

    name: str
    table: str
    statements: tuple[str, ...]
    groups: list[Group] = field(default_factory=list)
    before: tuple[str, ...] = ()


PLAIN = "pk int, ck int, v int, w int, PRIMARY KEY (pk, ck)"
STATIC = "pk int, ck int, v int, s int static, t int static, PRIMARY KEY (pk, ck)"
BROAD = "pk int, ck int, v int, w int, s int static, t int static, PRIMARY KEY (pk, ck)"

TYPES = ("CREATE TYPE $ks.abc (a int, b int, c int)",)

TABLES = {
    "plain": Table(PLAIN),
    "single": Table("pk int PRIMARY KEY, v int, m map<int, text>"),
    "static": Table(STATIC),
    "expiring": Table(PLAIN, options="default_time_to_live = 500"),
    "prefix": Table("pk int, a int, b int, c int, v int, PRIMARY KEY (pk, a, b, c)"),
    "falling": Table(PLAIN, options="CLUSTERING ORDER BY (ck DESC)"),
    "mixed": Table(
        "pk int, a int, b int, v int, PRIMARY KEY (pk, a, b)",
        options="CLUSTERING ORDER BY (a ASC, b DESC)",
    ),
    "collections": Table(
        "pk int, ck int, v int, m map<int, text>, s set<int>, l list<int>,"
        " fm frozen<map<int, text>>, fs frozen<set<int>>, fl frozen<list<int>>,"
        " PRIMARY KEY (pk, ck)"
    ),
    "udts": Table("pk int, ck int, v int, u $ks.abc, f frozen<$ks.abc>, PRIMARY KEY (pk, ck)"),
    "sticky": Table(
        "pk int, ck int, m map<int, text> static, u $ks.abc static, PRIMARY KEY (pk, ck)"
    ),
    "odd names": Table(
        'pk int, ck int, "Mixed Case" int, "deleted_v" int, v int, PRIMARY KEY (pk, ck)'
    ),
    "preimage": Table(STATIC, cdc="'enabled': true, 'preimage': true"),
    "full preimage": Table(BROAD, cdc="'enabled': true, 'preimage': 'full'"),
    "postimage": Table(BROAD, cdc="'enabled': true, 'postimage': true"),
    "both images": Table(
        "pk int, ck int, v int, w int, m map<int, text>, PRIMARY KEY (pk, ck)",
        cdc="'enabled': true, 'preimage': true, 'postimage': true",
    ),
    "keys": Table(
        "pk int, ck int, v int, m map<int, text>, s int static, PRIMARY KEY (pk, ck)",
        cdc="'enabled': true, 'delta': 'keys'",
    ),
}
