"""What the race makes of its runs; the runs themselves need servers."""

from pathlib import Path
from typing import Any

import pytest
from stackd import deps
from stackd.errors import StackError

from tests.bench.connect_worker import NotHad, failed_task, source_plugin
from tests.bench.race_connect import Sample
from tests.bench.race_connect import figures_of as figures_of_samples
from tests.bench.race_document import document
from tests.bench.race_page import page, picture
from tests.bench.race_reading import figures_of as figures_of_reading
from tests.bench.race_road import idle_figures, steady_figures
from tests.bench.race_sink import MARK_ROWS, MARKS, between_marks
from tests.bench.race_text import AIMS, LIMITED

FIRST, SECOND = MARKS
ABOUT = {
    "changes": 4000,
    "waiting": 6000,
    "between_marks": 5000,
    "warm_up": 10,
    "warm_up_of_java": 20,
    "rounds": 2,
    "steady_seconds": 60,
    "connect_heap": "1g",
    "cores": 2,
    "load_before": 0.1,
    "load": 0.5,
    "pace": {"median": 1.25, "longest": 1.75},
    "settling": {"cpu_us_per_change": 7.25},
    "idle": {
        "tables": 51,
        "streams_per_table": 768,
        "log_reads_per_second": 80.5,
        "reader_cpu_share": 0.031,
        "database_cpu_share": 0.2,
        "first_change_seconds": 2.5,
        "busy_p50_seconds": 0.3,
        "busy_p95_seconds": 0.5,
    },
}


def _runs(*rates: int, **more: float) -> list[dict[str, Any]]:
    return [
        {
            "changes_per_second": rate,
            "cpu_us_per_change": 1e6 / rate,
            "peak_mb": 100.0,
            "rows_that_differ": number,
        }
        | more
        for number, rate in enumerate(rates)
    ]


def _document() -> dict[str, Any]:
    parts = {
        "reading": {"cdcd": _runs(500, 500), "rust": _runs(2000, 2000)},
        "sink": {"cdcd": _runs(2000, 1000), "connect": _runs(1000, 900)},
        "steady": {"cdcd": _runs(2000, p95_seconds=0.2)},
    }
    return document(parts) | ABOUT | {"not_run": {"Another arm": "it has no road"}}


def test_between_marks() -> None:
    """What lies between the last rows of both marks counts."""
    keys = [5, FIRST, 6, FIRST + MARK_ROWS - 1, 7, SECOND, 8, SECOND + 1, 9]
    assert between_marks(keys) == 4


def test_idle_figures() -> None:
    """Those before the settling passes count, and the page finds all that it tells of."""
    cost = {"log_reads_per_second": 9.0, "reader_cpu_share": 0.1, "database_cpu_share": 0.2}
    found = {
        "tables": 50,
        "streams_per_table": 768,
        "first_readings": cost,
        "with_settling": dict.fromkeys(cost, 1.0),
        "first_change_seconds": 2.0,
        "busy_p50_seconds": 0.1,
        "busy_p95_seconds": 0.2,
    }
    told = idle_figures(found)
    assert told.items() >= cost.items()
    assert "takes 10.0% of a core" in " ".join(page(_document() | {"idle": told}).split())


def test_limits_stand_beside_what_cannot_be_faster() -> None:
    """Each with cdcd's share of it, where that part ran."""
    limit = {"per_second": 4000, "client_cpu_us": 2.5}
    limits = {"load": 0.5, **dict.fromkeys(LIMITED, limit)}
    found = page(_document(), limits)
    assert "| PostgreSQL merges the rows, encoded beforehand | 4,000 | 2.5 | 38% |" in found
    assert "| librdkafka takes the records, in transactions | 4,000 | 2.5 |  |" in found
    assert "The limits" not in page(_document())


def test_document() -> None:
    """Medians are compared, the widest pair of one arm is the noise, and no difference is lost."""
    found = document({"sink": {"cdcd": _runs(2000, 1000), "connect": _runs(1000, 1000)}})
    assert found["cdcd"]["sink"]["changes_per_second"] == 1500
    assert found["ratio"]["sink"] == 1.5
    assert found["ratio"]["cpu"] == pytest.approx(1.33)
    assert found["noise"] == pytest.approx(0.667)
    assert found["cdcd"]["sink"]["rows_that_differ"] == 1


def test_a_lost_part_is_shown_as_lost() -> None:
    """A ratio below one says that cdcd is slower, and what it costs more."""
    ratio = _document()["ratio"]
    assert (ratio["source"], ratio["source_cpu"]) == (0.25, 0.25)
    assert "cdcd's rate is **0.25** times the Rust client's" in page(_document())


def test_an_arm_that_did_not_run() -> None:
    """It is named with the reason, and its ratios are None."""
    found = _document()
    assert "- Another arm: it has no road." in page(found)
    assert {name for name, ratio in found["ratio"].items() if ratio is None} == {
        "catch_up",
        "p95",
        "to_kafka",
        "to_kafka_cpu",
    }
    without = document({"reading": {"cdcd": _runs(500), "rust": []}})
    assert (without["rust"], without["noise"], without["ratio"]["source"]) == (None, None, None)


def test_page() -> None:
    """A part has its section when cdcd ran it, and only then."""
    titles = [line for line in page(_document()).splitlines() if line.startswith("## ")]
    assert titles == [
        "## Log to decoded changes",
        "## Kafka to PostgreSQL",
        "## The whole road, a steady rate",
        "## Idle tables",
        "## What is to be reached",
        "## What did not run",
        "## Where the time goes, and what was tried",
    ]


def test_aims() -> None:
    """Each says whether it is reached, its bound too; one that was not measured says nothing."""
    found = page(_document())
    assert "| Steady rate, p95 in s | at most 0.5 | 0.2 | reached |" in found
    assert "| Sink, rate as a multiple of Debezium's | at least 1.3 | 1.58 | reached |" in found
    assert "| Sink, CPU in µs for each change | at most 10 | 750 | not reached |" in found
    assert "| Road, changes/s | at least 25,000 |  |  |" in found
    assert AIMS[0].is_reached_by(AIMS[0].bound)


def test_page_is_wrapped() -> None:
    """Prose has lines of at most 100 characters, and a list's items stay items."""
    lines = page(_document()).splitlines()
    assert max(len(line) for line in lines) <= 100
    assert (
        "- Neither publishes anything: this is what reading costs, and not a replicator." in lines
    )


def test_noise_of_a_steady_rate() -> None:
    """At a steady rate the waits' difference is told, and it is none of the rates' noise."""
    runs = [_runs(2000, p95_seconds=wait)[0] for wait in (0.1, 0.3)]
    found = document({"steady": {"cdcd": runs}})
    assert (found["noise"], found["noise_of"]) == (None, {"cdcd steady": 1.0})


def test_picture() -> None:
    """A bar for each arm and figure of the parts in which two arms ran."""
    assert picture(_document()).count("<rect") == 1 + 2 * 2 * 3


def test_readers_find_the_same_changes() -> None:
    """A reader that finds more or fewer changes than were written ends the race."""
    run = {
        "changes": 10.0,
        "seconds": 2.0,
        "cpu_seconds": 1e-5,
        "start_up_cpu_seconds": 0.5,
        "peak_mb": 9.5,
    }
    assert figures_of_reading(run, 10) == {
        "changes": 10,
        "changes_per_second": 5,
        "cpu_us_per_change": 1.0,
        "start_up_cpu_seconds": 0.5,
        "peak_mb": 9.5,
    }
    with pytest.raises(AssertionError, match="read 10 changes of 11"):
        figures_of_reading(run, 11)


def test_the_connector_is_timed_behind_its_warm_up() -> None:
    """Rate and CPU are of the last two thirds of the records; what is missing is counted."""
    samples = [
        Sample(0.0, 0, 0.0),
        Sample(5.0, 20, 4.0),
        Sample(6.0, 30, 5.0),
        Sample(7.0, 60, 6.0),
    ]
    assert figures_of_samples(samples, 61) == {
        "changes_per_second": 20,
        "cpu_us_per_change": 50_000.0,
        "changes_missing": 1,
    }
    with pytest.raises(NotHad, match="all of its records came at once"):
        figures_of_samples([samples[0], samples[-1]], 60)


def test_a_failed_task_says_why() -> None:
    """The innermost cause of the first failed task is given, and nothing while all run."""
    running = {"name": "a", "connector": {"state": "RUNNING"}, "tasks": []}
    trace = "org.Outer: gave up\n\tat somewhere\nCaused by: java.lang.Null: a key\n\tat deeper"
    failed = {
        "name": "b",
        "connector": {"state": "RUNNING"},
        "tasks": [{"state": "FAILED", "trace": trace}],
    }
    assert failed_task([running]) is None
    assert failed_task([running, failed]) == "b: java.lang.Null: a key"


def test_a_named_plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the folder holds is one plugin within a folder of plugins; it has to be there."""
    plugin, folder = tmp_path / "some", tmp_path / "race"
    plugin.mkdir()
    folder.mkdir()
    (plugin / "a.jar").touch()
    monkeypatch.setenv("CDCD_RACE_SCYLLA_PLUGIN", str(plugin))
    for _ in range(2):
        assert [p.name for p in source_plugin(folder).glob("*/*")] == ["a.jar"]
    monkeypatch.setenv("CDCD_RACE_SCYLLA_PLUGIN", str(tmp_path / "other"))
    with pytest.raises(NotHad, match="other is no folder"):
        source_plugin(folder)


def test_a_plugin_that_maven_does_not_resolve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a folder and without an artefact the arm is not had."""

    def unresolved(*_: object) -> Path:
        raise StackError("no such artefact")

    monkeypatch.delenv("CDCD_RACE_SCYLLA_PLUGIN", raising=False)
    monkeypatch.setattr(deps, "made", unresolved)
    with pytest.raises(NotHad, match=r"Maven does not resolve com\.scylladb:scylla-cdc-source-con"):
        source_plugin(tmp_path)


def test_steady_figures() -> None:
    """The percentiles are those to the visible row, and changes that nobody saw are counted."""
    found = {
        "changes_per_second": 2000,
        "changes": 100,
        "applied": 99,
        "to_postgres_seconds": {"p50": 0.1, "p95": 0.2, "p99": 0.3},
        "daemon_cpu_us_per_change": 70.0,
        "daemon_peak_mb": 120.0,
    }
    figures = steady_figures(found)
    assert (figures["p95_seconds"], figures["not_seen"]) == (0.2, 1)
