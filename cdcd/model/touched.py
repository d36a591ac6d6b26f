"""Which part of the base table a change touched, as a refresh can read it. Pure."""

from cdcd.model.change import ChangeEvent, Operation
from cdcd.model.cqlencode import encoder
from cdcd.model.refresh import Key, Partition, Row, Scope, StaticRow
from cdcd.model.table import Column


def touched(event: ChangeEvent) -> Scope:
    """The row, the static row, or for deletes of more than one row the partition."""
    table = event.table
    partition = _serialized(table.partition_key, event.partition)
    if event.op in (Operation.PARTITION_DELETE, Operation.RANGE_DELETE):
        return Partition(partition)
    if event.is_static:
        return StaticRow(partition)
    return Row(partition, _serialized(table.clustering_key, event.clustering))


def _serialized(columns: tuple[Column, ...], values: tuple[object, ...]) -> Key:
    return tuple(encoder(c.type)(v) for c, v in zip(columns, values, strict=True))
