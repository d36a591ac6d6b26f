"""The daemon killed in the middle of many changes, and started again."""

from collections.abc import Callable

import pytest

from tests.scenario.conftest import Place
from tests.scenario.ending import SETTLED_SOON, Writer, expect_equal_and_settled

MakeTable = Callable[[str], None]
CHANGES = 20_000


@pytest.mark.timeout(240)
def test_killed_in_the_middle_of_many_changes(place: Place, make_table: MakeTable) -> None:
    """Of 20,000 changes none is lost and none comes twice, in the topic and in PostgreSQL, and the
    settling pass over them publishes none again.
    """
    place.settings["source"] = SETTLED_SOON
    make_table("items (pk int, ck int, a text, b bigint, PRIMARY KEY (pk, ck))")
    daemon = place.daemon("--table", f"{place.name}.*")
    daemon.start()
    daemon.wait_ready()
    writer = Writer(place, CHANGES)
    writer.start()
    writer.wait_for(CHANGES // 2)
    assert 0 < daemon.published() < CHANGES
    daemon.kill()
    daemon.start()
    writer.finish()
    assert writer.written == CHANGES
    expect_equal_and_settled(place, "items", ("pk", "ck"))
