"""The board: status, readiness and metrics tell one story."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cdcd.ops.board import Applied, Board
from cdcd.ops.metrics import Metrics
from cdcd.ops.status import StageState, Status, TableState

NOW_MS = 1_700_000_000_000
NOW_US = NOW_MS * 1000


@pytest.fixture
def board() -> Board:
    """An empty board of a stopped clock."""
    return Board("cdcd", "one", clock_ms=lambda: NOW_MS)


def _samples(board: Board) -> dict[str, float]:
    """Each sample by its name and label values."""
    families = text_string_to_metric_families(board.exposition().decode())
    return {
        " ".join([s.name, *s.labels.values()]): s.value
        for family in families
        for s in family.samples
    }


def _running(board: Board) -> Status:
    board.stage("source", StageState.RUNNING)
    return board.snapshot()


def test_published_changes_are_counted_with_their_latency(board: Board) -> None:
    """Published changes appear in status and metrics, each with the age that it had."""
    board.published("ks.t", [NOW_US - 300_000, NOW_US - 5_000_000], NOW_MS)
    assert board.snapshot().tables[0].published == 2
    samples = _samples(board)
    assert samples["cdcd_published_changes_total ks.t"] == 2
    assert samples["cdcd_scylla_to_kafka_seconds_bucket 0.25 ks.t"] == 0
    assert samples["cdcd_scylla_to_kafka_seconds_bucket 0.5 ks.t"] == 1
    assert samples["cdcd_scylla_to_kafka_seconds_bucket +Inf ks.t"] == 2
    assert samples["cdcd_scylla_to_kafka_seconds_sum ks.t"] == pytest.approx(5.3)


def test_applied_batches_are_counted_with_their_latency(board: Board) -> None:
    """An applied batch counts its rows, and each with the latency that it had."""
    board.applied(
        Applied("ks.t", [NOW_US - 900_000, NOW_US - 400_000], [NOW_MS - 100] * 2, NOW_MS, 0.02)
    )
    assert board.snapshot().tables[0].applied == 2
    samples = _samples(board)
    assert samples["cdcd_applied_rows_total ks.t"] == 2
    assert samples["cdcd_end_to_end_seconds_count ks.t"] == 2
    assert samples["cdcd_kafka_to_postgres_seconds_sum ks.t"] == pytest.approx(0.2)
    assert samples["cdcd_batch_rows_sum"] == 2


def test_clocks_that_differ_make_no_negative_latency(board: Board) -> None:
    """A change from the future counts as just written."""
    board.published("ks.t", [NOW_US + 400_000], NOW_MS)
    samples = _samples(board)
    assert samples["cdcd_scylla_to_kafka_seconds_sum ks.t"] == 0
    assert samples["cdcd_scylla_to_kafka_seconds_bucket 0.05 ks.t"] == 1


def test_frontier_grows_old_by_itself(board: Board) -> None:
    """The frontier's age is the one of the moment at which it is asked for."""
    board.frontier("ks.t", NOW_MS - 2000)
    assert board.snapshot().tables[0].lag_seconds == 2.0
    assert _samples(board)["cdcd_frontier_age_seconds ks.t"] == 2.0


def test_lag_while_records_wait_is_the_newest_applied_change(board: Board) -> None:
    """While records wait, the target is as old as the newest change that it has."""
    board.frontier("ks.t", NOW_MS - 1000)
    board.applied(
        Applied("ks.t", [NOW_US - 9_000_000, NOW_US - 7_000_000], [NOW_MS] * 2, NOW_MS, 0.02)
    )
    board.waiting("ks.t", 3)
    assert board.snapshot().tables[0].lag_seconds == 7.0
    assert _samples(board)["cdcd_lag_seconds ks.t"] == 7.0


def test_lag_when_none_wait_is_the_frontier(board: Board) -> None:
    """When all records are applied, an idle table does not seem to lag by its last change."""
    board.applied(Applied("ks.t", [NOW_US - 9_000_000], [NOW_MS], NOW_MS, 0.02))
    board.waiting("ks.t", 0)
    board.frontier("ks.t", NOW_MS - 1000)
    assert board.snapshot().tables[0].lag_seconds == 1.0


def test_sink_alone_without_waiting_records_has_no_lag(board: Board) -> None:
    """A worker that only applies knows no frontier; with nothing left to apply its lag is 0."""
    board.waiting("ks.t", 0)
    assert board.snapshot().tables[0].lag_seconds == 0.0


def test_gravest_word_of_the_stages_is_shown(board: Board) -> None:
    """A table that one stage stopped stays stopped although the other one goes on with it."""
    board.table("ks.t", TableState.STOPPED, "no CDC", stage="source")
    board.table("ks.t", TableState.RUNNING, stage="sink")
    assert board.snapshot().tables[0].state is TableState.STOPPED
    board.table("ks.t", TableState.RUNNING, stage="source")
    assert board.snapshot().tables[0].state is TableState.RUNNING


def test_tables_are_counted_by_state(board: Board) -> None:
    """Each state has its number of tables, also when that is none."""
    board.table("ks.a", TableState.RUNNING)
    board.table("ks.b", TableState.STOPPED, "unknown type")
    samples = _samples(board)
    states = {s.value: samples[f"cdcd_tables {s.value}"] for s in TableState}
    assert states == {"running": 1, "paused": 0, "stopped": 1, "needs_snapshot": 0}


def test_state_keeps_counts(board: Board) -> None:
    """A table that stops keeps what was counted of it."""
    board.published("ks.t", [NOW_US], NOW_MS)
    board.table("ks.t", TableState.STOPPED, "x")
    assert board.snapshot().tables[0].published == 1


def test_nothing_begun_is_not_ready(board: Board) -> None:
    """Before a stage has begun the worker is not ready, and says so."""
    status = board.snapshot()
    assert not status.is_ready
    assert status.reasons == ["no stage has begun"]


@pytest.mark.parametrize("state", [StageState.STARTING, StageState.RETRYING])
def test_stage_that_waits_is_not_ready(board: Board, state: StageState) -> None:
    """A stage that does not run makes the worker not ready, with its reason."""
    board.stage("source", StageState.RUNNING)
    board.stage("sink", state, "PostgreSQL is away")
    status = board.snapshot()
    assert not status.is_ready
    assert status.reasons == [f"stage sink is {state.value}: PostgreSQL is away"]


def test_retry_is_counted_and_shown(board: Board) -> None:
    """A repeated try is in the metrics, and the stage shows what it waits for."""
    board.retried("sink", "PostgreSQL is away")
    assert _samples(board)["cdcd_retries_total sink"] == 1
    assert board.snapshot().stages[0].state is StageState.RETRYING


def test_one_broken_table_among_others_is_ready(board: Board) -> None:
    """One table's failure is a reason to look, not a reason to stop a roll-out."""
    board.table("ks.a", TableState.RUNNING)
    board.table("ks.b", TableState.NEEDS_SNAPSHOT, "the log is gone")
    status = _running(board)
    assert status.is_ready
    assert status.reasons == ["table ks.b is needs_snapshot: the log is gone"]


def test_only_broken_tables_are_not_ready(board: Board) -> None:
    """A worker none of whose tables works is not ready."""
    board.table("ks.b", TableState.STOPPED, "x")
    assert not _running(board).is_ready


def test_paused_tables_are_ready(board: Board) -> None:
    """A table that someone paused is as it should be."""
    board.table("ks.b", TableState.PAUSED)
    assert _running(board).is_ready


def test_metrics_have_base_units_and_help() -> None:
    """Every metric is listed, has a help text, our prefix and no unit but a base one."""
    metrics = Metrics()
    for line in metrics.lines:
        assert line.name.startswith("cdcd_")
        assert line.help_text.endswith(".")
        assert not line.name.endswith(("_ms", "_milliseconds", "_minutes", "_kb"))
        assert line.kind != "counter" or line.name.endswith("_total")
    families = text_string_to_metric_families(metrics.exposition().decode())
    listed = {line.name.removesuffix("_total").removesuffix("_info") for line in metrics.lines}
    assert {f.name.removesuffix("_info") for f in families} == listed
