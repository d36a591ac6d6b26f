"""Log columns of non-frozen collections and user-defined types. Pure.

Such a column has three in the log: what was put, whether all of it was deleted first, and which
elements were removed (ScyllaDB's manual, "Advanced column types"). Deleted first and then put is an
overwrite with the whole value. An empty collection and a null one are the same thing.
"""

from collections.abc import Callable, Sequence

from cdcd.model.change import AvroValue, Elements
from cdcd.model.cqltype import CqlType, element_type, put_type
from cdcd.model.cqlvalue import Decoder, decoder
from cdcd.model.table import Column

_FIELD_NUMBER = CqlType("smallint")


class MulticellDecoder:
    """Decodes the three log columns of one column."""

    def __init__(self, column: Column) -> None:
        self.name = column.name
        self._put = decoder(put_type(column.type))
        removed = _FIELD_NUMBER if column.type.udt else element_type(column.type)
        self._removed: Decoder = decoder(CqlType("set", (removed,), frozen=True))
        self._whole, self._part = _FORMS.get(column.type.name, (_same, _same))
        self._fields = column.type.fields

    def read(
        self,
        raw: Sequence[bytes | None],
        values: dict[str, AvroValue],
        nulls: list[str],
        elements: dict[str, Elements],
    ) -> None:
        """Sort what the row says of this column: set whole, set to null, changed in part, nothing.

        A user-defined type that was touched is never null in the log, so null fields of it that
        were not removed were not touched.
        """
        put_raw, deleted, removed_raw = raw
        put = None if put_raw is None else self._put(put_raw)
        if deleted is not None:
            whole = None if not put else self._whole(put)
            if whole is None:
                nulls.append(self.name)
            else:
                values[self.name] = whole
        elif put_raw is not None or removed_raw is not None:
            removed = [] if removed_raw is None else self._removed(removed_raw)
            part = None if not put else self._part(put)
            elements[self.name] = Elements(part, tuple(self._named(removed)))

    def image(self, put_raw: bytes | None) -> AvroValue | None:
        """The column's value in an image row, which has no deletes."""
        put = None if put_raw is None else self._put(put_raw)
        return self._whole(put) if put else None

    def _named(self, removed: object) -> list[AvroValue]:
        """Fields by name instead of by number."""
        found: list[AvroValue] = list(removed) if isinstance(removed, list) else []
        if not self._fields:
            return found
        return [self._fields[number] for number in found if isinstance(number, int)]


def _same(put: object) -> object:
    return put


def _list_whole(put: object) -> object:
    """The values in the order of their hidden keys, which is the order of the log's map."""
    return [e["value"] for e in put] if isinstance(put, list) else put


def _udt_whole(put: object) -> object:
    """A user-defined type of nothing but nulls is null, and puts nothing."""
    return put if isinstance(put, dict) and any(v is not None for v in put.values()) else None


_FORMS: dict[str, tuple[Callable[[object], object], Callable[[object], object]]] = {
    "list": (_list_whole, _same),
    "udt": (_udt_whole, _udt_whole),
}
