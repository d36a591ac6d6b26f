"""What a source table is: its columns in order, their types, and its CDC options."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from cdcd.model.cqltype import CqlType, UdtFields

LOG_SUFFIX = "_scylla_cdc_log"


class ColumnKind(StrEnum):
    """The kinds of `system_schema.columns.kind`."""

    PARTITION_KEY = "partition_key"
    CLUSTERING = "clustering"
    STATIC = "static"
    REGULAR = "regular"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `descending` is the clustering order and false for all other kinds. `mask` says
    what stands in place of its values, and is empty where they are plain (`cdcd.model.masking`).
    """

    name: str
    type: CqlType
    kind: ColumnKind
    descending: bool = False
    mask: str = ""


@dataclass(frozen=True, slots=True)
class CdcOptions:
    """The table's `cdc` option; see ScyllaDB's manual, "CDC parameters". ttl 0 keeps for ever."""

    enabled: bool
    delta_full: bool = True
    preimage: bool = False
    postimage: bool = False
    ttl_seconds: int = 86400


@dataclass(frozen=True)
class TableSpec:
    """A table as its changes are encoded: key columns first, in key order, then the others by name.

    Two specs are equal exactly when the same schemas, statements and targets serve both.
    """

    keyspace: str
    name: str
    columns: tuple[Column, ...]
    udts: Mapping[str, UdtFields] = field(default_factory=dict, compare=False)

    @property
    def full_name(self) -> str:
        """`keyspace.table`, as people write it and as patterns match it."""
        return f"{self.keyspace}.{self.name}"

    @cached_property
    def partition_key(self) -> tuple[Column, ...]:
        """The partition key columns in key order."""
        return tuple(c for c in self.columns if c.kind is ColumnKind.PARTITION_KEY)

    @cached_property
    def clustering_key(self) -> tuple[Column, ...]:
        """The clustering columns in key order; empty where a partition is one row."""
        return tuple(c for c in self.columns if c.kind is ColumnKind.CLUSTERING)

    @cached_property
    def key(self) -> tuple[Column, ...]:
        """The full primary key in order."""
        return self.partition_key + self.clustering_key

    @cached_property
    def static(self) -> tuple[Column, ...]:
        """Columns that belong to the whole partition."""
        return tuple(c for c in self.columns if c.kind is ColumnKind.STATIC)

    @cached_property
    def regular(self) -> tuple[Column, ...]:
        """Columns that belong to a row and are no part of its key."""
        return tuple(c for c in self.columns if c.kind is ColumnKind.REGULAR)

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """Column by name."""
        return {c.name: c for c in self.columns}
