"""Changes of some elements of a set, a map or a user-defined type. Pure.

A value is seen as cells: members of a set, entries of a map, fields of a type, by the sort key of
what names them, so that they come out in CQL's own order. A change puts some and removes others.
Lists are not here: their elements are named by keys that a target does not have.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from cdcd.model.change import Elements
from cdcd.model.cqlorder import OrderKey, json_order_key, order_key
from cdcd.model.cqltype import CqlType
from cdcd.model.cqlvalue import has_text_keys
from cdcd.model.typemap import NOTHING_REPLACED, Replaced, json_text, to_json


class Cell(NamedTuple):
    """One element: what names it, and its value, None for one that is not there."""

    name: Any
    value: Any


Cells = dict[Any, Cell]


class Patch:
    """What a change leaves of the elements that it touched; their forms are Avro's."""

    __slots__ = ("cells",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, cells: Cells) -> None:
        self.cells = cells

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Patch) and self.cells == other.cells

    def __repr__(self) -> str:
        # Without what it holds: those are a row's values.
        return f"Patch({len(self.cells)} cells)"

    @property
    def puts(self) -> bool:
        """Whether the value has an element afterwards, whatever it was."""
        return any(cell.value is not None for cell in self.cells.values())

    def then(self, later: "Patch") -> "Patch":
        """The change that is this one and then the other."""
        return Patch(self.cells | later.cells)


def patch_of(cql: CqlType, elements: Elements) -> Patch:
    """The change of one event. An element that is both put and removed is removed."""
    cells = _avro_cells(cql, elements.put)
    if cql.udt:
        # A field that is null in what was put was not touched.
        cells = {key: cell for key, cell in cells.items() if cell.value is not None}
    key = _name_key(cql, order_key)
    return Patch(cells | {key(name): Cell(name, None) for name in elements.removed})


def patched(cql: CqlType, value: Any, patch: Patch) -> Any:
    """The value after the change, both in Avro form; None for an empty one."""
    found = _living(_avro_cells(cql, value) | patch.cells)
    if not found:
        return None
    if cql.name == "set":
        return [cell.name for cell in found]
    if cql.udt:
        return dict.fromkeys(cql.fields) | dict(found)
    if has_text_keys(cql):
        return dict(found)
    return [{"key": name, "value": value} for name, value in found]


def json_patcher(
    cql: CqlType, replaced: Replaced = NOTHING_REPLACED
) -> Callable[[str | None, Patch], str | None]:
    """Makes the JSON text after a change from the one before; None for an empty value.

    What it makes raises UnstorableValue where an element that was put cannot be inside of jsonb.
    """
    name_form: Callable[[Any], Any] = str if cql.udt else to_json(cql.args[0], replaced)
    name_key = _name_key(cql, json_order_key)

    def value_form(cell: Cell) -> Any:
        if cell.value is None or cql.name == "set":
            return cell.value
        part = cql.args[cql.fields.index(cell.name)] if cql.udt else cql.args[1]
        return to_json(part, replaced)(cell.value)

    def patch_json(text: str | None, patch: Patch) -> str | None:
        cells = _json_cells(cql, None if text is None else json.loads(text))
        for cell in patch.cells.values():
            name = name_form(cell.name)
            cells[name_key(name)] = Cell(name, value_form(cell))
        return _json_text(cql, _living(cells))

    return patch_json


def _json_text(cql: CqlType, found: list[Cell]) -> str | None:
    if not found:
        return None
    value: Any
    if cql.name == "set":
        value = [cell.name for cell in found]
    elif cql.udt:
        value = dict.fromkeys(cql.fields) | dict(found)
    else:
        value = dict(found) if has_text_keys(cql) else [list(cell) for cell in found]
    return json_text(value)


def _avro_cells(cql: CqlType, value: Any) -> Cells:
    if value is None:
        return {}
    if cql.name == "set":
        pairs: Iterable[tuple[Any, Any]] = ((name, True) for name in value)
    elif cql.udt or has_text_keys(cql):
        pairs = value.items()
    else:
        pairs = ((entry["key"], entry["value"]) for entry in value)
    return _keyed(pairs, _name_key(cql, order_key))


def _json_cells(cql: CqlType, value: Any) -> Cells:
    if value is None:
        return {}
    if cql.name == "set":
        pairs: Iterable[tuple[Any, Any]] = ((name, True) for name in value)
    else:
        pairs = value.items() if isinstance(value, dict) else map(tuple, value)
    return _keyed(pairs, _name_key(cql, json_order_key))


def _keyed(pairs: Iterable[tuple[Any, Any]], key: OrderKey) -> Cells:
    return {key(name): Cell(name, value) for name, value in pairs}


def _living(cells: Cells) -> list[Cell]:
    return [cells[key] for key in sorted(cells) if cells[key].value is not None]


def _name_key(cql: CqlType, order: Callable[[CqlType], OrderKey]) -> OrderKey:
    """The sort key of what names an element, which has to be hashable too."""
    if cql.udt:
        return cql.fields.index
    key = order(cql.args[0])
    return lambda name: _hashable(key(name))


def _hashable(key: Any) -> Any:
    return tuple(map(_hashable, key)) if isinstance(key, list | tuple) else key
