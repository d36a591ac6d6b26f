"""What the records of lanes amount to when they are read from their beginning to their ends."""

from collections import defaultdict
from dataclasses import dataclass, field

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
from cdcd.transport.topic_reader import TopicReader, keep_newest


@dataclass
class Restoring:
    """What is known of some lanes while they are read; `ends` are the offsets to reach.

    The newest value of each lane's keys is kept as it came, for most records are superseded by
    others before the end.
    """

    lanes: frozenset[int]
    ends: dict[int, int] = field(default_factory=dict)
    reached: dict[int, int] = field(default_factory=dict)
    newest: dict[tuple[int, bytes], bytes] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every lane was read up to its end."""
        return self.ends.keys() == self.lanes and all(
            self.reached.get(lane, -1) >= end for lane, end in self.ends.items()
        )

    def take(self, lane: int, key: bytes, value: bytes | None) -> None:
        """Take a record in."""
        keep_newest(self.newest, (lane, key), value)

    def assignment(self, lanes: int) -> Assignment:
        """All of it; `lanes` is how many the pipeline has. Raises ConfigurationError for a record
        of a newer cdcd.
        """
        positions: dict[str, dict[int, Position]] = defaultdict(dict)
        cells: dict[str, dict[Cell, Fingerprint]] = defaultdict(dict)
        merges: dict[str, dict[Cell, Merged]] = defaultdict(dict)
        requests: dict[str, Request] = {}
        listings: dict[str, Listed] = {}
        copies: dict[str, dict[int, Copied]] = defaultdict(dict)
        for (lane, key), value in self.newest.items():
            if (table := table_of_key(key)) is not None:
                positions[table][lane] = decode_position(value)
            elif (cell := cell_of_key(key)) is not None:
                cells[cell[0]][lane, cell[1]] = decode_cell(value)
            elif (cell := merged_of_key(key)) is not None:
                merges[cell[0]][lane, cell[1]] = decode_merged(value)
            elif (request_id := request_of_key(key)) is not None:
                requests[request_id] = decode_request(request_id, value)
            elif (listed_id := listed_of_key(key)) is not None:
                listings[listed_id] = decode_listed(listed_id, value)
            elif (copied := copied_of_key(key)) is not None:
                copies[copied][lane] = decode_copied(value)
        return Assignment(
            LaneSet(self.lanes, lanes),
            dict(positions),
            tuple(requests.values()),
            dict(cells),
            tuple(listings.values()),
            dict(copies),
            dict(merges),
        )


def read_to_ends(settings: KafkaSettings, topic: str, restoring: Restoring) -> None:
    """Read committed records up to the ends. Blocks; raises Transient or Fatal."""
    lanes = restoring.lanes
    with TopicReader.from_beginning(settings, topic, "lanes-again", lanes) as reader:
        while not restoring.is_complete:
            for lane, offset, record in reader.wait():
                restoring.reached[lane] = offset if record is None else offset + 1
                if record is not None:
                    restoring.take(lane, record.key() or b"", record.value())
