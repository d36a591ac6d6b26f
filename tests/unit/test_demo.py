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


def test_a_complete_machine_is_told_nothing(tmp_path: Path) -> None:
    """Where all is there nothing is said, and a Python that is missing is."""
    environment = _tools(tmp_path / "bin", "17.0.1", "mvn", "git")
    for python, code in ((sys.executable, 0), ("python-of-no-machine", 1)):
        done = subprocess.run(
            [NEEDS, python], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code
        assert bool(done.stderr) == ("python3-venv" in done.stderr) == bool(code)
