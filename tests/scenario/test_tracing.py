"""Traces of changes, read back from a real Jaeger."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from stackd.jaeger import Jaeger, SpanSeen, Trace

from tests.scenario.conftest import Place
from tests.scenario.daemon import wait_until
from tests.scenario.ending import expect_equal
from tests.scenario.jaeger import jaeger

__all__ = ["jaeger"]

pytestmark = pytest.mark.builds("jaeger")

MakeTable = Callable[[str], None]

PLANTED = "a-value-of-a-row"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _span(trace: Trace, name: str) -> SpanSeen:
    (found,) = [span for span in trace.spans if span.name == name]
    return found


def _us(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


@pytest.mark.timeout(240)
def test_a_change_is_one_trace(place: Place, make_table: MakeTable, jaeger: Jaeger) -> None:
    """A change's way from its window in the log through Kafka to the commit in PostgreSQL is one
    trace, though source and sink are two processes: each part is within the one before it and says
    which rows it is about, and no value of a row is in it.
    """
    place.settings["tracing"] = {"endpoint": jaeger.collector, "ratio": 1}
    make_table("t (id text PRIMARY KEY, v text)")
    for stage in ("source", "sink"):
        place.daemon("--table", f"{place.name}.t", "--stage", stage, instance=stage).start()
    place.execute(f"INSERT INTO $ks.t (id, v) VALUES ('key-{PLANTED}', '{PLANTED}')")
    ((written_us,),) = place.session.execute(f"SELECT WRITETIME(v) FROM {place.name}.t")
    expect_equal(place, "t", ("id",))

    log, topic = f"SELECT {place.name}.t_scylla_cdc_log", f"{place.name}.{place.name}.t"
    commit = f"COMMIT {place.schema}.t"
    found: list[Trace] = []

    def is_there() -> bool:
        found[:] = [t for t in jaeger.traces("publish") if commit in {s.name for s in t.spans}]
        return bool(found)

    wait_until(is_there, "a trace as far as PostgreSQL")
    (trace,) = found
    assert [(span.name, span.parent) for span in trace.spans] == [
        ("publish", None),
        (log, "publish"),
        ("transaction", "publish"),
        (f"send {topic}", "transaction"),
        (f"process {topic}", f"send {topic}"),
        ("prepare", f"process {topic}"),
        (commit, f"process {topic}"),
    ]
    window = _span(trace, log).tags
    assert _us(window["cdcd.window.start"]) <= written_us < _us(window["cdcd.window.end"])
    assert window["db.response.returned_rows"] == 1
    sent, processed = (_span(trace, f"{what} {topic}").tags for what in ("send", "process"))
    assert re.fullmatch(r'\["\d:0-0"\]', sent["cdcd.offsets"])
    assert processed["cdcd.offsets"] == sent["cdcd.offsets"]
    assert _span(trace, commit).tags["db.operation.batch.size"] == 1
    assert PLANTED not in trace.text


@pytest.mark.timeout(240)
def test_a_collector_that_is_away(place: Place, make_table: MakeTable) -> None:
    """Nothing waits for a collector that is not there: changes arrive, and the daemon ends well."""
    place.settings["tracing"] = {"endpoint": "http://127.0.0.1:1", "ratio": 1}
    make_table("t (id text PRIMARY KEY, v text)")
    daemon = place.daemon("--table", f"{place.name}.t")
    daemon.start()
    place.execute("INSERT INTO $ks.t (id, v) VALUES ('a', 'b')")
    expect_equal(place, "t", ("id",))
    assert daemon.stop() == 0, daemon.output
