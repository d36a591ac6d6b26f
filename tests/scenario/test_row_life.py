"""Rows live and die in the target as in the source, whatever was done to them."""

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cassandra import InvalidRequest

from tests.scenario import checker
from tests.scenario.conftest import Place
from tests.scenario.daemon import wait_until

KEY = ("p", "c1", "c2")
STATEMENTS = 1500
TTL_SECONDS = (2, 3, 5)

TABLE = """
CREATE TABLE $ks.life (
    p int, c1 int, c2 text,
    s int static, st map<text, int> static,
    a int, b text, n set<int>, t set<text>, m map<text, int>, i map<int, text>, l list<int>,
    u point,
    PRIMARY KEY (p, c1, c2)
) WITH CLUSTERING ORDER BY (c1 DESC, c2 ASC) AND cdc = {'enabled': true}
"""

# What may be done to a column; each may be null, which is the first.
WHOLE = {
    "a": ("null", "1", "2", "3"),
    "b": ("null", "''", "'x'", "'ż'"),
    "n": ("null", "{}", "{3, 10, -1}", "{2}"),
    "t": ("null", "{'b', 'a', 'Z'}", "{'ż'}"),
    "m": ("null", "{'k': 1, 'j': 2}", "{'z': 9}"),
    "i": ("null", "{10: 'x', 9: 'y'}", "{-1: 'w'}"),
    "l": ("null", "[3, 1, 2]", "[7]"),
    "u": ("null", "{x: 1, y: 2}", "{x: 5}"),
}
PARTS = {
    "n": ("n = n + {5, 1}", "n = n - {3, 10}", "n = n + {100}", "n = n - {1, 2, 5, -1, 100}"),
    "t": ("t = t + {'c', 'ä'}", "t = t - {'a', 'b'}", "t = t - {'Z', 'ż', 'c', 'ä'}"),
    "m": ("m = m + {'k': 7}", "m['q'] = 5", "m = m - {'k', 'j'}", "m['q'] = null"),
    "i": ("i = i + {11: 'v'}", "i[9] = 'new'", "i = i - {10, -1}", "i[11] = null"),
    "l": ("l = l + [8]", "l = [0] + l", "l = l - [1, 8]", "l[0] = 6"),
    "u": ("u.x = 8", "u.y = null", "u.x = null", "u.y = 4"),
}
STATIC = (
    "s = 1",
    "s = 2",
    "s = null",
    "st = st + {'a': 1}",
    "st = st - {'a'}",
    "st = {'b': 2}",
    "st = null",
)


class Workload:
    """Statements by chance, the same for the same seed."""

    def __init__(self, place: Place, seed: int, *, lists: bool, ttl: bool) -> None:
        self._place = place
        self._chance = random.Random(seed)
        self._ttl_share = 0.2 if ttl else 0
        self._whole = {c: v for c, v in WHOLE.items() if lists or c != "l"}
        self._parts_of = {c: v for c, v in PARTS.items() if lists or c != "l"}
        self.refused = 0

    def run(self) -> None:
        """Write them, with pauses now and then, so that batches of the sink end between them."""
        for _ in range(STATEMENTS):
            text = self._batch() if self._chance.random() < 0.15 else self._one()
            try:
                self._place.execute(text)
            except InvalidRequest:
                self.refused += (
                    1  # an index behind a list's end, or a relation that the server refuses
                )
            if self._chance.random() < 0.02:
                time.sleep(0.3)

    def _batch(self) -> str:
        size = self._chance.randint(2, 4)
        return f"BEGIN BATCH {'; '.join(self._one() for _ in range(size))}; APPLY BATCH"

    def _one(self) -> str:
        kinds = [self._insert, self._update, self._parts, self._static, self._delete]
        return self._chance.choices(kinds, [4, 4, 6, 2, 3])[0]()

    def _ttl(self, word: str = "USING") -> str:
        seconds = self._chance.choice(TTL_SECONDS)
        return f" {word} TTL {seconds} " if self._chance.random() < self._ttl_share else ""

    def _partition(self) -> str:
        return f"p = {self._chance.randrange(4)}"

    def _row(self) -> str:
        c1, c2 = self._clustering()
        return f"{self._partition()} AND c1 = {c1} AND c2 = {c2}"

    def _clustering(self) -> tuple[int, str]:
        return self._chance.randrange(4), self._chance.choice(["''", "'B'", "'a'", "'ä'"])

    def _insert(self) -> str:
        c1, c2 = self._clustering()
        chosen = self._chance.sample(sorted(self._whole), self._chance.randrange(len(self._whole)))
        values = [self._chance.choice(WHOLE[c]) for c in chosen]
        key = [str(self._chance.randrange(4)), str(c1), c2]
        return (
            f"INSERT INTO $ks.life ({', '.join([*KEY, *chosen])}) "
            f"VALUES ({', '.join([*key, *values])}){self._ttl()}"
        )

    def _update(self) -> str:
        # Nulls often, so that rows vanish by them.
        chosen = self._chance.sample(sorted(self._whole), self._chance.randint(1, len(self._whole)))
        all_null = self._chance.random() < 0.4
        values = ["null" if all_null else self._chance.choice(WHOLE[c]) for c in chosen]
        changes = ", ".join(f"{c} = {v}" for c, v in zip(chosen, values, strict=True))
        return f"UPDATE $ks.life{self._ttl()} SET {changes} WHERE {self._row()}"

    def _parts(self) -> str:
        chosen = self._chance.sample(sorted(self._parts_of), self._chance.randint(1, 2))
        changes = ", ".join(self._chance.choice(PARTS[c]) for c in chosen)
        return f"UPDATE $ks.life{self._ttl()} SET {changes} WHERE {self._row()}"

    def _static(self) -> str:
        change = self._chance.choice(STATIC)
        return f"UPDATE $ks.life{self._ttl()} SET {change} WHERE {self._partition()}"

    def _delete(self) -> str:
        return f"DELETE FROM $ks.life WHERE {self._chance.choice(list(self._deleted()))}"

    def _deleted(self) -> Iterator[str]:
        c1, c2 = self._clustering()
        partition = self._partition()
        yield self._row()
        yield self._row()
        yield partition
        yield f"{partition} AND c1 = {c1}"
        yield f"{partition} AND c1 > {c1}"
        yield f"{partition} AND c1 <= {c1} AND c1 > {c1 - 2}"
        yield f"{partition} AND c1 = {c1} AND c2 >= {c2}"
        yield f"{partition} AND c1 = {c1} AND c2 > '' AND c2 < {c2}"
        yield f"{partition} AND (c1, c2) > ({c1}, {c2})"


def source_and_target(place: Place, table: str, key: tuple[str, ...]) -> list[str]:
    """What differs between the source's rows, statics with them, and the target's view."""
    source = checker.source_rows(place.session, place.name, table, key)
    target = checker.target_rows(place.stack, place.schema, f"{table}__full", key)
    return checker.differences(source, target)


def expect_equal(place: Place, table: str, key: tuple[str, ...]) -> None:
    """Rows and statics are equal in the end, and the topic has each change once."""
    last: list[str] = []

    def equal() -> bool:
        last[:] = source_and_target(place, table, key)
        return not last

    try:
        wait_until(equal, "source and target equal", 40)
    except AssertionError:
        pytest.fail("\n".join(last[:20]))
    in_log = checker.log_identities(place.session, place.name, table)
    topic = f"{place.name}.{place.name}.{table}"
    in_topic = checker.topic_identities(checker.read_topic(place.stack, topic))
    assert in_log, "the log is empty"
    assert in_log - in_topic == {}, "lost"
    assert in_topic - in_log == {}, "doubled"


@pytest.fixture
def life(place: Place) -> Any:
    """The table, and a worker that replicates it."""
    place.execute("CREATE TYPE $ks.point (x int, y int)")
    place.execute(TABLE)
    daemon = place.daemon("--table", f"{place.name}.life")
    daemon.start()
    daemon.wait_ready()
    return daemon


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("seed", "lists", "ttl"), [(0, False, False), (1, False, True), (2, True, True)]
)
def test_random_lives(place: Place, life: Any, seed: int, *, lists: bool, ttl: bool) -> None:
    """Inserts, updates, nulls, elements, statics, deletes of every kind and batches by chance: rows
    and statics end equal. Without lists and TTLs few are read again, which would hide mistakes.
    """
    workload = Workload(place, seed, lists=lists, ttl=ttl)
    workload.run()
    assert workload.refused < STATEMENTS / 4
    time.sleep(max(TTL_SECONDS) + 1 if ttl else 0)
    expect_equal(place, "life", KEY)
    assert life.stop() == 0


EXPIRING = (
    "INSERT INTO $ks.life (p, c1, c2, a) VALUES (1, 1, 'row', 1) USING TTL 8",
    "INSERT INTO $ks.life (p, c1, c2) VALUES (2, 1, 'marker') USING TTL 8",
    "UPDATE $ks.life USING TTL 8 SET s = 1 WHERE p = 3",
    "UPDATE $ks.life USING TTL 8 SET st['k'] = 1 WHERE p = 4",
    "UPDATE $ks.life USING TTL 8 SET n = n + {1} WHERE p = 5 AND c1 = 1 AND c2 = 'elements'",
    "UPDATE $ks.life USING TTL 8 SET a = 1 WHERE p = 6 AND c1 = 1 AND c2 = 'half'",
    "UPDATE $ks.life SET b = 'stays' WHERE p = 6 AND c1 = 1 AND c2 = 'half'",
    "UPDATE $ks.life USING TTL 8 SET s = 1 WHERE p = 6",
)


@pytest.mark.timeout(300)
def test_what_expires_goes_in_time(place: Place, life: Any) -> None:
    """Rows, markers, cells, elements and statics, of partitions that hold nothing else too, go from
    the target soon after their expiry: about two seconds, and on the busiest machine twenty.
    """
    for statement in EXPIRING:
        place.execute(statement)
    wait_until(lambda: not source_and_target(place, "life", KEY), "all of it in the target", 7)
    before = checker.target_rows(place.stack, place.schema, "life__full", KEY)
    assert len(before) == len(EXPIRING) - 2
    wait_until(lambda: len(checker.source_rows(place.session, place.name, "life", KEY)) == 1, "end")
    wait_until(lambda: not source_and_target(place, "life", KEY), "all of it gone", 20)
