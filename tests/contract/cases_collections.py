"""Cases of collections and user-defined types."""

from tests.contract.case import INSERT, UPDATE, Case, row

KEY = "pk = $pk AND ck = 1"
NONE = {"a": None, "b": None, "c": None}


def update(name: str, change: str, expected: dict[str, object], *before: str) -> Case:
    """A case of one UPDATE … SET of the table of collections."""
    earlier = tuple(f"UPDATE $t SET {b} WHERE {KEY}" for b in before)
    return Case(
        name, "collections", (f"UPDATE $t SET {change} WHERE {KEY}",), [[expected]], earlier
    )


MAPS_AND_SETS = (
    update("map: added entry", "m = m + {1: 'a'}", row(UPDATE, ck=1, m={1: "a"})),
    update("map: entry set by key", "m[1] = 'a'", row(UPDATE, ck=1, m={1: "a"})),
    update("map: entry set to null", "m[1] = null", row(UPDATE, ck=1, elements={"m": {1}})),
    update("map: keys removed", "m = m - {1, 2}", row(UPDATE, ck=1, elements={"m": {1, 2}})),
    update(
        "map: overwritten",
        "m = {1: 'a', 2: 'b'}",
        row(UPDATE, ck=1, m={1: "a", 2: "b"}, deleted=("m",)),
    ),
    update("map: overwritten by nothing", "m = {}", row(UPDATE, ck=1, deleted=("m",))),
    update("map: overwritten by null", "m = null", row(UPDATE, ck=1, deleted=("m",))),
    update(
        "map: one key added, one removed",
        "m[1] = 'a', m[2] = null",
        row(UPDATE, ck=1, m={1: "a"}, elements={"m": {2}}),
    ),
    Case(
        "map: delete of an entry",
        "collections",
        (f"DELETE m[1] FROM $t WHERE {KEY}",),
        [[row(UPDATE, ck=1, elements={"m": {1}})]],
    ),
    Case(
        "map: delete of the column",
        "collections",
        (f"DELETE m FROM $t WHERE {KEY}",),
        [[row(UPDATE, ck=1, deleted=("m",))]],
    ),
    update("set: added element", "s = s + {1, 2}", row(UPDATE, ck=1, s={1, 2})),
    update("set: removed element", "s = s - {1}", row(UPDATE, ck=1, elements={"s": {1}})),
    update("set: overwritten", "s = {1, 2}", row(UPDATE, ck=1, s={1, 2}, deleted=("s",))),
    update("set: overwritten by nothing", "s = {}", row(UPDATE, ck=1, deleted=("s",))),
    update(
        "elements added to one column and removed from another share a row",
        "s = s + {1}, m = m - {1}",
        row(UPDATE, ck=1, s={1}, elements={"m": {1}}),
    ),
    Case(
        "removed and added elements with TTL are two rows",
        "collections",
        (f"UPDATE $t USING TTL 5 SET s = s + {{1}}, m = m - {{1}} WHERE {KEY}",),
        [[row(UPDATE, ck=1, elements={"m": {1}}), row(UPDATE, ck=1, s={1}, ttl=5)]],
    ),
)

INSERTS = (
    Case(
        "insert of a map deletes what was there",
        "collections",
        ("INSERT INTO $t (pk, ck, m) VALUES ($pk, 1, {1: 'a'})",),
        [[row(INSERT, ck=1, m={1: "a"}, deleted=("m",))]],
    ),
    Case(
        "insert of an empty and of a null collection are the same",
        "collections",
        ("INSERT INTO $t (pk, ck, m, s) VALUES ($pk, 1, {}, null)",),
        [[row(INSERT, ck=1, deleted=("m", "s"))]],
    ),
    Case(
        "insert with TTL of a map is three rows",
        "collections",
        ("INSERT INTO $t (pk, ck, v, m) VALUES ($pk, 1, 2, {1: 'a'}) USING TTL 5",),
        [
            [
                row(INSERT, ck=1, v=2, ttl=5),
                row(UPDATE, ck=1, deleted=("m",)),
                row(UPDATE, ck=1, m={1: "a"}, ttl=5),
            ]
        ],
    ),
    Case(
        "update with TTL of a map is two rows",
        "collections",
        (f"UPDATE $t USING TTL 5 SET m = {{1: 'a'}} WHERE {KEY}",),
        [[row(UPDATE, ck=1, deleted=("m",)), row(UPDATE, ck=1, m={1: "a"}, ttl=5)]],
    ),
    Case(
        "map in a table without clustering key",
        "single",
        ("UPDATE $t SET m[1] = 'a' WHERE pk = $pk",),
        [[row(UPDATE, m={1: "a"})]],
    ),
)

LISTS = (
    update("list: appended", "l = l + [7, 8]", row(UPDATE, ck=1, l={"k1": 7, "k2": 8})),
    update("list: prepended", "l = [7] + l", row(UPDATE, ck=1, l={"k1": 7})),
    update("list: overwritten", "l = [7]", row(UPDATE, ck=1, l={"k1": 7}, deleted=("l",))),
    update("list: overwritten by nothing", "l = []", row(UPDATE, ck=1, deleted=("l",))),
    Case(
        "list: element set by index is logged by its key",
        "collections",
        (f"UPDATE $t SET l = [7, 8] WHERE {KEY}", f"UPDATE $t SET l[1] = 9 WHERE {KEY}"),
        [
            [row(UPDATE, ck=1, l={"k1": 7, "k2": 8}, deleted=("l",))],
            [row(UPDATE, ck=1, l={"k2": 9})],
        ],
    ),
    Case(
        "list: elements removed by value are logged by their keys",
        "collections",
        (f"UPDATE $t SET l = [7, 8, 7] WHERE {KEY}", f"UPDATE $t SET l = l - [7] WHERE {KEY}"),
        [
            [row(UPDATE, ck=1, l={"k1": 7, "k2": 8, "k3": 7}, deleted=("l",))],
            [row(UPDATE, ck=1, elements={"l": {"k1", "k3"}})],
        ],
    ),
    Case(
        "list: element deleted by index is logged by its key",
        "collections",
        (f"UPDATE $t SET l = [7, 8] WHERE {KEY}", f"DELETE l[0] FROM $t WHERE {KEY}"),
        [
            [row(UPDATE, ck=1, l={"k1": 7, "k2": 8}, deleted=("l",))],
            [row(UPDATE, ck=1, elements={"l": {"k1"}})],
        ],
    ),
)

FROZEN = (
    update(
        "frozen collections are one value",
        "fm = {1: 'a'}, fs = {1, 2}, fl = [2, 1]",
        row(UPDATE, ck=1, fm={1: "a"}, fs={1, 2}, fl=[2, 1]),
    ),
    update(
        "empty frozen collection is not null", "fm = {}, fl = []", row(UPDATE, ck=1, fm={}, fl=[])
    ),
    update("frozen collection set to null", "fm = null", row(UPDATE, ck=1, deleted=("fm",))),
)

UDTS = (
    Case(
        "UDT: fields set and nulled; fields not named are untouched",
        "udts",
        (f"UPDATE $t SET u.a = 1, u.c = null WHERE {KEY}",),
        [[row(UPDATE, ck=1, u={"a": 1, "b": None, "c": None}, elements={"u": {2}})]],
    ),
    Case(
        "UDT: only nulled fields leave a value of nulls",
        "udts",
        (f"UPDATE $t SET u.b = null WHERE {KEY}",),
        [[row(UPDATE, ck=1, u=NONE, elements={"u": {1}})]],
    ),
    Case(
        "UDT: set to null leaves a value of nulls",
        "udts",
        (f"UPDATE $t SET u = null WHERE {KEY}",),
        [[row(UPDATE, ck=1, u=NONE, deleted=("u",))]],
    ),
    Case(
        "UDT: delete of the column leaves a value of nulls",
        "udts",
        (f"DELETE u FROM $t WHERE {KEY}",),
        [[row(UPDATE, ck=1, u=NONE, deleted=("u",))]],
    ),
    Case(
        "UDT: delete of a field",
        "udts",
        (f"DELETE u.b FROM $t WHERE {KEY}",),
        [[row(UPDATE, ck=1, u=NONE, elements={"u": {1}})]],
    ),
    Case(
        "UDT: overwritten",
        "udts",
        (f"UPDATE $t SET u = {{a: 1, b: 2, c: 3}} WHERE {KEY}",),
        [[row(UPDATE, ck=1, u={"a": 1, "b": 2, "c": 3}, deleted=("u",))]],
    ),
    Case(
        "UDT: overwritten with some fields missing",
        "udts",
        (f"UPDATE $t SET u = {{a: 1}} WHERE {KEY}",),
        [[row(UPDATE, ck=1, u={"a": 1, "b": None, "c": None}, deleted=("u",))]],
    ),
    Case(
        "UDT: inserted",
        "udts",
        ("INSERT INTO $t (pk, ck, u) VALUES ($pk, 1, {a: 1, b: 2})",),
        [[row(INSERT, ck=1, u={"a": 1, "b": 2, "c": None}, deleted=("u",))]],
    ),
    Case(
        "UDT: a column not mentioned is null",
        "udts",
        (f"UPDATE $t SET v = 1 WHERE {KEY}",),
        [[row(UPDATE, ck=1, v=1)]],
    ),
    Case(
        "frozen UDT is one value",
        "udts",
        (f"UPDATE $t SET f = {{a: 1, c: 3}} WHERE {KEY}", f"UPDATE $t SET f = null WHERE {KEY}"),
        [
            [row(UPDATE, ck=1, f={"a": 1, "b": None, "c": 3})],
            [row(UPDATE, ck=1, deleted=("f",))],
        ],
    ),
)

CASES = MAPS_AND_SETS + INSERTS + LISTS + FROZEN + UDTS
