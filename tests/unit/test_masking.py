"""What of masked columns is published, in every part of a change, and which masks cannot be."""

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest

from cdcd.config.masks import check_masks, key_of, masks_of
from cdcd.config.settings import MaskingSettings
from cdcd.config.tables import ColumnSettings, TableSettings
from cdcd.model.change import ChangeEvent, Elements, Operation
from cdcd.model.errors import ConfigurationError
from cdcd.model.masking import Mask, Masker, keep_last, key_id_of
from cdcd.model.refresh import Copied, Request, Row
from cdcd.transport.lanes import uncopied
from cdcd.transport.schema import table_from_schema, value_schema
from tests.unit.tables import table

KEY = b"a key of sixteen or more"
PERSON = table(
    {
        "p:id": "int",
        "r:age": "int",
        "r:card": "text",
        "r:email": "text",
        "r:name": "text",
        "r:tags": "set<text>",
    }
)
MASKS = {
    "age": Mask("hash"),
    "card": Mask("keep_last", 4),
    "email": Mask("hash"),
    "name": Mask("drop"),
    "tags": Mask("null"),
}
SECRETS: dict[str, Any] = {
    "age": 77,
    "card": "4000123412341234",
    "email": "me@example.org",
    "name": "Me",
    "tags": ["planted"],
}


def event(op: str = "u", values: dict[str, Any] | None = None, **more: Any) -> ChangeEvent:
    """A change of a person."""
    return ChangeEvent(
        PERSON,
        Operation(op),
        (1,),
        (),
        time_us=1,
        token=0,
        identity=None,
        values=values or {},
        **more,
    )


def masker() -> Masker:
    return Masker(PERSON, MASKS, KEY)


def test_every_part_of_a_change_is_masked_alike() -> None:
    """Values, images before and after: none of them shows what the others hide."""
    masked = masker().event(event(values=SECRETS, before=SECRETS, after=SECRETS))
    assert masked.values == masked.before == masked.after
    assert masked.values == {
        "age": hmac.new(KEY, (77).to_bytes(4, "big"), hashlib.sha256).hexdigest(),
        "card": "*" * 12 + "1234",
        "email": hmac.new(KEY, b"me@example.org", hashlib.sha256).hexdigest(),
    }
    assert "planted" not in repr(masked)


def test_elements_of_a_masked_column_go() -> None:
    """What was put into and removed from a masked collection is not published."""
    change = event(elements={"tags": Elements(["planted"], ("gone",))}, nulls=("name", "age"))
    masked = masker().event(change)
    assert masked.elements == {}
    assert masked.nulls == ("age",)


def test_null_stays_null() -> None:
    """A null has no hash: that a value is absent is no secret, and consumers count on it."""
    assert masker().row({"email": None}) == {"email": None}


def test_types_follow_the_masks() -> None:
    """A hash or last characters are text, a dropped column is not there, others are as they were;
    the schema says which masks and which key, and reads back.
    """
    shown = masker().table
    assert [(c.name, str(c.type), c.mask) for c in shown.columns] == [
        ("id", "int", ""),
        ("age", "text", f"hash:{key_id_of(KEY)}"),
        ("card", "text", "keep_last:4"),
        ("email", "text", f"hash:{key_id_of(KEY)}"),
        ("tags", "set<text>", "null"),
    ]
    assert table_from_schema(value_schema(shown, "x.ks.t")) == shown


def test_a_key_id_tells_keys_apart() -> None:
    """Another key has another id, and the id has nothing of the key."""
    assert key_id_of(KEY) != key_id_of(KEY + b"!")
    assert len(key_id_of(KEY)) == 8
    assert KEY.hex()[:8] != key_id_of(KEY)


@pytest.mark.parametrize(
    ("text", "shown"), [("12345", "*2345"), ("1234", "****"), ("1", "*"), ("", "")]
)
def test_a_short_value_shows_nothing(text: str, shown: str) -> None:
    """A value that is no longer than what is kept would be shown whole, so it is not."""
    assert keep_last(text, 4) == shown


@pytest.mark.parametrize(
    ("column", "mask", "why"),
    [
        ("id", Mask("hash"), "a key cannot be masked"),
        ("id", Mask("drop"), "a key cannot be masked"),
        ("tags", Mask("hash"), "is not frozen"),
        ("tags", Mask("keep_last", 2), "is not frozen"),
    ],
)
def test_masks_that_cannot_be(column: str, mask: Mask, why: str) -> None:
    """Keys, and parts of what changes element by element, cannot be masked."""
    with pytest.raises(ValueError, match=why):
        Masker(PERSON, {column: mask}, KEY)


def test_last_characters_need_text() -> None:
    """A type without a text of its own has no last characters; a frozen one can be hashed whole."""
    some = table({"p:id": "int", "r:at": "timestamp", "r:list": "frozen<list<int>>"})
    with pytest.raises(ValueError, match="has no last characters"):
        Masker(some, {"at": Mask("keep_last", 2)}, KEY)
    made = Masker(some, {"list": Mask("hash")}, KEY)
    assert len(str(made.row({"list": [1, 2]})["list"])) == 64
    assert made.row({"list": [1, 2]}) != made.row({"list": [12]})


@pytest.mark.parametrize(
    ("change", "hidden"),
    [
        (event("u", {"name": "x"}), True),
        (event("u", {}, nulls=("name",)), True),
        (event("u", {}, nulls=("name", "email")), True),
        (event("u", {}, elements={"tags": Elements(["x"], ())}), True),
        (event("u", {"name": "x", "email": "y"}), False),
        (event("u", {"email": "y"}), False),
        (event("u", {}, nulls=("email",)), False),
        (event("c", {"name": "x"}), False),
        (event("r", {"name": "x"}), False),
        (event("u", {"name": "x"}, is_late=True), False),
    ],
)
def test_what_hides_whether_there_is_a_row(change: ChangeEvent, hidden: bool) -> None:
    """An update of which no live column is left does not say whether the row is there."""
    assert masker().hides_life(change) is hidden


def test_settings_say_the_masks() -> None:
    """Masks come from the table's columns; a hash needs a key, and only one mask fits a column."""
    entries = {
        "ks.*": TableSettings(columns={"email": ColumnSettings(mask="hash")}),
        "ks.t": TableSettings(columns={"card": ColumnSettings(keep_last=4)}),
    }
    masks = masks_of(entries, "ks.t")
    assert masks == {"email": Mask("hash"), "card": Mask("keep_last", 4)}
    with pytest.raises(ConfigurationError, match="there is no key"):
        key_of(MaskingSettings(), masks.values())
    assert key_of(MaskingSettings(), [Mask("null")]) == b""
    both = {"ks.t": TableSettings(columns={"a": ColumnSettings(mask="null", keep_last=1)})}
    with pytest.raises(ConfigurationError, match="both mask and keep_last"):
        masks_of(both, "ks.t")


def test_wrong_masks_are_refused_at_the_start() -> None:
    """A masked key and a misspelt column end the start; a glob's column may be absent."""
    entries = {
        "*": TableSettings(columns={"nowhere": ColumnSettings(mask="drop")}),
        "ks.t": TableSettings(
            columns={"id": ColumnSettings(mask="drop"), "emial": ColumnSettings(mask="drop")}
        ),
    }
    with pytest.raises(ConfigurationError) as caught:
        check_masks(entries, MaskingSettings(), [PERSON])
    assert 'ks.t: column "id" is part of the key' in caught.value.message
    assert '"emial" is not there' in caught.value.message
    assert "nowhere" not in caught.value.message


COPY = Copied("ks.person", 0, "run", rows=1, began_ms=100, ended_ms=200)


def test_lanes_copied_with_the_masks_that_they_have_are_right() -> None:
    """A lane is right when its last copy began after the masks became others, and was not cut
    short; without other masks than the first ones every lane is.
    """
    cancelled = replace(COPY, left=Request("id", "ks.person", Row((b"",), ()), 0))
    copied = {0: COPY, 1: replace(COPY, began_ms=99), 2: cancelled}
    assert uncopied(range(4), copied, 99) == {1, 2, 3}
    assert uncopied(range(4), {}, 0) == frozenset()
