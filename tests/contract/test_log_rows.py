"""What a statement leaves in the log, for every line of the contract."""

import pytest

from tests.contract.case import Case
from tests.contract.cases import CASES
from tests.contract.conftest import Keyspace

pytestmark = pytest.mark.contract


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_statement_leaves_these_log_rows(shared: Keyspace, case: Case) -> None:
    """The statements of the case leave the rows that the case states, and no others."""
    assert shared.run(case) == case.groups


def test_every_case_has_a_name_of_its_own() -> None:
    """No two cases share a name, so a failure names its case."""
    names = [case.name for case in CASES]
    assert sorted(names) == sorted(set(names))
