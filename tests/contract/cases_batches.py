"""Cases of several changes in one batch, and of conditional writes."""

from tests.contract.case import (
    AFTER,
    BEFORE,
    INSERT,
    PARTITION_DELETE,
    ROW_DELETE,
    UPDATE,
    Case,
    batch,
    row,
)

KEY = "pk = $pk AND ck = 1"

BATCHES = (
    Case(
        "batch on one partition is one group, rows in clustering order",
        "plain",
        (
            batch(
                "INSERT INTO $t (pk, ck, v) VALUES ($pk, 2, 2)",
                "INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1)",
                "INSERT INTO $t (pk, ck, v) VALUES ($pk, 3, 3)",
            ),
        ),
        [[row(INSERT, ck=1, v=1), row(INSERT, ck=2, v=2), row(INSERT, ck=3, v=3)]],
    ),
    Case(
        "cells of one row in one batch are merged",
        "plain",
        (
            batch(
                f"UPDATE $t SET v = 1 WHERE {KEY}",
                f"UPDATE $t SET w = 2 WHERE {KEY}",
            ),
        ),
        [[row(UPDATE, ck=1, v=1, w=2)]],
    ),
    Case(
        "kinds of change in one batch stand in the order of kinds",
        "static",
        (
            batch(
                "DELETE FROM $t WHERE pk = $pk AND ck > 10 AND ck < 20",
                "DELETE FROM $t WHERE pk = $pk AND ck = 3",
                "UPDATE $t SET v = 2 WHERE pk = $pk AND ck = 2",
                "INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1)",
                "UPDATE $t SET s = 9 WHERE pk = $pk",
                at="$now",
            ),
        ),
        [
            [
                row(UPDATE, s=9),
                row(INSERT, ck=1, v=1),
                row(UPDATE, ck=2, v=2),
                row(ROW_DELETE, ck=3),
                row(AFTER, ck=10),
                row(BEFORE, ck=20),
            ]
        ],
    ),
    Case(
        "insert and update are not kinds apart: rows in clustering order",
        "plain",
        (
            batch(
                "INSERT INTO $t (pk, ck, v) VALUES ($pk, 2, 2)",
                "UPDATE $t SET v = 1 WHERE pk = $pk AND ck = 1",
            ),
        ),
        [[row(UPDATE, ck=1, v=1), row(INSERT, ck=2, v=2)]],
    ),
    Case(
        "row delete of a smaller key than the rest is not apart either",
        "plain",
        (
            batch(
                "INSERT INTO $t (pk, ck, v) VALUES ($pk, 2, 2)",
                "DELETE FROM $t WHERE pk = $pk AND ck = 1",
                at="$now",
            ),
        ),
        [[row(ROW_DELETE, ck=1), row(INSERT, ck=2, v=2)]],
    ),
    Case(
        "row delete of a greater key than an update puts all in the order of kinds",
        "plain",
        (
            batch(
                "INSERT INTO $t (pk, ck, v) VALUES ($pk, 3, 3)",
                "DELETE FROM $t WHERE pk = $pk AND ck = 2",
                "UPDATE $t SET v = 1 WHERE pk = $pk AND ck = 1",
                at="$now",
            ),
        ),
        [[row(INSERT, ck=3, v=3), row(UPDATE, ck=1, v=1), row(ROW_DELETE, ck=2)]],
    ),
    Case(
        "partition delete stands after the changes that outlive it",
        "static",
        (
            batch(
                "UPDATE $t USING TIMESTAMP $next SET v = 1 WHERE pk = $pk AND ck = 1",
                "DELETE FROM $t USING TIMESTAMP $now WHERE pk = $pk",
            ),
        ),
        [[row(PARTITION_DELETE)], [row(UPDATE, ck=1, v=1)]],
    ),
    Case(
        "every timestamp of a batch is a group of its own",
        "plain",
        (
            batch(
                f"UPDATE $t USING TIMESTAMP $next SET v = 1 WHERE {KEY}",
                f"UPDATE $t USING TIMESTAMP $now SET w = 2 WHERE {KEY}",
            ),
        ),
        [[row(UPDATE, ck=1, w=2)], [row(UPDATE, ck=1, v=1)]],
    ),
    Case(
        "what a later cell of the same batch overwrites is not logged",
        "plain",
        (
            batch(
                f"UPDATE $t USING TIMESTAMP $now SET v = 1 WHERE {KEY}",
                f"UPDATE $t USING TIMESTAMP $next SET v = 2 WHERE {KEY}",
            ),
        ),
        [[row(UPDATE, ck=1, v=2)]],
    ),
    Case(
        "of two inserts into one row the later keeps the marker",
        "plain",
        (
            batch(
                "INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1) USING TIMESTAMP $now",
                "INSERT INTO $t (pk, ck, w) VALUES ($pk, 1, 2) USING TIMESTAMP $next",
            ),
        ),
        [[row(UPDATE, ck=1, v=1)], [row(INSERT, ck=1, w=2)]],
    ),
)

CONDITIONS = (
    Case(
        "insert IF NOT EXISTS that applies is an insert",
        "plain",
        ("INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1) IF NOT EXISTS",),
        [[row(INSERT, ck=1, v=1)]],
    ),
    Case(
        "insert IF NOT EXISTS that does not apply leaves nothing",
        "plain",
        ("INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 2) IF NOT EXISTS",),
        before=("INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1) IF NOT EXISTS",),
    ),
    Case(
        "update with a true condition is an update",
        "plain",
        (f"UPDATE $t SET v = 2 WHERE {KEY} IF v = 1",),
        [[row(UPDATE, ck=1, v=2)]],
        before=("INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1) IF NOT EXISTS",),
    ),
    Case(
        "update with a false condition leaves nothing",
        "plain",
        (f"UPDATE $t SET v = 2 WHERE {KEY} IF v = 9",),
        before=("INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1) IF NOT EXISTS",),
    ),
    Case(
        "delete with a true condition is a row delete",
        "plain",
        (f"DELETE FROM $t WHERE {KEY} IF EXISTS",),
        [[row(ROW_DELETE, ck=1)]],
        before=("INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1) IF NOT EXISTS",),
    ),
    Case(
        "batch with a true condition is one group",
        "plain",
        (
            batch(
                "INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1) IF NOT EXISTS",
                "INSERT INTO $t (pk, ck, v) VALUES ($pk, 2, 2)",
            ),
        ),
        [[row(INSERT, ck=1, v=1), row(INSERT, ck=2, v=2)]],
    ),
)

CASES = BATCHES + CONDITIONS
