"""Changes that a target refuses, of every kind that its owner can cause, among good ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cdcd.model.change import ChangeEvent
from tests.integration.feeding import change, table

SPEC = table(
    "poison",
    "p:id int; r:note text; r:amount int; r:needed int; r:code text; r:owner int;"
    " r:price decimal; r:born date; r:status text; r:word text; r:slot int",
)

# What the owner of the target has done to it, and how it is mended.
SPOIL = """
CREATE TABLE {s}.owners (id integer PRIMARY KEY);
INSERT INTO {s}.owners VALUES (1);
CREATE DOMAIN {s}.status AS text CONSTRAINT known CHECK (VALUE IN ('new', 'old'));
CREATE FUNCTION {s}.forbid() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN RAISE EXCEPTION 'the word % is forbidden', NEW.word; END $body$;
ALTER TABLE {s}.poison
    ALTER note TYPE varchar(10),
    ALTER needed SET NOT NULL,
    ALTER price TYPE numeric(5, 2),
    ALTER status TYPE {s}.status,
    ADD CONSTRAINT few CHECK (amount < 1000),
    ADD CONSTRAINT one_code UNIQUE (code),
    ADD CONSTRAINT of_owner FOREIGN KEY (owner) REFERENCES {s}.owners,
    ADD CONSTRAINT one_slot EXCLUDE (slot WITH =);
CREATE TRIGGER forbid BEFORE INSERT OR UPDATE ON {s}.poison
FOR EACH ROW WHEN (NEW.word = 'secret word') EXECUTE FUNCTION {s}.forbid();
"""
MEND = """
DROP TRIGGER forbid ON {s}.poison;
INSERT INTO {s}.owners VALUES (2);
ALTER TABLE {s}.poison
    ALTER note TYPE text,
    ALTER needed DROP NOT NULL,
    ALTER price TYPE numeric,
    ALTER status TYPE text,
    DROP CONSTRAINT few,
    DROP CONSTRAINT one_code,
    DROP CONSTRAINT one_slot;
"""


@dataclass(frozen=True)
class Kind:
    """One kind: what a row has instead of the good values, and what is to be said of it."""

    values: Mapping[str, Any]
    reason: str
    sqlstate: str | None
    constraint: str | None = None
    column: str | None = None
    # What the row has once its source is mended; the others are mended in the target.
    mended: Mapping[str, Any] | None = None


def _decimal(scale: int, digits: int) -> dict[str, Any]:
    return {"scale": scale, "value": digits.to_bytes(8, "big", signed=True)}


KINDS = {
    "nul": Kind({"note": "a\0"}, "unstorable", None, column="note", mended={"note": "a"}),
    "far date": Kind({"born": 2**31 - 1}, "unstorable", None, column="born", mended={"born": 1}),
    "check": Kind({"amount": 1000}, "constraint", "23514", "few"),
    "not null": Kind({"needed": None}, "constraint", "23502", column="needed"),
    "unique": Kind({"code": "0"}, "constraint", "23505", "one_code"),
    "foreign key": Kind({"owner": 2}, "constraint", "23503", "of_owner"),
    "exclusion": Kind({"slot": 0}, "constraint", "23P01", "one_slot"),
    "domain": Kind({"status": "secret"}, "constraint", "23514", "known"),
    "overflow": Kind({"price": _decimal(0, 123_456)}, "data", "22003"),
    "too long": Kind({"note": "secret text of one"}, "data", "22001"),
    "trigger": Kind({"word": "secret word"}, "trigger", "P0001"),
}
NAMES = list(KINDS)


def good(number: int) -> dict[str, Any]:
    """Values that the target takes; those of row 0 are taken."""
    return {
        "note": f"n{number}",
        "amount": number % 1000,
        "needed": number,
        "code": str(number),
        "owner": 1,
        "price": _decimal(2, number % 1000),
        "born": number % 1000,
        "status": "new",
        "word": "fine",
        "slot": number,
    }


def kind_of(number: int, every: int) -> str | None:
    """Which kind of poison a row is, if any: each `every`-th one, the kinds in turn."""
    return NAMES[number // every % len(NAMES)] if number % every == every - 1 else None


def row(number: int, every: int, *, mended: bool = False) -> dict[str, Any]:
    """The values of a row as its source has them."""
    name = kind_of(number, every)
    if name is None:
        return good(number)
    kind = KINDS[name]
    return {**good(number), **kind.values, **((mended and kind.mended) or {})}


def changes(numbers: range, every: int) -> Iterator[ChangeEvent]:
    """Inserts of these rows."""
    for number in numbers:
        yield change(SPEC, "c", (number,), row(number, every), token=number)
