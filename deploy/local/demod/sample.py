"""The sample's statements and the keys of its rows, from the one file that holds them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

Key = tuple[UUID, ...]

_INSERT = re.compile(r"INSERT INTO \w+\.(\w+)")
_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS \w+\.(\w+)")
_UUID = r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
# The key's columns come first in every INSERT, and all of them are uuids.
_KEY = re.compile(rf"VALUES \({_UUID}(?:, {_UUID})?")


@dataclass(frozen=True, slots=True)
class Sample:
    """The statements in order, and what they make: tables, each with its rows' keys."""

    schema: list[str]
    inserts: list[str]
    keys: dict[str, list[Key]]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(map(len, self.keys.values()))


def read(script: str) -> Sample:
    """The sample that a CQL script holds."""
    lines = [line for line in script.splitlines() if not line.startswith("--")]
    statements = [s.strip() for s in re.split(r";\s*\n", "\n".join(lines) + "\n") if s.strip()]
    sample = Sample([], [], {})
    for statement in statements:
        if made := _TABLE.match(statement):
            sample.keys[made[1]] = []
        if inserted := _INSERT.match(statement):
            found = _KEY.search(statement)
            if found is None:
                raise ValueError(f"no key in {statement}")
            sample.keys[inserted[1]].append(tuple(UUID(g) for g in found.groups() if g))
        (sample.inserts if inserted else sample.schema).append(statement)
    return sample
