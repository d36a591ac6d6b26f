"""What is compared: the rows, or the static rows, of one table and their target."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

from cdcd.model.cqlvalue import decoder
from cdcd.model.refresh import Request, Row, Scope, StaticRow
from cdcd.model.table import TableSpec
from cdcd.model.typemap import UnstorableValue, to_json
from cdcd.reconcile.digest import Key, RowForm
from cdcd.sink.target import Target, Targets
from cdcd.source.decode import serialized_key
from cdcd.source.session import partition_token


@dataclass(frozen=True)
class Part:
    """One target and the columns of the source that it holds."""

    table: TableSpec
    target: Target

    @property
    def name(self) -> str:
        """How it is called, as in `cdcd.targets`."""
        return self.table.full_name + (" (static)" if self.target.is_static else "")

    @cached_property
    def form(self) -> RowForm:
        """How its rows are digested."""
        return RowForm(self.target.key, self.target.columns)

    @cached_property
    def partition_size(self) -> int:
        """How many columns of the key are the partition's."""
        return len(self.table.partition_key)

    @cached_property
    def _partition_form(self) -> RowForm:
        return RowForm(self.target.key[: self.partition_size], ())

    @cached_property
    def has_tokens(self) -> bool:
        """Whether a row's token can be told from the target's row."""
        return self._partition_form.is_exact

    def token(self, cql_key: Key) -> int:
        """The token of a row's partition, by its key in the source."""
        return partition_token(serialized_key(cql_key[: self.partition_size]))

    def place(self, key: Key) -> int:
        """Where a row lies among the buckets, by its key in the target."""
        partition = key[: self.partition_size]
        if self.has_tokens:
            return self.token(self._partition_form.cql_key(partition))
        joined = b"\x1f".join(partition)
        return int.from_bytes(blake2b(joined, digest_size=8).digest(), "big", signed=True)

    def scope(self, cql_key: Key) -> Scope:
        """What a refresh of the row reads."""
        if self.target.is_static:
            return StaticRow(cql_key)
        return Row(cql_key[: self.partition_size], cql_key[self.partition_size :])

    def request(self, cql_key: Key, request_id: str) -> Request:
        """The wish for a refresh of the row."""
        scope, token = self.scope(cql_key), self.token(cql_key)
        return Request(request_id, self.table.full_name, scope, token)

    def shown_key(self, cql_key: Key) -> Mapping[str, Any]:
        """The key for people and for JSON."""
        return {
            column.name: _shown(column.source.type, raw)
            for column, raw in zip(self.target.key, cql_key, strict=True)
        }


def _shown(cql: Any, raw: bytes) -> Any:
    try:
        return to_json(cql)(decoder(cql)(raw))
    except UnstorableValue:
        return f"0x{raw.hex()}"


def parts_of(table: TableSpec, targets: Targets) -> list[Part]:
    """The parts of a table. What is masked is not compared: the target has other values."""
    return [
        Part(table, replace(target, columns=tuple(c for c in target.columns if not c.source.mask)))
        for target in targets.all
    ]
