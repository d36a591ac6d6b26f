"""Cases of rows, ranges and partitions deleted."""

from tests.contract.case import (
    AFTER,
    BEFORE,
    FROM,
    PARTITION_DELETE,
    ROW_DELETE,
    UP_TO,
    Case,
    batch,
    row,
)

ROWS_AND_PARTITIONS = (
    Case(
        "row delete",
        "plain",
        ("DELETE FROM $t WHERE pk = $pk AND ck = 1",),
        [[row(ROW_DELETE, ck=1)]],
    ),
    Case(
        "row delete with a whole clustering key of several columns",
        "prefix",
        ("DELETE FROM $t WHERE pk = $pk AND a = 1 AND b = 2 AND c = 3",),
        [[row(ROW_DELETE, a=1, b=2, c=3)]],
    ),
    Case(
        "row delete by IN is a row for each",
        "plain",
        ("DELETE FROM $t WHERE pk = $pk AND ck IN (1, 2)",),
        [[row(ROW_DELETE, ck=1), row(ROW_DELETE, ck=2)]],
    ),
    Case(
        "partition delete",
        "static",
        ("DELETE FROM $t WHERE pk = $pk",),
        [[row(PARTITION_DELETE)]],
    ),
    Case(
        "delete without clustering key is a partition delete",
        "single",
        ("DELETE FROM $t WHERE pk = $pk",),
        [[row(PARTITION_DELETE)]],
        before=("INSERT INTO $t (pk, v) VALUES ($pk, 1)",),
    ),
)

RANGES = (
    Case(
        "range open on the left, closed on the right",
        "plain",
        ("DELETE FROM $t WHERE pk = $pk AND ck > 0 AND ck <= 2",),
        [[row(AFTER, ck=0), row(UP_TO, ck=2)]],
    ),
    Case(
        "range closed on the left, open on the right",
        "plain",
        ("DELETE FROM $t WHERE pk = $pk AND ck >= 0 AND ck < 2",),
        [[row(FROM, ck=0), row(BEFORE, ck=2)]],
    ),
    Case(
        "range without upper bound ends with a row without clustering key",
        "plain",
        ("DELETE FROM $t WHERE pk = $pk AND ck > 3",),
        [[row(AFTER, ck=3), row(UP_TO)]],
    ),
    Case(
        "range without lower bound begins with a row without clustering key",
        "plain",
        ("DELETE FROM $t WHERE pk = $pk AND ck <= 3",),
        [[row(FROM), row(UP_TO, ck=3)]],
    ),
    Case(
        "two ranges of one batch are two pairs",
        "plain",
        (
            batch(
                "DELETE FROM $t WHERE pk = $pk AND ck > 10 AND ck < 20",
                "DELETE FROM $t WHERE pk = $pk AND ck >= 1 AND ck <= 2",
                at="$now",
            ),
        ),
        [[row(FROM, ck=1), row(UP_TO, ck=2), row(AFTER, ck=10), row(BEFORE, ck=20)]],
    ),
    Case(
        "empty range leaves nothing",
        "plain",
        ("DELETE FROM $t WHERE pk = $pk AND ck > 2 AND ck <= 2",),
    ),
    Case(
        "prefix of the clustering key",
        "prefix",
        ("DELETE FROM $t WHERE pk = $pk AND a = 1",),
        [[row(FROM, a=1), row(UP_TO, a=1)]],
    ),
    Case(
        "range below a prefix",
        "prefix",
        ("DELETE FROM $t WHERE pk = $pk AND a = 1 AND b > 2 AND b <= 5",),
        [[row(AFTER, a=1, b=2), row(UP_TO, a=1, b=5)]],
    ),
    Case(
        "one-sided range below a prefix is bounded by the prefix",
        "prefix",
        ("DELETE FROM $t WHERE pk = $pk AND a = 1 AND b > 2",),
        [[row(AFTER, a=1, b=2), row(UP_TO, a=1)]],
    ),
    Case(
        "range of tuples",
        "prefix",
        ("DELETE FROM $t WHERE pk = $pk AND (a, b) > (1, 2) AND (a, b, c) <= (3, 4, 5)",),
        [[row(AFTER, a=1, b=2), row(UP_TO, a=3, b=4, c=5)]],
    ),
)

FALLING = (
    Case(
        "falling order swaps the bounds: start is the greater value",
        "falling",
        ("DELETE FROM $t WHERE pk = $pk AND ck > 1 AND ck <= 3",),
        [[row(FROM, ck=3), row(BEFORE, ck=1)]],
    ),
    Case(
        "falling order, lower bound only: starts unbounded",
        "falling",
        ("DELETE FROM $t WHERE pk = $pk AND ck > 1",),
        [[row(FROM), row(BEFORE, ck=1)]],
    ),
    Case(
        "falling order, upper bound only: ends unbounded",
        "falling",
        ("DELETE FROM $t WHERE pk = $pk AND ck < 3",),
        [[row(AFTER, ck=3), row(UP_TO)]],
    ),
    Case(
        "mixed order, prefix",
        "mixed",
        ("DELETE FROM $t WHERE pk = $pk AND a = 1",),
        [[row(FROM, a=1), row(UP_TO, a=1)]],
    ),
    Case(
        "mixed order, bounds of the falling column swap",
        "mixed",
        ("DELETE FROM $t WHERE pk = $pk AND a = 1 AND b > 2 AND b <= 5",),
        [[row(FROM, a=1, b=5), row(BEFORE, a=1, b=2)]],
    ),
    Case(
        "mixed order, bounds of the rising column stay",
        "mixed",
        ("DELETE FROM $t WHERE pk = $pk AND a >= 1 AND a < 4",),
        [[row(FROM, a=1), row(BEFORE, a=4)]],
    ),
    Case(
        "mixed order, a range of tuples is several ranges",
        "mixed",
        ("DELETE FROM $t WHERE pk = $pk AND (a, b) > (1, 2)",),
        [[row(FROM, a=1), row(BEFORE, a=1, b=2), row(AFTER, a=1), row(UP_TO)]],
    ),
)

CASES = ROWS_AND_PARTITIONS + RANGES + FALLING
