"""An existing table against its target: what differs, and what the policy `evolve` mends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.cqltype import parse
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.sink.comparison import Comparison, Present, compare, formatted, is_wider
from cdcd.sink.schema import Known, judged
from cdcd.sink.statements import evolve
from cdcd.sink.target import EXPIRY, TIMESTAMP, Options, targets_of

TABLE = TableSpec(
    "ks",
    "t",
    (
        Column("id", parse("int"), ColumnKind.PARTITION_KEY),
        Column("n", parse("bigint"), ColumnKind.REGULAR),
        Column("v", parse("text"), ColumnKind.REGULAR),
    ),
)
TARGET = targets_of(TABLE, "s").rows
OWN = [Present(name, formatted(kind)) for name, kind in ((TIMESTAMP, "timestamptz"), *EXPIRY)]
FITTING = [
    Present("id", "integer", takes_null=False),
    Present("n", "bigint"),
    Present("v", "text"),
    *OWN,
]


def compared(*changed: Present, evolves: bool = False) -> Comparison:
    """The comparison of the fitting table with some columns changed or added."""
    columns = {c.name: c for c in [*FITTING, *changed]}
    return compare(TARGET, list(columns.values()), ["id"], evolves=evolves)


def test_a_fitting_table() -> None:
    """Nothing is wrong, and nothing is to be changed."""
    assert compared() == Comparison()


def test_further_columns_are_the_owners() -> None:
    """Columns that take a null, or have a default, are left alone."""
    more = Present("x", "text"), Present("y", "text", takes_null=False, has_default=True)
    assert compared(*more) == Comparison()


@pytest.mark.parametrize("column", ["n", "v", "mine"])
def test_a_null_that_is_not_taken(column: str) -> None:
    """NOT NULL would refuse partial changes: it is a fault, or is dropped by `evolve`."""
    strict = Present(column, {"n": "bigint"}.get(column, "text"), takes_null=False)
    (fault,) = compared(strict).faults
    assert f'column "{column}"' in fault
    assert "NOT NULL" in fault
    assert compared(strict, evolves=True) == Comparison(freed=[column])


def test_a_narrower_type_is_widened_by_evolve_alone() -> None:
    """Otherwise the error names the policy that would."""
    narrow = Present("n", "integer")
    (fault,) = compared(narrow).faults
    assert 'column "n" is integer and must be bigint; `policy = "evolve"` widens it' in fault
    found = compared(narrow, evolves=True)
    assert found == Comparison(retyped=[("n", "bigint")])
    assert (
        evolve(TARGET, found.retyped, ["v"])
        == 'ALTER TABLE "s"."t" ALTER COLUMN "n" TYPE bigint, ALTER COLUMN "v" DROP NOT NULL'
    )


@pytest.mark.parametrize("evolves", [True, False])
def test_another_type_is_refused(*, evolves: bool) -> None:
    """What would lose values is never done; a type that the column may have is named."""
    (fault,) = compared(Present("v", "uuid"), evolves=evolves).faults
    assert 'set `columns."v".type = "uuid"`' in fault
    (fault,) = compared(Present("v", "bytea"), evolves=evolves).faults
    assert fault == 'column "v" is bytea and must be text'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("smallint", "integer"),
        ("integer", "bigint"),
        ("bigint", "numeric"),
        ("real", "double precision"),
        ("character varying(3)", "character varying(4)"),
        ("character varying(3)", "text"),
        ("character varying", "text"),
        ("numeric(4,2)", "numeric"),
        ("numeric(4,2)", "numeric(5,3)"),
    ],
)
def test_wider_types(old: str, new: str) -> None:
    """The wider holds every value of the narrower, and not the other way round."""
    assert is_wider(old, new)
    assert not is_wider(new, old)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bigint", "double precision"),
        ("real", "numeric"),
        ("numeric(4,2)", "numeric(4,3)"),
        ("numeric(4,2)", "character varying(4)"),
        ("character varying(3)", "numeric"),
        ("text", "jsonb"),
        ("uuid", "text"),
    ],
)
def test_types_that_are_not_wider(old: str, new: str) -> None:
    """Where a value could be changed, nothing is done by itself."""
    assert not is_wider(old, new)


@given(st.sampled_from([k for _, k in TARGET.typed_columns]))
def test_no_type_is_wider_than_itself(kind: str) -> None:
    """So that nothing is ever retyped to what it is."""
    assert not is_wider(formatted(kind), formatted(kind))


@pytest.mark.parametrize(
    ("policy", "faults", "notes"),
    [("add", 0, 1), ("evolve", 0, 1), ("ignore", 0, 2), ("fail", 2, 0)],
)
def test_what_a_policy_says_of_a_changed_source(policy: str, faults: int, notes: int) -> None:
    """A dropped column is said, or fails; a new one is added, said, or fails."""
    found, said = judged(TABLE, policy, {"n"}, Known(("id", "v", "gone")))
    assert (len(found), len(said)) == (faults, notes)
    assert all('"gone"' in s or '"n"' in s for s in [*found, *said])


def test_an_unchanged_source_is_nothing_to_say() -> None:
    """No policy minds a source that is as it was, or that is seen for the first time."""
    for policy in ("add", "evolve", "ignore", "fail"):
        assert judged(TABLE, policy, (), Known()) == ([], [])
        assert judged(TABLE, policy, (), Known(("id", "n", "v"))) == ([], [])


def test_a_soft_deleting_target_has_its_column() -> None:
    """`cdc_deleted` takes no null, and that is no fault."""
    target = targets_of(TABLE, "s", Options(soft_delete=True)).rows
    flag = Present("cdc_deleted", "boolean", takes_null=False, has_default=True)
    assert compare(target, [*FITTING, flag], ["id"], evolves=False) == Comparison()
    assert compare(target, FITTING, ["id"], evolves=False).missing == [("cdc_deleted", "boolean")]
