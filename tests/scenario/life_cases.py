"""What may happen to a row, as statements with their times, and what must be left of it.

`$p` is a partition that no other case uses, `$t` a time in microseconds; `$before` and `$after` are
one microsecond away from it. `left` are the rows that the server must show by clustering key, where
a case says so; equality of source, topic and target is asked of all.
"""

from typing import Any, NamedTuple


class Case(NamedTuple):
    """Statements on table `life`, and the non-key columns of the rows that they leave."""

    name: str
    statements: tuple[str, ...]
    left: dict[tuple[Any, ...], dict[str, Any]] | None = None
    statics: dict[str, Any] | None = None


TABLES = {
    "life": "p int, c int, v int, w int, m map<int, text>, n set<int>, u point, l list<int>,"
    " s int static, ms map<int, text> static, PRIMARY KEY (p, c)",
    "falling": "p int, c int, v int, PRIMARY KEY (p, c)",
    "mixed": "p int, a int, b text, c timeuuid, v int, PRIMARY KEY (p, a, b, c)",
}
ORDERS = {
    "falling": "CLUSTERING ORDER BY (c DESC) AND ",
    "mixed": "CLUSTERING ORDER BY (a DESC, b ASC, c DESC) AND ",
}
AT = "USING TIMESTAMP"
ROW = "WHERE p = $p AND c = 1"


def _racing(other: str) -> list[Case]:
    """What overwrites a collection, and an element that is added one microsecond before, at the
    same one and after, whichever is written first.
    """
    cases = []
    for when in ("before", "t", "after"):
        add = f"UPDATE life {AT} ${when} SET m = m + {{7: 'added'}} {ROW}"
        for order, statements in (("first", (add, other)), ("last", (other, add))):
            what = other.split(maxsplit=1)[0].lower()
            name = f"{what} of a collection, add at {when} written {order}"
            cases.append(Case(name, statements))
    return cases


COLLECTIONS = [
    *_racing(f"UPDATE life {AT} $t SET m = {{1: 'one'}} {ROW}"),
    *_racing(f"DELETE m FROM life {AT} $t {ROW}"),
    Case(
        "an empty collection is null",
        (
            "INSERT INTO life (p, c, m, n) VALUES ($p, 1, {1: 'a'}, {1})",
            f"UPDATE life SET m = {{}}, n = n - {{1}} {ROW}",
        ),
        {(1,): {}},
    ),
    Case(
        "an insert with a TTL and a collection",
        ("INSERT INTO life (p, c, v, m) VALUES ($p, 1, 1, {1: 'a'}) USING TTL 900",),
        {(1,): {"v": 1, "m": ((1, "a"),)}},
    ),
]

VALUES = {"a value": "5", "another value": "6", "a null": "null", "a value with a TTL": "5"}


def _ties() -> list[Case]:
    cases = []
    for left, value in VALUES.items():
        for right, other in VALUES.items():
            if left != right:
                sets = [(left, value), (right, other)]
                statements = [
                    f"UPDATE life USING TIMESTAMP $t{' AND TTL 900' if 'TTL' in name else ''}"
                    f" SET v = {text}, w = 1 {ROW}"
                    for name, text in sets
                ]
                cases.append(Case(f"{left} and {right} at once", tuple(statements)))
    return cases


TIES = [
    *_ties(),
    Case(
        "an insert and a delete at once",
        (
            f"DELETE FROM life {AT} $t {ROW}",
            f"INSERT INTO life (p, c, v) VALUES ($p, 1, 1) {AT} $t",
        ),
        {},
    ),
    Case(
        "an insert and a delete of its partition at once",
        (
            f"INSERT INTO life (p, c, v, s) VALUES ($p, 1, 1, 1) {AT} $t",
            f"DELETE FROM life {AT} $t WHERE p = $p",
        ),
        {},
        {},
    ),
    Case(
        "a write that was tried twice",
        (f"UPDATE life {AT} $t SET v = 9, n = n + {{1}} {ROW}",) * 2,
        {(1,): {"v": 9, "n": (1,)}},
    ),
]

LIVES = [
    Case(
        "an updated row that nulls have emptied is gone",
        (f"UPDATE life SET v = 1 {ROW}", f"UPDATE life SET v = null {ROW}"),
        {},
    ),
    Case(
        "an inserted row that nulls have emptied stays",
        ("INSERT INTO life (p, c, v) VALUES ($p, 1, 1)", f"UPDATE life SET v = null {ROW}"),
        {(1,): {}},
    ),
    Case(
        "an updated row whose elements were removed is gone",
        (
            f"UPDATE life SET n = n + {{1}}, u.x = 1 {ROW}",
            f"UPDATE life SET n = n - {{1}}, u.x = null {ROW}",
        ),
        {},
    ),
    Case("a key alone is a row", ("INSERT INTO life (p, c) VALUES ($p, 1)",), {(1,): {}}),
    Case(
        "a row delete that is older than a cell keeps the row",
        (
            f"UPDATE life {AT} $after SET v = 1 {ROW}",
            f"UPDATE life {AT} $before SET w = 2 {ROW}",
            f"DELETE FROM life {AT} $t {ROW}",
        ),
        {(1,): {"v": 1}},
    ),
    Case(
        "a row delete ends what was before it",
        (f"UPDATE life {AT} $before SET v = 1, w = 2 {ROW}", f"DELETE FROM life {AT} $t {ROW}"),
        {},
    ),
    Case(
        "null, unset and empty are three",
        (
            "INSERT INTO life (p, c, v, w) VALUES ($p, 1, 1, 1)",
            "INSERT INTO life (p, c, w) VALUES ($p, 1, null)",
        ),
        {(1,): {"v": 1}},
    ),
    Case(
        "what the server's expiry deletes",
        (
            "INSERT INTO life (p, c, v) VALUES ($p, 1, 1)",
            "INSERT INTO life (p, c, v) VALUES ($p, 2, 2)",
            f"/* stand-in: expiry */ DELETE FROM life {ROW}",
        ),
        {(2,): {"v": 2}},
    ),
    Case(
        "a partition that the server's expiry deletes",
        (
            "INSERT INTO life (p, c, v, s) VALUES ($p, 1, 1, 1)",
            "/* stand-in: expiry */ DELETE FROM life WHERE p = $p",
        ),
        {},
        {},
    ),
]

STATICS = [
    Case("a partition of statics alone", ("INSERT INTO life (p, s) VALUES ($p, 1)",), {}, {"s": 1}),
    Case(
        "statics and rows",
        (
            "INSERT INTO life (p, c, v, s) VALUES ($p, 1, 2, 3)",
            "UPDATE life SET ms = ms + {1: 'a'} WHERE p = $p",
        ),
        {(1,): {"v": 2}},
        {"s": 3, "ms": ((1, "a"),)},
    ),
    Case(
        "a partition delete takes the statics",
        (
            "INSERT INTO life (p, c, v, s) VALUES ($p, 1, 2, 3)",
            "DELETE FROM life WHERE p = $p",
        ),
        {},
        {},
    ),
    Case(
        "a row delete leaves the statics",
        ("INSERT INTO life (p, c, v, s) VALUES ($p, 1, 2, 3)", f"DELETE FROM life {ROW}"),
        {},
        {"s": 3},
    ),
    Case(
        "statics that were set to null are gone",
        ("UPDATE life SET s = 1 WHERE p = $p", "UPDATE life SET s = null WHERE p = $p"),
        {},
        {},
    ),
]


def _rows_of(table: str, columns: str, keys: list[str]) -> tuple[str, ...]:
    return tuple(f"INSERT INTO {table} (p, {columns}, v) VALUES ($p, {k}, 1)" for k in keys)


FALLING = _rows_of("falling", "c", [f"{c}" for c in range(6)])
# Of one tick; the second is the lesser one, because bytes are compared as signed.
TIMES = ("b223c55e-6d07-11ea-7f00-000000000000", "b223c55e-6d07-11ea-8000-000000000000")
MIXED = _rows_of(
    "mixed",
    "a, b, c",
    [f"{a}, '{b}', {c}" for a in range(3) for b in ("", "B", "a") for c in TIMES],
)


def _keeps(*found: int) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {(c,): {"v": 1} for c in found}


SEVERAL = (
    "DELETE FROM falling WHERE p = $p AND c < 1",
    "DELETE FROM falling WHERE p = $p AND c > 4 AND c < 9",
)

RANGES = [
    Case(
        "falling: all above",
        (*FALLING, "DELETE FROM falling WHERE p = $p AND c > 2"),
        _keeps(0, 1, 2),
    ),
    Case(
        "falling: all up to",
        (*FALLING, "DELETE FROM falling WHERE p = $p AND c <= 2"),
        _keeps(3, 4, 5),
    ),
    Case(
        "falling: between",
        (*FALLING, "DELETE FROM falling WHERE p = $p AND c > 1 AND c <= 3"),
        _keeps(0, 1, 4, 5),
    ),
    Case(
        "falling: a row behind the delete stays",
        (
            *FALLING,
            "DELETE FROM falling WHERE p = $p AND c >= 1",
            "INSERT INTO falling (p, c, v) VALUES ($p, 3, 1)",
        ),
        _keeps(0, 3),
    ),
    Case(
        "falling: several in one batch",
        (
            *FALLING,
            f"BEGIN BATCH {'; '.join(SEVERAL)}; APPLY BATCH",
        ),
        _keeps(1, 2, 3, 4),
    ),
    *(
        Case(f"mixed: {where}", (*MIXED, f"DELETE FROM mixed WHERE p = $p AND {where}"))
        for where in (
            "a = 1",
            "a > 1",
            "a >= 1 AND a < 2",
            "a = 1 AND b > ''",
            "a = 1 AND b <= 'B'",
            f"a = 1 AND b = 'a' AND c > {TIMES[1]}",
            f"a = 1 AND b = 'a' AND c <= {TIMES[1]}",
            "(a, b) > (1, 'B')",
            f"(a, b, c) <= (1, 'B', {TIMES[0]})",
        )
    ),
]

CASES = {c.name: c for c in [*COLLECTIONS, *TIES, *LIVES, *STATICS, *RANGES]}


def table_of(case: Case) -> str:
    """The table that a case is about."""
    return next((t for t in ("falling", "mixed") if case.name.startswith(t)), "life")
