"""Statements of every kind by chance, the same for the same seed.

Values are bound as the bytes that `tests.independent.cql` makes of them, so that every value of
every type can be written, unset ones too. Several clients write what one generator makes; which of
them comes first is up to the machine, and the check asks only what there is in the end.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cassandra.query import UNSET_VALUE

from tests.independent.cql import Cql, encode
from tests.independent.source import Column, Table
from tests.scenario.random_tables import key_of, value

TTL_SECONDS = (2, 4, 600)
BACK_US = (0, 1, 1000, 300_000, 1_500_000, 3_000_000)
TIE_US = 200_000


@dataclass(frozen=True)
class Statement:
    """A text with its bytes to bind."""

    text: str
    bound: tuple[Any, ...]


@dataclass(frozen=True)
class Write:
    """One statement, or a batch of several: `batch` is its kind."""

    statements: tuple[Statement, ...]
    batch: str = ""


@dataclass
class Choices:
    """What a generator may do."""

    ttl: bool = True
    lists: bool = True
    back_us_max: int = max(BACK_US)


@dataclass
class _Draft:
    """A statement in the making."""

    bound: list[Any] = field(default_factory=list)

    def bind(self, cql: Cql, found: Any) -> str:
        """A place for a value; None is null."""
        if found is UNSET_VALUE or found is None:
            self.bound.append(found)
        else:
            self.bound.append(encode(cql, found))
        return "?"


INT, BIGINT = Cql("int"), Cql("bigint")


class Generator:
    """Writes by chance, into tables by chance."""

    def __init__(self, seed: int, tables: list[Table], choices: Choices) -> None:
        self._chance = random.Random(seed)
        self._tables = tables
        self._choices = choices

    def next(self) -> Write:
        """The next write."""
        chance = self._chance
        table = chance.choice(self._tables)
        if chance.random() < 0.15:
            tables = [table, table, chance.choice(self._tables)]
            made = [
                self._one(chance.choice(tables), timed=False) for _ in range(chance.randint(2, 5))
            ]
            return Write(tuple(made), chance.choice(("LOGGED", "UNLOGGED")))
        if chance.random() < 0.06:
            return Write((self._conditional(table),))
        return Write((self._one(table),))

    def _one(self, table: Table, *, timed: bool = True) -> Statement:
        kinds: list[tuple[Callable[[Table, _Draft, bool], str], int]] = [
            (self._insert, 8),
            (self._update, 7),
            (self._elements, 9),
            (self._delete_columns, 2),
            (self._delete_row, 2),
            (self._delete_partition, 1),
        ]
        if table.of("clustering"):
            kinds.append((self._delete_range, 2))
        if table.of("static"):
            kinds += [(self._static, 2), (self._insert_static, 1)]
        draft = _Draft()
        make = self._chance.choices([k for k, _ in kinds], [w for _, w in kinds])[0]
        text = make(table, draft, timed)
        return Statement(text, tuple(draft.bound))

    def _timestamp(self) -> int:
        """Now, a little ago, or a time that other writes share."""
        now_us = time.time_ns() // 1000
        if self._chance.random() < 0.3:
            return now_us // TIE_US * TIE_US
        return now_us - self._chance.choice([b for b in BACK_US if b <= self._choices.back_us_max])

    def _using(self, draft: _Draft, *, timed: bool, ttl: bool = True) -> str:
        parts = []
        if ttl and self._choices.ttl and self._chance.random() < 0.15:
            parts.append(f"TTL {draft.bind(INT, self._chance.choice(TTL_SECONDS))}")
        if timed and self._chance.random() < 0.25:
            parts.append(f"TIMESTAMP {draft.bind(BIGINT, self._timestamp())}")
        return f" USING {' AND '.join(parts)}" if parts else ""

    def _value(self, column: Column, *, null: float = 0.25) -> Any:
        if self._chance.random() < null:
            return None
        return value(self._chance, column.type)

    def _some(self, columns: list[Column], least: int = 1) -> list[Column]:
        most = min(len(columns), 5)
        return self._chance.sample(columns, self._chance.randint(min(least, most), most))

    def _where(self, draft: _Draft, columns: list[Column]) -> str:
        found = zip(columns, key_of(self._chance, columns), strict=True)
        return " AND ".join(f"{name(c)} = {draft.bind(c.type, v)}" for c, v in found)

    def _insert(self, table: Table, draft: _Draft, timed: bool, null: float = 0.25) -> str:
        keys, others = table.key, self._some(table.of("regular", "static"), 0)
        places = [
            draft.bind(c.type, v) for c, v in zip(keys, key_of(self._chance, keys), strict=True)
        ]
        for column in others:
            found = UNSET_VALUE if self._chance.random() < 0.2 else self._value(column, null=null)
            places.append(draft.bind(column.type, found))
        names = ", ".join(name(c) for c in [*keys, *others])
        using = self._using(draft, timed=timed)
        return f"INSERT INTO {full(table)} ({names}) VALUES ({', '.join(places)}){using}"

    def _insert_static(self, table: Table, draft: _Draft, timed: bool) -> str:
        keys, others = table.of("partition_key"), self._some(table.of("static"))
        places = [
            draft.bind(c.type, v) for c, v in zip(keys, key_of(self._chance, keys), strict=True)
        ]
        places += [draft.bind(c.type, self._value(c)) for c in others]
        names = ", ".join(name(c) for c in [*keys, *others])
        using = self._using(draft, timed=timed)
        return f"INSERT INTO {full(table)} ({names}) VALUES ({', '.join(places)}){using}"

    def _update(self, table: Table, draft: _Draft, timed: bool) -> str:
        using = self._using(draft, timed=timed)
        # Nulls often, so that rows vanish by them.
        null = self._chance.choice((0.2, 0.2, 1.0))
        chosen = self._some(table.of("regular"))
        if null == 1.0 and self._chance.random() < 0.3:
            chosen = table.of("regular")
        sets = [f"{name(c)} = {draft.bind(c.type, self._value(c, null=null))}" for c in chosen]
        where = self._where(draft, table.key)
        return f"UPDATE {full(table)}{using} SET {', '.join(sets)} WHERE {where}"

    def _static(self, table: Table, draft: _Draft, timed: bool) -> str:
        using = self._using(draft, timed=timed)
        sets = []
        for column in self._some(table.of("static")):
            if column.type.has_cells and self._chance.random() < 0.6:
                sets.append(self._element(column, draft))
            else:
                sets.append(f"{name(column)} = {draft.bind(column.type, self._value(column))}")
        where = self._where(draft, table.of("partition_key"))
        return f"UPDATE {full(table)}{using} SET {', '.join(sets)} WHERE {where}"

    def _elements(self, table: Table, draft: _Draft, timed: bool) -> str:
        using = self._using(draft, timed=timed)
        cells = [c for c in table.of("regular") if c.type.has_cells]
        sets = [
            self._element(c, draft) for c in self._chance.sample(cells, self._chance.randint(1, 2))
        ]
        where = self._where(draft, table.key)
        return f"UPDATE {full(table)}{using} SET {', '.join(sets)} WHERE {where}"

    def _element(self, column: Column, draft: _Draft) -> str:
        """One change of a part of a collection or user-defined type."""
        chance, cql, quoted = self._chance, column.type, name(column)
        some = cql._replace(is_frozen=True)
        if cql.name == "udt":
            at = chance.randrange(len(cql.args))
            found = None if chance.random() < 0.4 else value(chance, cql.args[at], top=False)
            return f'{quoted}."{cql.fields[at]}" = {draft.bind(cql.args[at], found)}'
        if cql.name == "list":
            # By index the server reads first and may refuse.
            if chance.random() < 0.2:
                return f"{quoted}[0] = {draft.bind(cql.args[0], value(chance, cql.args[0]))}"
            form = chance.choice(("{c} = {c} + {v}", "{c} = {v} + {c}", "{c} = {c} - {v}"))
            return form.format(c=quoted, v=draft.bind(some, value(chance, some)))
        if cql.name == "map":
            if chance.random() < 0.4:
                key = draft.bind(cql.args[0], value(chance, cql.args[0], top=False))
                found = None if chance.random() < 0.4 else value(chance, cql.args[1], top=False)
                return f"{quoted}[{key}] = {draft.bind(cql.args[1], found)}"
            if chance.random() < 0.4:
                keys = Cql("set", (cql.args[0],))
                return f"{quoted} = {quoted} - {draft.bind(keys, value(chance, keys))}"
        sign = "+" if cql.name == "map" or chance.random() < 0.6 else "-"
        return f"{quoted} = {quoted} {sign} {draft.bind(some, value(chance, some))}"

    def _delete_columns(self, table: Table, draft: _Draft, timed: bool) -> str:
        names = ", ".join(name(c) for c in self._some(table.of("regular")))
        using = self._using(draft, timed=timed, ttl=False)
        return f"DELETE {names} FROM {full(table)}{using} WHERE {self._where(draft, table.key)}"

    def _delete_row(self, table: Table, draft: _Draft, timed: bool) -> str:
        using = self._using(draft, timed=timed, ttl=False)
        return f"DELETE FROM {full(table)}{using} WHERE {self._where(draft, table.key)}"

    def _delete_partition(self, table: Table, draft: _Draft, timed: bool) -> str:
        using = self._using(draft, timed=timed, ttl=False)
        where = self._where(draft, table.of("partition_key"))
        return f"DELETE FROM {full(table)}{using} WHERE {where}"

    def _delete_range(self, table: Table, draft: _Draft, timed: bool) -> str:
        """Some clustering columns equal, the next one between bounds or not restricted."""
        using = self._using(draft, timed=timed, ttl=False)
        columns, chance = table.of("clustering"), self._chance
        equal = chance.randrange(len(columns))
        where = self._where(draft, [*table.of("partition_key"), *columns[:equal]])
        bounded, relations = columns[equal], []
        if equal == 0 or chance.random() < 0.7:
            for signs in ((">", ">="), ("<", "<=")):
                if chance.random() < 0.7:
                    bound = draft.bind(bounded.type, key_of(chance, [bounded])[0])
                    relations.append(f" AND {name(bounded)} {chance.choice(signs)} {bound}")
        return f"DELETE FROM {full(table)}{using} WHERE {where}{''.join(relations)}"

    def _conditional(self, table: Table) -> Statement:
        """A write with a condition; it has no timestamp of its own."""
        draft = _Draft()
        if self._chance.random() < 0.5:
            text = f"{self._insert(table, draft, timed=False)}"
            before, using, ttl = text.partition(" USING ")
            return Statement(f"{before} IF NOT EXISTS{using}{ttl}", tuple(draft.bound))
        text = self._update(table, draft, timed=False)
        return Statement(f"{text} IF EXISTS", tuple(draft.bound))


def name(column: Column) -> str:
    """Quoted."""
    return f'"{column.name}"'


def full(table: Table) -> str:
    """With its keyspace."""
    return f'{table.keyspace}."{table.name}"'
