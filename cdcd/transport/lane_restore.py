"""What the records of lanes amount to when they are read from their beginning to their ends."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from cdcd.config.settings import KafkaSettings
from cdcd.model.fingerprint import Cell, Fingerprint, Merged
from cdcd.model.lane import Assignment, LaneSet
from cdcd.model.position import Position
from cdcd.model.refresh import Copied, Listed, Request
from cdcd.transport.lane_records import (
    cell_of_key,
    copied_of_key,
    decode_cell,
    decode_copied,
    decode_listed,
    decode_merged,
    decode_position,
    decode_request,
    listed_of_key,
    merged_of_key,
    request_of_key,
    table_of_key,
)
from cdcd.transport.topic_reader import TopicReader

Name = TypeVar("Name")
Value = TypeVar("Value")


@dataclass
class Restoring:
    """What is known of some lanes while they are read; `ends` are the offsets to reach."""

    lanes: frozenset[int]
    ends: dict[int, int] = field(default_factory=dict)
    reached: dict[int, int] = field(default_factory=dict)
    positions: dict[str, dict[int, Position]] = field(default_factory=lambda: defaultdict(dict))
    cells: dict[str, dict[Cell, Fingerprint]] = field(default_factory=lambda: defaultdict(dict))
    merged: dict[str, dict[Cell, Merged]] = field(default_factory=lambda: defaultdict(dict))
    requests: dict[str, Request] = field(default_factory=dict)
    listed: dict[str, Listed] = field(default_factory=dict)
    copied: dict[str, dict[int, Copied]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def is_complete(self) -> bool:
        """Whether every lane was read up to its end."""
        return self.ends.keys() == self.lanes and all(
            self.reached.get(lane, -1) >= end for lane, end in self.ends.items()
        )

    def take(self, lane: int, key: bytes, value: bytes | None) -> None:
        """Take a record in. Raises ConfigurationError for one of a newer cdcd."""
        table, cell, merged = table_of_key(key), cell_of_key(key), merged_of_key(key)
        request_id, listed_id = request_of_key(key), listed_of_key(key)
        if table is not None:
            _keep(self.positions[table], lane, value, decode_position)
        elif cell is not None:
            _keep(self.cells[cell[0]], (lane, cell[1]), value, decode_cell)
        elif merged is not None:
            _keep(self.merged[merged[0]], (lane, merged[1]), value, decode_merged)
        elif request_id is not None:
            _keep(self.requests, request_id, value, partial(decode_request, request_id))
        elif listed_id is not None:
            _keep(self.listed, listed_id, value, partial(decode_listed, listed_id))
        elif (copied := copied_of_key(key)) is not None:
            _keep(self.copied[copied], lane, value, decode_copied)

    def assignment(self, lanes: int) -> Assignment:
        """All of it; `lanes` is how many the pipeline has."""
        return Assignment(
            LaneSet(self.lanes, lanes),
            dict(self.positions),
            tuple(self.requests.values()),
            dict(self.cells),
            tuple(self.listed.values()),
            dict(self.copied),
            dict(self.merged),
        )


def _keep(
    into: dict[Name, Value], name: Name, raw: bytes | None, decode: Callable[[bytes], Value]
) -> None:
    """Take a record in: a value replaces the one before, a tombstone removes it."""
    if raw is None:
        into.pop(name, None)
    else:
        into[name] = decode(raw)


def read_to_ends(settings: KafkaSettings, topic: str, restoring: Restoring) -> None:
    """Read committed records up to the ends. Blocks; raises Transient or Fatal."""
    lanes = restoring.lanes
    with TopicReader.from_beginning(settings, topic, "lanes-again", lanes) as reader:
        while not restoring.is_complete:
            for lane, offset, record in reader.wait():
                restoring.reached[lane] = offset if record is None else offset + 1
                if record is not None:
                    restoring.take(lane, record.key() or b"", record.value())
