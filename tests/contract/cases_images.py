"""Cases of pre-images, post-images and logs that hold only keys."""

from tests.contract.case import (
    AFTER,
    FROM,
    INSERT,
    PARTITION_DELETE,
    POSTIMAGE,
    PREIMAGE,
    ROW_DELETE,
    UP_TO,
    UPDATE,
    Case,
    batch,
    row,
)

KEY = "pk = $pk AND ck = 1"
BOTH_ROWS = batch(
    "UPDATE $t SET v = 8 WHERE pk = $pk AND ck = 1",
    "UPDATE $t SET v = 9 WHERE pk = $pk AND ck = 2",
)
ONE = "INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1)"
TWO = "INSERT INTO $t (pk, ck, v) VALUES ($pk, 2, 2)"

PREIMAGES = (
    Case(
        "preimage: the first write of a row has none",
        "preimage",
        (ONE,),
        [[row(INSERT, ck=1, v=1)]],
    ),
    Case(
        "preimage: value before an update",
        "preimage",
        (f"UPDATE $t SET v = 2 WHERE {KEY}",),
        [[row(PREIMAGE, ck=1, v=1), row(UPDATE, ck=1, v=2)]],
        (ONE,),
    ),
    Case(
        "preimage: deleted stands for null before",
        "preimage",
        (f"UPDATE $t SET v = 2 WHERE {KEY}",),
        [[row(PREIMAGE, ck=1, deleted=("v",)), row(UPDATE, ck=1, v=2)]],
        ("INSERT INTO $t (pk, ck) VALUES ($pk, 1)",),
    ),
    Case(
        "preimage: an insert over a row has one",
        "preimage",
        (ONE,),
        [[row(PREIMAGE, ck=1, v=1), row(INSERT, ck=1, v=1)]],
        (ONE,),
    ),
    Case(
        "preimage: a row delete shows the row",
        "preimage",
        (f"DELETE FROM $t WHERE {KEY}",),
        [[row(PREIMAGE, ck=1, v=1), row(ROW_DELETE, ck=1)]],
        (ONE,),
    ),
    Case(
        "preimage: static row",
        "preimage",
        ("UPDATE $t SET s = 2 WHERE pk = $pk",),
        [[row(PREIMAGE, s=1), row(UPDATE, s=2)]],
        ("UPDATE $t SET s = 1, t = 5 WHERE pk = $pk",),
    ),
    Case(
        "preimage: static row first, then rows, then changes",
        "preimage",
        (f"UPDATE $t SET s = 2, v = 2 WHERE {KEY}",),
        [
            [
                row(PREIMAGE, s=1),
                row(PREIMAGE, ck=1, v=1),
                row(UPDATE, s=2),
                row(UPDATE, ck=1, v=2),
            ]
        ],
        (ONE, "UPDATE $t SET s = 1 WHERE pk = $pk"),
    ),
    Case(
        "preimage: images of all rows of a batch, then the changes",
        "preimage",
        (BOTH_ROWS,),
        [
            [
                row(PREIMAGE, ck=1, v=1),
                row(PREIMAGE, ck=2, v=2),
                row(UPDATE, ck=1, v=8),
                row(UPDATE, ck=2, v=9),
            ]
        ],
        (ONE, TWO),
    ),
    Case(
        "preimage: conditional update",
        "preimage",
        (f"UPDATE $t SET v = 2 WHERE {KEY} IF v = 1",),
        [[row(PREIMAGE, ck=1, v=1), row(UPDATE, ck=1, v=2)]],
        (ONE + " IF NOT EXISTS",),
    ),
    Case(
        "preimage: range and partition deletes have none",
        "preimage",
        ("DELETE FROM $t WHERE pk = $pk AND ck >= 1", "DELETE FROM $t WHERE pk = $pk"),
        [[row(FROM, ck=1), row(UP_TO)], [row(PARTITION_DELETE)]],
        (ONE, TWO),
    ),
    Case(
        "full preimage: the columns not touched too",
        "full preimage",
        (f"UPDATE $t SET v = 2 WHERE {KEY}",),
        [[row(PREIMAGE, ck=1, v=1, w=5), row(UPDATE, ck=1, v=2)]],
        ("INSERT INTO $t (pk, ck, v, w) VALUES ($pk, 1, 1, 5)",),
    ),
    Case(
        "full preimage: deleted stands for null before in columns not touched",
        "full preimage",
        (f"UPDATE $t SET v = 2 WHERE {KEY}",),
        [[row(PREIMAGE, ck=1, v=1, deleted=("w",)), row(UPDATE, ck=1, v=2)]],
        (ONE,),
    ),
    Case(
        "full preimage: the whole static row",
        "full preimage",
        ("UPDATE $t SET s = 2 WHERE pk = $pk",),
        [[row(PREIMAGE, s=1, t=5), row(UPDATE, s=2)]],
        ("UPDATE $t SET s = 1, t = 5 WHERE pk = $pk",),
    ),
)

POSTIMAGES = (
    Case(
        "postimage: whole row after an insert",
        "postimage",
        (ONE,),
        [[row(INSERT, ck=1, v=1), row(POSTIMAGE, ck=1, v=1)]],
    ),
    Case(
        "postimage: the columns not touched too",
        "postimage",
        (f"UPDATE $t SET v = 2 WHERE {KEY}",),
        [[row(UPDATE, ck=1, v=2), row(POSTIMAGE, ck=1, v=2, w=5)]],
        ("INSERT INTO $t (pk, ck, v, w) VALUES ($pk, 1, 1, 5)",),
    ),
    Case(
        "postimage: null is null, never deleted",
        "postimage",
        (f"UPDATE $t SET v = null WHERE {KEY}",),
        [[row(UPDATE, ck=1, deleted=("v",)), row(POSTIMAGE, ck=1)]],
        (ONE,),
    ),
    Case(
        "postimage: static row",
        "postimage",
        ("UPDATE $t SET s = 2 WHERE pk = $pk",),
        [[row(UPDATE, s=2), row(POSTIMAGE, s=2, t=5)]],
        ("UPDATE $t SET s = 1, t = 5 WHERE pk = $pk",),
    ),
    Case(
        "postimage: all changes of a batch, then the images",
        "postimage",
        (BOTH_ROWS,),
        [
            [
                row(UPDATE, ck=1, v=8),
                row(UPDATE, ck=2, v=9),
                row(POSTIMAGE, ck=1, v=8),
                row(POSTIMAGE, ck=2, v=9),
            ]
        ],
        (ONE, TWO),
    ),
    Case(
        "postimage: deletes have none",
        "postimage",
        (
            f"DELETE FROM $t WHERE {KEY}",
            "DELETE FROM $t WHERE pk = $pk AND ck >= 1",
            "DELETE FROM $t WHERE pk = $pk",
        ),
        [[row(ROW_DELETE, ck=1)], [row(FROM, ck=1), row(UP_TO)], [row(PARTITION_DELETE)]],
        (ONE, TWO),
    ),
)

BOTH = (
    Case(
        "both images frame the change; a map is shown whole",
        "both images",
        (f"UPDATE $t SET m = m + {{2: 'b'}} WHERE {KEY}",),
        [
            [
                row(PREIMAGE, ck=1, m={1: "a"}),
                row(UPDATE, ck=1, m={2: "b"}),
                row(POSTIMAGE, ck=1, v=1, m={1: "a", 2: "b"}),
            ]
        ],
        ("INSERT INTO $t (pk, ck, v, m) VALUES ($pk, 1, 1, {1: 'a'})",),
    ),
    Case(
        "both images frame a change split by TTL",
        "both images",
        (f"UPDATE $t USING TTL 500 SET v = 2, w = null WHERE {KEY}",),
        [
            [
                row(PREIMAGE, ck=1, v=1, w=5),
                row(UPDATE, ck=1, deleted=("w",)),
                row(UPDATE, ck=1, v=2, ttl=500),
                row(POSTIMAGE, ck=1, v=2),
            ]
        ],
        ("INSERT INTO $t (pk, ck, v, w) VALUES ($pk, 1, 1, 5)",),
    ),
)

KEYS_ONLY = (
    Case(
        "delta keys: updates and inserts carry keys and TTL",
        "keys",
        (
            "INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1) USING TTL 50",
            f"DELETE v FROM $t WHERE {KEY}",
        ),
        [[row(INSERT, ck=1, ttl=50)], [row(UPDATE, ck=1)]],
    ),
    Case(
        "delta keys: collections carry no elements",
        "keys",
        (f"UPDATE $t SET m = m + {{1: 'a'}} WHERE {KEY}", f"DELETE m[1] FROM $t WHERE {KEY}"),
        [[row(UPDATE, ck=1)], [row(UPDATE, ck=1)]],
    ),
    Case(
        "delta keys: static row",
        "keys",
        ("UPDATE $t SET s = 1 WHERE pk = $pk",),
        [[row(UPDATE)]],
    ),
    Case(
        "delta keys: deletes as ever",
        "keys",
        (
            f"DELETE FROM $t WHERE {KEY}",
            "DELETE FROM $t WHERE pk = $pk AND ck > 1",
            "DELETE FROM $t WHERE pk = $pk",
        ),
        [[row(ROW_DELETE, ck=1)], [row(AFTER, ck=1), row(UP_TO)], [row(PARTITION_DELETE)]],
    ),
)

CASES = PREIMAGES + POSTIMAGES + BOTH + KEYS_ONLY
