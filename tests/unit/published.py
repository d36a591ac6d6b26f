"""Changes of a small table, told by key, time and log group."""

from cdcd.model.change import ChangeEvent, Identity, Operation
from cdcd.model.cqltype import parse
from cdcd.model.table import Column, ColumnKind, TableSpec

SPEC = TableSpec(
    "ks",
    "t",
    (
        Column("p", parse("int", {}), ColumnKind.PARTITION_KEY),
        Column("c", parse("int", {}), ColumnKind.CLUSTERING),
        Column("s", parse("int", {}), ColumnKind.STATIC),
        Column("v", parse("int", {}), ColumnKind.REGULAR),
    ),
)
LANES = 4
# A token of each lane.
TOKENS = tuple(-(2**63) + n * 2**62 for n in range(LANES))


def change(
    time_us: int,
    op: Operation = Operation.UPDATE,
    *,
    c: int | None = 0,
    lane: int = 0,
    group: int = 0,
    seq: int = 0,
) -> ChangeEvent:
    """A change of partition 0, which is taken to lie in the lane."""
    return ChangeEvent(
        table=SPEC,
        op=op,
        partition=(lane,),
        clustering=(c,),
        time_us=time_us,
        token=TOKENS[lane],
        identity=Identity(b"s" * 16, group.to_bytes(16, "big"), seq),
        values={},
    )
