"""What `cdcd bench` writes, what it makes of what it has seen, and how that is drawn."""

from collections import Counter, defaultdict
from xml.etree import ElementTree as ET

import pytest

from cdcd.bench.picture import picture
from cdcd.bench.profiles import PROFILES, Step
from cdcd.bench.report import Caught, Held, Report, Sample
from cdcd.bench.times import Times
from cdcd.bench.work import (
    DELETE,
    INSERT,
    KEYS,
    MARKS,
    PROBES,
    UPDATE,
    changes,
    mark_rows,
    probe_row,
)

STEP = Step(100, 10)


def held(waits: list[float], **more: int) -> Held:
    """A step whose samples are spread over it."""
    samples = [Sample(10 * n / len(waits), wait) for n, wait in enumerate(waits)]
    return Held(STEP, 1000, 10.0, samples, **more)


def test_the_work_is_what_it_says() -> None:
    """Half inserts, four in ten updates, one in ten deletes, and a key gets all three in time."""
    kinds: Counter[str] = Counter()
    of_key: defaultdict[object, set[str]] = defaultdict(set)
    for cql, rows in changes(range(20 * KEYS)):
        kinds[cql] += len(rows)
        for row in rows:
            of_key[row[-1] if cql == UPDATE else row[0]].add(cql)
    shares = {cql: count / (20 * KEYS) for cql, count in kinds.items()}
    assert shares == pytest.approx({INSERT: 0.5, UPDATE: 0.4, DELETE: 0.1}, abs=0.01)
    assert len(of_key) == KEYS
    assert sum(len(found) == 3 for found in of_key.values()) > 0.8 * KEYS


def test_marks_and_probes_have_rows_of_their_own() -> None:
    """No change of the work is to a mark or a probe, and no mark is a probe."""
    marks = {row[0] for row in mark_rows(1)}
    probes = {probe_row(number)[0] for number in range(10 * PROBES)}
    assert (len(marks), len(probes)) == (MARKS, PROBES)
    assert not marks & probes
    assert max(marks | probes) < 0


def test_a_probe_is_timed_from_its_acknowledgement() -> None:
    """A sample is the time from the acknowledgement to the row, and never negative."""
    times = Times(0, 100.0)
    times.acknowledged(0, 101.0)
    times.acknowledged(1, 102.0)
    times.seen(*probe_row(0), 101.5)
    times.seen(*probe_row(1), 101.9)
    assert times.samples() == [Sample(1.0, 0.5), Sample(2.0, 0.0)]
    assert times.unseen == 0


def test_a_probe_that_was_overwritten_on_the_way_came_with_the_next() -> None:
    """A row that has a later number has had the former ones; their time is not shortened."""
    times = Times(0, 0.0)
    for number in (3, 3 + PROBES, 4):
        times.acknowledged(number, 1.0)
    times.seen(*probe_row(3 + PROBES), 9.0)
    assert [sample.waited_seconds for sample in times.samples()] == [8.0, 8.0]
    assert times.unseen == 1


def test_rows_of_a_step_before_are_not_this_ones() -> None:
    """What a row still has from an earlier step says nothing of this step's probes."""
    times = Times(PROBES, 0.0)
    times.acknowledged(PROBES, 1.0)
    times.seen(*probe_row(0), 2.0)
    assert times.unseen == 1


@pytest.mark.parametrize(
    ("found", "kept_up"),
    [
        (held([0.2] * 100), True),
        (held([9.0] * 50 + [0.2] * 50), True),
        (held([0.2] * 70 + [6.0] * 30), False),
        (held([0.2] * 100, unseen=1), False),
        (held([]), False),
    ],
)
def test_a_step_is_too_much_when_its_end_is_late(found: Held, *, kept_up: bool) -> None:
    """What was late at first and caught up is no sign of too much; a late end, or none, is."""
    assert found.kept_up == kept_up


def test_nothing_measured_is_nothing() -> None:
    """Figures that the system does not give are null, not 0."""
    report = Report("small", 2, 0.5, Caught(1000, 1.0, 0.5), [held([])]).as_json()
    assert report["backlog"]["changes_per_second"] == 2000
    assert report["backlog"]["cpu_us_per_change"] is None
    assert report["peak_memory_bytes"] is None
    assert report["steps"][0]["p95_seconds"] is None


def test_the_picture_has_every_sample() -> None:
    """It is well-formed, has a dot for each sample within its frame, and each step's rate."""
    report = Report("<small>", 2, 0.5, Caught(1, 1.0, 1.0), [held([0.001, 0.2, 99.0])] * 2)
    drawn = ET.fromstring(picture(report))  # noqa: S314  our own text
    dots = [e for e in drawn.iter() if e.tag.endswith("circle")]
    assert len(dots) == 6
    for dot in dots:
        assert 0 <= float(dot.attrib["cx"]) <= float(drawn.attrib["width"])
        assert 0 <= float(dot.attrib["cy"]) <= float(drawn.attrib["height"])
    assert sum("100/s" in (e.text or "") for e in drawn.iter()) == 2


def test_the_default_is_gentle() -> None:
    """The profile that is taken when none is named asks for the least of all."""
    small = PROFILES["small"]
    for profile in PROFILES.values():
        assert small.backlog_changes <= profile.backlog_changes
        assert small.steps[0].rate_per_second <= profile.steps[0].rate_per_second
