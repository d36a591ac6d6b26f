"""From a table's settings to its targets, with all that is wrong with them. Pure."""

from collections import Counter
from collections.abc import Iterable

from cdcd.config.tables import TableSettings
from cdcd.model.table import TableSpec
from cdcd.model.typemap import Replaced
from cdcd.sink.target import Options, Targets, refused_keys, targets_of

NAME_BYTES_MAX = 63
_RESERVED_PREFIX = "cdc_"
# PostgreSQL's own columns, which every table has (manual, "System Columns").
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})


class WrongMapping(ValueError):
    """Settings or names that no target can have: each reason, one sentence."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


def options_of(table: TableSpec, settings: TableSettings) -> Options:
    """How the table's targets differ from it. A column named nowhere is as in the source."""
    columns = settings.columns
    excluded = {*settings.exclude, *(n for n, c in columns.items() if c.exclude)}
    if settings.include:
        keys = {c.name for c in table.key}
        excluded |= {c.name for c in table.columns} - keys - set(settings.include)
    return Options(
        name=settings.target,
        excluded=frozenset(excluded),
        renames={n: c.rename for n, c in columns.items() if c.rename is not None},
        types={n: c.type for n, c in columns.items() if c.type is not None},
        soft_delete=settings.soft_delete,
        replaced=Replaced(
            nul_characters=settings.nul_characters == "replace",
            not_finite=settings.not_finite == "replace",
            dates=settings.dates_out_of_range == "replace",
        ),
    )


def mapped(table: TableSpec, schema: str, options: Options) -> Targets:
    """The table's targets. Raises WrongMapping with every reason why there can be none."""
    entry = f'[tables."{table.full_name}"]'
    faults = [
        f'column "{c.name}" is of the key and cannot be left out; take it out of `exclude` in the '
        f"settings of {table.full_name}"
        for c in table.key
        if c.name in options.excluded
    ]
    try:
        targets = targets_of(table, schema, options)
    except ValueError as error:
        raise WrongMapping([*faults, f"{error}; set its `type` in {entry}"]) from error
    faults += _long_names(targets, entry)
    faults += _bad_columns(targets, entry)
    if faults:
        raise WrongMapping(faults)
    return targets


def key_notes(targets: Targets) -> list[tuple[str, str]]:
    """Which values of the key are refused, as others look like them there; what to do for each."""
    found = []
    for column, rule in refused_keys(targets):
        source = column.source
        what = (
            f'key column "{source.name}": {rule.says} are refused, since in {column.kind} another '
            "row may look the same"
        )
        entry = f'[tables."{targets.table.full_name}"]'
        mend = f'`columns.{_key(source.name)}.type = "{rule.instead}"` in {entry} holds them all'
        found.append((what, mend if rule.instead else ""))
    return found


def _long_names(targets: Targets, entry: str) -> list[str]:
    names = [target.name for target in targets.all]
    if targets.statics is not None:
        names.append(targets.full_name)
    return [
        f'the target\'s name "{name}" is over {NAME_BYTES_MAX} bytes; set `target` in {entry}'
        for name in names
        if _is_too_long(name)
    ]


def _bad_columns(targets: Targets, entry: str) -> list[str]:
    named = {c.source.name: c.name for t in targets.all for c in (*t.key, *t.columns)}
    found = []
    for source, name in named.items():
        shown = f'column "{source}"' + ("" if source == name else f', named "{name}" in the target')
        why = ""
        if name.startswith(_RESERVED_PREFIX):
            why = f"names that begin with {_RESERVED_PREFIX} are cdcd's own in the target"
        elif name in _SYSTEM_COLUMNS:
            why = "PostgreSQL has a column of that name in every table"
        elif _is_too_long(name):
            why = f"the name is over {NAME_BYTES_MAX} bytes"
        if why:
            found.append(f"{shown}: {why}; set `columns.{_key(source)}.rename` in {entry}")
    for name, count in sorted(Counter(named.values()).items()):
        if count > 1:
            both = " and ".join(f'"{s}"' for s, n in named.items() if n == name)
            found.append(
                f'columns {both} are both "{name}" in the target; set `columns.….rename` in {entry}'
            )
    return found


def _key(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else f'"{name}"'


def _is_too_long(name: str) -> bool:
    return len(name.encode()) > NAME_BYTES_MAX
