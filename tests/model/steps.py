"""What may happen between ScyllaDB and the target, by chance: steps of a `Pipeline`."""

from random import Random
from typing import Any

from cdcd.model.refresh import Partition, Row, Scope, StaticRow
from cdcd.source.session import partition_token
from tests.model.pipeline import BEGIN_MS, Pipeline, timeuuid
from tests.model.servers import (
    INSERT,
    PARTITION_DELETE,
    RANGE,
    ROW_DELETE,
    STATIC_UPDATE,
    UPDATE,
    Clustering,
    Elements,
    Part,
    number,
)

STEPS = 30
# By column: names of elements, and values.
NAMES: dict[str, list[Any]] = {
    "l": [timeuuid(n, n) for n in range(3)],
    "m": ["i", "j"],
    "n": [0, 1],
    "t": [0, 1],
}
VALUES: dict[str, list[Any]] = {
    "a": [None, 0, 1, 7],
    "b": [None, "", "x", "ż"],
    "l": [0, 1],
    "m": [0, 1],
    "n": [b""],
    "s": [None, 0, 1],
    "t": [b""],
}


def run(seed: int, count: int = STEPS) -> Pipeline:
    """A run of so many steps that has come to rest."""
    chance, line = Random(seed), Pipeline()
    kinds = ("write", "write", "write", "show", "read", "settle", "ask", "serve", "apply")
    for _ in range(count):
        match chance.choice(kinds):
            case "write":
                write(line, chance)
            case "show":
                show(line, chance.randint(1, 3), of_log=chance.random() < 0.5)
            case "read":
                line.read_first()
            case "settle":
                line.settle()
            case "ask" if chance.random() < 0.2:
                ask(line, chance)
            case "serve":
                line.serve()
            case "apply":
                line.apply(chance.randint(1, 9))
    line.come_to_rest()
    return line


def wrong(line: Pipeline) -> str:
    """What differs from the servers, and nothing where nothing does."""
    if line.published != set(range(len(line.mutations))):
        return "lost"
    expected = line.expected()
    if line.target.rows() != expected.rows():
        return "rows"
    return "" if line.target.statics() == expected.statics() else "statics"


def write(line: Pipeline, chance: Random) -> None:
    """A statement, now or backdated; now and then of the microsecond of the last one."""
    partition = chance.randint(0, 1)
    time_us = line.now_ms * 1000 + 1 - chance.choice([0, 0, 0, 1, 1500, 7000])
    line.now_ms += 1
    if line.mutations and chance.random() < 0.12:
        partition, time_us = line.mutations[-1].partition, line.mutations[-1].time_us
    at = len(line.mutations)
    line.write(partition, max(time_us, BEGIN_MS * 1000), statement(chance))
    shown = chance.choice(["both", "both", "log", "base", "neither"])
    line.show(
        log=[at] if shown in {"both", "log"} else (),
        base=[at] if shown in {"both", "base"} else (),
    )


def show(line: Pipeline, share: int, *, of_log: bool) -> None:
    """The log or the base shows each n-th of the mutations."""
    shown = range(0, len(line.mutations), share)
    line.show(log=shown) if of_log else line.show(base=shown)


def ask(line: Pipeline, chance: Random) -> None:
    """A request for a refresh from outside."""
    key = (number(chance.randint(0, 1)),)
    row = (number(chance.randint(0, 1)), number(chance.randint(0, 1)))
    scopes: list[Scope] = [Row(key, row), StaticRow(key), Partition(key)]
    line.ask(chance.choice(scopes), partition_token(key[0]))


def statement(chance: Random) -> tuple[Part, ...]:
    """A write of a row, of the static row, a delete, or two of these in one batch."""
    row = Part(
        chance.choice([INSERT, UPDATE, UPDATE]),
        _clustering(chance),
        _columns(chance, "ablmn") or {"a": 1},
    )
    static = Part(STATIC_UPDATE, (), _columns(chance, "st") or {"s": 1})
    kind = chance.choice([ROW_DELETE, ROW_DELETE, RANGE, PARTITION_DELETE])
    delete = Part(
        kind,
        _clustering(chance) if kind == ROW_DELETE else (),
        {},
        (_prefix(chance), chance.random() < 0.5, _prefix(chance), chance.random() < 0.5),
    )
    both = [(row, static), (row, delete), (static, delete)]
    return chance.choice([(row,), (row,), (row,), (static,), (delete,), *both])


def _clustering(chance: Random) -> Clustering:
    return chance.randint(0, 1), chance.randint(0, 1)


def _prefix(chance: Random) -> Clustering:
    return _clustering(chance)[: chance.randint(0, 2)]


def _columns(chance: Random, names: str) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for name in names:
        if chance.random() < 0.5:
            continue
        written[name] = chance.choice(VALUES[name])
        if name in NAMES:
            element = chance.choice(NAMES[name])
            put = {element: written[name]}
            written[name] = chance.choice(
                [
                    Elements(clear=True, put={}),
                    Elements(clear=True, put=put),
                    Elements(clear=False, put=put),
                    Elements(clear=False, put={}, removed=(element,)),
                ]
            )
    return written
