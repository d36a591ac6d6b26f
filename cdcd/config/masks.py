"""The masks of a table's columns, as the settings say them. Pure."""

from collections.abc import Collection, Iterable, Mapping

from cdcd.config.settings import MaskingSettings
from cdcd.config.tables import TableEntries, settings_of
from cdcd.model.errors import ConfigurationError
from cdcd.model.masking import Mask, faults
from cdcd.model.table import TableSpec


def masks_of(entries: TableEntries, table: str) -> Mapping[str, Mask]:
    """The masks by column of a table, `keyspace.table`.

    Raises ConfigurationError for a column with two of them.
    """
    found: dict[str, Mask] = {}
    for name, column in settings_of(entries, table).columns.items():
        if column.mask and column.keep_last:
            raise ConfigurationError(
                f'{table}: column "{name}" has both mask and keep_last', "one of them is enough"
            )
        if column.mask:
            found[name] = Mask(column.mask)
        elif column.keep_last:
            found[name] = Mask("keep_last", column.keep_last)
    return found


def key_of(settings: MaskingSettings, masks: Collection[Mask]) -> bytes:
    """The key that the masks need; empty where none does. Raises ConfigurationError."""
    if all(mask.kind != "hash" for mask in masks):
        return b""
    if settings.key is None:
        raise ConfigurationError(
            "a column is to be hashed, and there is no key", "set [masking] key, a secret"
        )
    return settings.key.get_secret_value().encode()


def check_masks(
    entries: TableEntries, settings: MaskingSettings, tables: Iterable[TableSpec]
) -> None:
    """Raise ConfigurationError with all that is wrong with the masks of these tables.

    A column that a table's own entry masks must be there: a misspelt one would be published as it
    is.
    """
    wrong: list[str] = []
    for table in tables:
        name = table.full_name
        masks = masks_of(entries, name)
        key_of(settings, masks.values())
        found = faults(table, masks)
        own = masks.keys() & (entries[name].columns if name in entries else {})
        found += [f'column "{c}" is not there' for c in sorted(own - table.by_name.keys())]
        wrong += [f"{name}: {fault}" for fault in found]
    if wrong:
        raise ConfigurationError(f"masks that cannot be: {'; '.join(wrong)}", "see [tables]")
