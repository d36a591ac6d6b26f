"""Which changes of a source table its topic and target can follow, and which they cannot. Pure.

Columns that come and go, and fields that user-defined types gain, are followed. A key that changed
is another key for every record before it. A column that was dropped and made again with another
type is another column under an old name: the servers have dropped the old values.
"""

from cdcd.model.errors import TableStopped
from cdcd.model.table import Column, TableSpec


def check_evolution(old: TableSpec, new: TableSpec) -> None:
    """Raise TableStopped where the table as it is now cannot go on under its old topic."""
    why = _key_change(old, new) or _type_change(old, new)
    if why:
        name = new.full_name
        hint = (
            f"begin it anew: cdcd tables remove {name}, delete its topic, its subjects, its"
            f" target and that one's row in cdcd.targets, then cdcd tables add {name}"
        )
        raise TableStopped(name, why, hint, needs_snapshot=True)


def _key_change(old: TableSpec, new: TableSpec) -> str:
    if old.key == new.key:
        return ""
    pairs = list(zip(old.key, new.key, strict=False))
    renamed = [f"{a.name} became {b.name}" for a, b in pairs if a.name != b.name]
    if len(old.key) == len(new.key) and all(_alike(a, b) for a, b in pairs) and renamed:
        return f"its key was renamed: {', '.join(renamed)}"
    return f"its key was ({_listed(old)}) and is ({_listed(new)})"


def _alike(left: Column, right: Column) -> bool:
    return (left.type, left.kind, left.descending) == (right.type, right.kind, right.descending)


def _listed(table: TableSpec) -> str:
    return ", ".join(f"{c.name} {c.type}{' desc' if c.descending else ''}" for c in table.key)


def _type_change(old: TableSpec, new: TableSpec) -> str:
    """A user-defined type is told by its name: it can only have gained fields."""
    changed = [
        f"column {c.name} was {_what(old.by_name[c.name])} and is {_what(c)}"
        for c in new.columns
        if c.name in old.by_name and _what(old.by_name[c.name]) != _what(c)
    ]
    why = "dropped and made again, or masked in another way"
    return f"{'; '.join(changed)}: {why}" if changed else ""


def _what(column: Column) -> str:
    return f"static {column.type}" if column.kind.value == "static" else str(column.type)


def remasked(old: TableSpec, new: TableSpec) -> list[str]:
    """The columns whose values are masked in another way, or with another key, than before."""
    before = {c.name: c.mask for c in old.columns}
    return [c.name for c in new.columns if before.get(c.name, c.mask) != c.mask]
