"""The demo's own comparison and its reading of the sample: a demo that cannot fail is none."""

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from demod import sample
from demod.compare import compare, from_scylla, write_time
from demod.watching import holds, is_whole
from stackd.jaeger import Trace

ROOT = Path(__file__).resolve().parent.parent.parent
NEEDS = ROOT / "deploy" / "local" / "needs.sh"
DEMO = ROOT / "deploy" / "local" / "demo.sh"
KEY = (UUID(int=1),)
OTHER = (UUID(int=2),)
ROW = MappingProxyType({"user_id": KEY[0], "points": 1, "tags": ["a"], "cdc_timestamp": None})


class Address(NamedTuple):
    """As the driver gives a user-defined type."""

    city: str
    rent: Decimal | None


def test_the_sample_has_its_rows() -> None:
    """The sample is 5 users, 5 products and 3 orders, and each row has its own key."""
    found = sample.read((ROOT / "deploy" / "sample" / "app_data.cql").read_text("utf-8"))
    assert {t: len(keys) for t, keys in found.keys.items()} == {
        "users": 5,
        "products": 5,
        "orders": 3,
    }
    assert found.rows == len(found.inserts) == len({k for ks in found.keys.values() for k in ks})
    assert all(len(key) == 2 for key in found.keys["orders"])
    assert not any(";" in statement for statement in [*found.schema, *found.inserts])


def test_equal_sides_are_equal() -> None:
    """Two sides with the same rows are equal, and every row counts."""
    found = compare("users", {KEY: ROW, OTHER: ROW}, {KEY: dict(ROW), OTHER: dict(ROW)})
    assert found.is_equal
    assert found.rows_equal == 2
    assert found.equal_among([KEY, OTHER]) == 2


@pytest.mark.parametrize(
    ("changed", "columns"),
    [
        ({"points": 2}, ["points"]),
        ({"points": True}, ["points"]),
        ({"points": None}, ["points"]),
        ({"tags": ["a", "b"]}, ["tags"]),
        ({"cdc_timestamp": datetime(2025, 1, 1, tzinfo=UTC)}, ["cdc_timestamp"]),
        ({"new": None}, ["new"]),
    ],
)
def test_a_changed_value_is_found(changed: dict[str, Any], columns: list[str]) -> None:
    """A value, a write time or a column that only one side has makes a row different, by name."""
    found = compare("users", {KEY: ROW}, {KEY: {**ROW, **changed}})
    assert not found.is_equal
    assert found.different == {KEY: columns}
    assert found.equal_among([KEY]) == 0


def test_a_row_on_one_side_only_is_found() -> None:
    """A row that is missing and one that is too many are told apart."""
    found = compare("users", {KEY: ROW}, {OTHER: ROW})
    assert (found.missing, found.extra) == ([KEY], [OTHER])
    assert not found.is_equal
    assert found.equal_among([KEY]) == 0


def test_scylla_values_take_the_common_form() -> None:
    """Nested values become the JSON that the target holds; atomic ones stay as they are."""
    address = Address("Porto", Decimal("700.50"))
    assert from_scylla(address) == {"city": "Porto", "rent": "700.50"}
    assert from_scylla({"a": [UUID(int=1), None]}) == {"a": [str(UUID(int=1)), None]}
    assert from_scylla(Decimal("1.0")) == Decimal("1.0")
    assert from_scylla(datetime(2025, 1, 1)) == datetime(2025, 1, 1, tzinfo=UTC)  # noqa: DTZ001  as the driver gives it


def test_the_write_time_is_the_last_one() -> None:
    """A row's write time is the latest of its columns', and none where no column has one."""
    assert write_time([None, 1_000_000, 2_500_000]) == datetime(
        1970, 1, 1, 0, 0, 2, 500_000, tzinfo=UTC
    )
    assert write_time([None]) is None


def _tools(folder: Path, java: str | None, *names: str) -> dict[str, str]:
    """An environment whose PATH has the shell's tools, these programs, and a java of a version."""
    folder.mkdir()
    for name in ("bash", "dirname", "env", "sed", "head", *names):
        (folder / name).symlink_to(shutil.which(name) or "/bin/true")
    if java is not None:
        (folder / "java").write_text(f"#!/bin/sh\necho 'openjdk version \"{java}\"' >&2\n")
        (folder / "java").chmod(0o755)
        (folder / "javac").symlink_to("/bin/true")
    return {"PATH": str(folder)}


@pytest.mark.parametrize(
    ("java", "programs", "packages"),
    [
        (None, ("mvn", "git"), ["openjdk-17-jdk-headless"]),
        ("11.0.2", ("mvn", "git"), ["openjdk-17-jdk-headless"]),
        ("17.0.1", ("git",), ["maven"]),
        ("21", (), ["maven", "git"]),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, java: str | None, programs: tuple[str, ...], packages: list[str]
) -> None:
    """What the machine lacks is said at once, with the command to install it; the end is JSON."""
    environment = _tools(tmp_path / "bin", java, *programs)
    done = subprocess.run(
        [DEMO, sys.executable], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"apt-get install {' '.join(packages)}\n" in done.stderr
    assert json.loads(done.stdout)["passed"] is False


def test_what_the_observed_demo_lacks_is_named(tmp_path: Path) -> None:
    """With OBSERVE=1 it needs more, and says so."""
    environment = _tools(tmp_path / "bin", "17.0.1", "mvn", "git", "go") | {"OBSERVE": "1"}
    done = subprocess.run(
        [NEEDS, sys.executable], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "apt-get install prometheus prometheus-alertmanager\n" in done.stderr


SPANS = ("publish", "SELECT log", "transaction", "send t", "process t", "prepare", "COMMIT t")


def _trace(*names: str, window: str = "") -> Trace:
    """A trace as Jaeger tells it, whose spans are each within the one before."""
    log = {"key": "db.collection.name", "value": "users_scylla_cdc_log"}
    start, _, end = window.partition("/")
    times = {"cdcd.window.start": start, "cdcd.window.end": end}
    tags = [log, *({"key": key, "value": value} for key, value in times.items())] if window else []
    spans = [
        {
            "spanID": str(n),
            "operationName": name,
            "references": [{"refType": "CHILD_OF", "spanID": str(n - 1)}] if n else [],
            "startTime": n,
            "duration": 1,
            "tags": tags if name.startswith("SELECT") else [],
        }
        for n, name in enumerate(names)
    ]
    return Trace.of({"traceID": "a", "spans": spans})


def test_a_trace_that_lacks_a_part_is_not_whole() -> None:
    """A trace counts when every part of the way is there."""
    assert is_whole(_trace(*SPANS))
    for name in SPANS[1:]:
        assert not is_whole(_trace(*(n for n in SPANS if n != name)))
    assert [span.parent for span in _trace(*SPANS[:3]).spans] == [None, "publish", "SELECT log"]


@pytest.mark.parametrize(
    ("written_us", "held"), [(999_999, False), (1_000_000, True), (1_250_000, False)]
)
def test_the_trace_of_a_change_is_told_by_its_window(written_us: int, held: bool) -> None:
    """A trace has a change if a window of the table's log has its time; the end is not in it."""
    window = "1970-01-01T00:00:01.000+00:00/1970-01-01T00:00:01.250+00:00"
    trace = _trace(*SPANS, window=window)
    assert holds(trace, "users", written_us) == held
    assert not holds(trace, "orders", written_us)


def test_a_complete_machine_is_told_nothing(tmp_path: Path) -> None:
    """Where all is there nothing is said, and a Python that is missing is."""
    environment = _tools(tmp_path / "bin", "17.0.1", "mvn", "git")
    for python, code in ((sys.executable, 0), ("python-of-no-machine", 1)):
        done = subprocess.run(
            [NEEDS, python], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code
        assert bool(done.stderr) == ("python3-venv" in done.stderr) == bool(code)
