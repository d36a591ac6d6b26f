"""Cases of plain cells: updates, inserts, nulls, static columns and TTLs."""

from tests.contract.case import INSERT, UPDATE, Case, batch, row

KEY = "pk = $pk AND ck = 1"

UPDATES = (
    Case(
        "update sets a value and says nothing of the other columns",
        "plain",
        (f"UPDATE $t SET v = 1 WHERE {KEY}",),
        [[row(UPDATE, ck=1, v=1)]],
    ),
    Case(
        "update to null marks the column deleted",
        "plain",
        (f"UPDATE $t SET v = null WHERE {KEY}",),
        [[row(UPDATE, ck=1, deleted=("v",))]],
    ),
    Case(
        "delete of a column is an update that marks it deleted",
        "plain",
        (f"DELETE v FROM $t WHERE {KEY}",),
        [[row(UPDATE, ck=1, deleted=("v",))]],
    ),
    Case(
        "value and null in one update share a row",
        "plain",
        (f"UPDATE $t SET v = 1, w = null WHERE {KEY}",),
        [[row(UPDATE, ck=1, v=1, deleted=("w",))]],
    ),
    Case(
        "every statement is a group of its own",
        "plain",
        (f"UPDATE $t SET v = 1 WHERE {KEY}", f"UPDATE $t SET v = 1 WHERE {KEY}"),
        [[row(UPDATE, ck=1, v=1)], [row(UPDATE, ck=1, v=1)]],
    ),
    Case(
        "update of a table without clustering key",
        "single",
        ("UPDATE $t SET v = 1 WHERE pk = $pk",),
        [[row(UPDATE, v=1)]],
    ),
    Case(
        "names are case sensitive and no prefix is special",
        "odd names",
        (
            'INSERT INTO $t (pk, ck, "Mixed Case", deleted_v) VALUES ($pk, 1, 2, 3)',
            f"DELETE v FROM $t WHERE {KEY}",
        ),
        [
            [row(INSERT, ck=1, deleted_v=3) | {"Mixed Case": 2}],
            [row(UPDATE, ck=1, deleted=("v",))],
        ],
    ),
)

INSERTS = (
    Case(
        "insert sets its columns",
        "plain",
        ("INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1)",),
        [[row(INSERT, ck=1, v=1)]],
    ),
    Case(
        "insert of the key alone leaves a row",
        "plain",
        ("INSERT INTO $t (pk, ck) VALUES ($pk, 1)",),
        [[row(INSERT, ck=1)]],
    ),
    Case(
        "insert of an explicit null marks the column deleted",
        "plain",
        ("INSERT INTO $t (pk, ck, v, w) VALUES ($pk, 1, 1, null)",),
        [[row(INSERT, ck=1, v=1, deleted=("w",))]],
    ),
    Case(
        "insert as JSON nulls what it does not name",
        "plain",
        ("""INSERT INTO $t JSON '{"pk": $pk, "ck": 1, "v": 1}'""",),
        [[row(INSERT, ck=1, v=1, deleted=("w",))]],
    ),
    Case(
        "insert into a table without clustering key",
        "single",
        ("INSERT INTO $t (pk, v) VALUES ($pk, 1)",),
        [[row(INSERT, v=1)]],
    ),
)

STATICS = (
    Case(
        "static column is a row without clustering key",
        "static",
        ("UPDATE $t SET s = 1 WHERE pk = $pk",),
        [[row(UPDATE, s=1)]],
    ),
    Case(
        "delete of a static column",
        "static",
        ("DELETE s FROM $t WHERE pk = $pk",),
        [[row(UPDATE, deleted=("s",))]],
    ),
    Case(
        "insert of static columns only is an update, there is no static marker",
        "static",
        ("INSERT INTO $t (pk, s, t) VALUES ($pk, 1, null)",),
        [[row(UPDATE, s=1, deleted=("t",))]],
    ),
    Case(
        "static and regular column in one update are two rows, static first",
        "static",
        (f"UPDATE $t SET v = 1, s = 2 WHERE {KEY}",),
        [[row(UPDATE, s=2), row(UPDATE, ck=1, v=1)]],
    ),
    Case(
        "static and regular column in one insert are two rows, static first",
        "static",
        ("INSERT INTO $t (pk, ck, v, s) VALUES ($pk, 1, 1, 2)",),
        [[row(UPDATE, s=2), row(INSERT, ck=1, v=1)]],
    ),
    Case(
        "static columns with TTL are split like others",
        "static",
        ("UPDATE $t USING TTL 100 SET s = 1, t = null WHERE pk = $pk",),
        [[row(UPDATE, deleted=("t",)), row(UPDATE, ttl=100, s=1)]],
    ),
    Case(
        "static map is overwritten as any map",
        "sticky",
        ("UPDATE $t SET m = {1: 'a'} WHERE pk = $pk", "DELETE m[1] FROM $t WHERE pk = $pk"),
        [[row(UPDATE, m={1: "a"}, deleted=("m",))], [row(UPDATE, elements={"m": {1}})]],
    ),
    Case(
        "static UDT is changed by field",
        "sticky",
        ("UPDATE $t SET u.a = 1, u.c = null WHERE pk = $pk",),
        [[row(UPDATE, u={"a": 1, "b": None, "c": None}, elements={"u": {2}})]],
    ),
)

TTLS = (
    Case(
        "update with TTL",
        "plain",
        (f"UPDATE $t USING TTL 100 SET v = 1 WHERE {KEY}",),
        [[row(UPDATE, ck=1, v=1, ttl=100)]],
    ),
    Case(
        "insert with TTL",
        "plain",
        ("INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1) USING TTL 100",),
        [[row(INSERT, ck=1, v=1, ttl=100)]],
    ),
    Case(
        "insert of the key alone with TTL: the marker has it",
        "plain",
        ("INSERT INTO $t (pk, ck) VALUES ($pk, 1) USING TTL 100",),
        [[row(INSERT, ck=1, ttl=100)]],
    ),
    Case(
        "update with TTL of a value and a null is two rows, tombstones first",
        "plain",
        (f"UPDATE $t USING TTL 5 SET v = 0, w = null WHERE {KEY}",),
        [[row(UPDATE, ck=1, deleted=("w",)), row(UPDATE, ck=1, v=0, ttl=5)]],
    ),
    Case(
        "insert with TTL of a value and a null: the null is an update after it",
        "plain",
        ("INSERT INTO $t (pk, ck, v, w) VALUES ($pk, 1, 0, null) USING TTL 5",),
        [[row(INSERT, ck=1, v=0, ttl=5), row(UPDATE, ck=1, deleted=("w",))]],
    ),
    Case(
        "TTL of the table is the TTL of its cells",
        "expiring",
        ("INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1)", f"DELETE v FROM $t WHERE {KEY}"),
        [[row(INSERT, ck=1, v=1, ttl=500)], [row(UPDATE, ck=1, deleted=("v",))]],
    ),
    Case(
        "TTL of the statement beats the TTL of the table, and 0 is none",
        "expiring",
        (
            f"UPDATE $t USING TTL 7 SET v = 1 WHERE {KEY}",
            f"UPDATE $t USING TTL 0 SET v = 1 WHERE {KEY}",
        ),
        [[row(UPDATE, ck=1, v=1, ttl=7)], [row(UPDATE, ck=1, v=1)]],
    ),
    Case(
        "cells of one row with several TTLs are rows by rising TTL",
        "plain",
        (
            batch(
                f"UPDATE $t USING TTL 30 SET v = 1 WHERE {KEY}",
                f"UPDATE $t USING TTL 20 SET w = 2 WHERE {KEY}",
                at="$now",
            ),
        ),
        [[row(UPDATE, ck=1, w=2, ttl=20), row(UPDATE, ck=1, v=1, ttl=30)]],
    ),
    Case(
        "rising TTL orders the cells of a row, not the rows of a batch",
        "plain",
        (
            batch(
                "UPDATE $t USING TTL 30 SET v = 1 WHERE pk = $pk AND ck = 1",
                "UPDATE $t USING TTL 20 SET v = 2 WHERE pk = $pk AND ck = 2",
                "UPDATE $t SET v = 3 WHERE pk = $pk AND ck = 3",
                at="$now",
            ),
        ),
        [
            [
                row(UPDATE, ck=1, v=1, ttl=30),
                row(UPDATE, ck=2, v=2, ttl=20),
                row(UPDATE, ck=3, v=3),
            ]
        ],
    ),
)

CASES = UPDATES + INSERTS + STATICS + TTLS
