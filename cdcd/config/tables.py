"""Settings of single tables, and which of them hold for a table. Pure.

`[tables."ks.users"]` names a table, `[tables."ks.*"]` each that the glob takes in, as `--table`
does, and `[tables."*"]` all of a pipeline.
"""

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import Field

from cdcd.config.section import Section
from cdcd.model.errors import ConfigurationError


class ColumnSettings(Section):
    """One column of a table."""

    rename: str | None = Field(None, min_length=1)
    """The column's name in the target."""
    type: str | None = None
    """The column's type in the target, of those that the source's type can be written to."""
    exclude: bool = False
    """Whether the column stays out of the target; one of the key cannot."""
    mask: Literal["drop", "null", "hash"] | None = None
    """What Kafka gets in place of the column's values: no such column, nulls, or keyed hashes."""
    keep_last: int | None = Field(None, ge=1)
    """How many last characters Kafka gets of the column's values, behind asterisks."""


class TableSettings(Section):
    """One table, or all that a glob takes in: `"ks.*"`, and `"*"` for the whole pipeline. Of
    several entries that match, a later one wins setting by setting, and one that is a table's own
    name wins over globs. The environment's form is JSON, in `CDCD_TABLES`.
    """

    target: str = Field("{table}", pattern=r"^([^{}]|\{keyspace\}|\{table\})+$")
    """Name of the target; `{keyspace}` and `{table}` stand for the source's."""
    policy: Literal["add", "evolve", "ignore", "fail"] = "add"
    """What a change of the source's schema does to the target."""
    soft_delete: bool = False
    """Whether deleted rows stay in the target, with `cdc_deleted` true."""
    full_rows: bool = False
    """Whether `after` is the whole row in Kafka; without post-images that costs a read a change."""
    tombstones: bool = False
    """Whether a delete is followed by a record without a value, and the topic is compacted."""
    include: tuple[str, ...] = ()
    """Columns that go to the target beside the key; none named takes all."""
    exclude: tuple[str, ...] = ()
    """Columns that stay out of the target; wins over `include`."""
    nul_characters: Literal["reject", "replace"] = "reject"
    """NUL characters in text, which PostgreSQL cannot hold: refused, or U+FFFD in their place."""
    not_finite: Literal["reject", "replace"] = "reject"
    """NaN and infinities inside of jsonb and in numeric: refused, or text there and null here."""
    dates_out_of_range: Literal["reject", "replace"] = "reject"
    """Dates and timestamps past PostgreSQL's ends: refused, or `-infinity` and `infinity`."""
    columns: dict[str, ColumnSettings] = Field(default_factory=dict)
    """Settings of single columns, by their names in the source."""

    @property
    def named_columns(self) -> frozenset[str]:
        """Every column of the source that is named here for the sink. One that is dropped before
        Kafka is not there for it, and one that is only masked is no matter of the sink.
        """
        others = {
            name
            for name, column in self.columns.items()
            if column.mask == "drop" or column.model_fields_set <= {"mask", "keep_last"}
        }
        return frozenset((*self.include, *self.exclude, *self.columns)) - others


TableEntries = Mapping[str, TableSettings]

_DEFAULTS = TableSettings()


def settings_of(entries: TableEntries, table: str) -> TableSettings:
    """What holds for a table, `keyspace.table`, by all entries that match it."""
    found: dict[str, Any] = {}
    for pattern in _matching(entries, table):
        found = _over(found, entries[pattern].model_dump(exclude_unset=True))
    return TableSettings(**found) if found else _DEFAULTS


def unknown_columns(entries: TableEntries, table: str, columns: Collection[str]) -> list[str]:
    """What the entries that match a table name and it does not have, one sentence each."""
    return [
        f'[tables."{pattern}"] names the column "{name}", which {table} does not have'
        for pattern in _matching(entries, table)
        for name in sorted(entries[pattern].named_columns.difference(columns))
    ]


def require_columns(entries: TableEntries, tables: Mapping[str, Collection[str]]) -> None:
    """Raise ConfigurationError where entries name columns that the tables, by name, do not have."""
    faults = [
        f for name, columns in tables.items() for f in unknown_columns(entries, name, columns)
    ]
    if faults:
        raise ConfigurationError("; ".join(faults), "mend [tables] in the settings")


def _matching(entries: TableEntries, table: str) -> list[str]:
    """The patterns that match, from weak to strong."""
    globs = [p for p in entries if p != table and fnmatchcase(table, p)]
    return [*globs, table] if table in entries else globs


def _over(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    """Both, where the strong one wins value by value."""
    merged = dict(weak)
    for name, value in strong.items():
        before = weak.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            value = _over(before, value)  # noqa: PLW2901  what is merged takes its place
        merged[name] = value
    return merged
