"""The lanes topic read from outside: the pipeline's set of tables, and positions for `status`."""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from cdcd.config.settings import KafkaSettings
from cdcd.model.control import Control, Pause
from cdcd.model.errors import ConfigurationError
from cdcd.model.position import Position
from cdcd.ops.logs import get_logger
from cdcd.transport.control import begin_control
from cdcd.transport.lane_records import (
    PAUSES_KEY,
    TABLES_KEY,
    decode_pauses,
    decode_position,
    decode_tables,
    table_of_key,
)
from cdcd.transport.topic_reader import TopicReader
from cdcd.transport.topics import Topics, lanes_topic, table_of_topic

log = get_logger()

_LOST = (
    "its positions are lost: restore a backup, cdcd offsets restore FILE --stage source"
    " (docs/RECOVERY.md); without one begin with another --name and postgres.target_schema"
)


@dataclass
class LaneState:
    """What the lanes say: positions by table and lane, the set of tables (None: never set), and
    what is paused.
    """

    positions: dict[str, dict[int, Position]] = field(default_factory=lambda: defaultdict(dict))
    tables: tuple[str, ...] | None = None
    pauses: tuple[Pause, ...] = ()
    # Where first starts crossed lanes may differ: for every reader the first lane is right.
    tables_lane: int = sys.maxsize

    @property
    def control(self) -> Control:
        """What operators have told the pipeline."""
        return Control(self.tables or (), self.pauses)


async def read_lanes(settings: KafkaSettings, pipeline: str, lanes: int) -> LaneState:
    """Read all lanes to their ends, committed records only. Raises Transient or Fatal."""
    return await asyncio.to_thread(_read, settings, lanes_topic(pipeline), lanes)


def _read(settings: KafkaSettings, topic: str, lanes: int) -> LaneState:
    state = LaneState()
    with TopicReader.from_beginning(settings, topic, "look", range(lanes)) as reader:
        for (lane, key), value in reader.newest().items():
            _take(state, lane, key, value)
    return state


def _take(state: LaneState, lane: int, key: bytes, value: bytes) -> None:
    table = table_of_key(key)
    if table is not None:
        state.positions[table][lane] = decode_position(value)
    elif key == TABLES_KEY and lane <= state.tables_lane:
        state.tables, state.tables_lane = decode_tables(value), lane
    elif key == PAUSES_KEY and lane == 0:
        state.pauses = decode_pauses(value)


async def settle_tables(
    settings: KafkaSettings,
    topics: Topics,
    pipeline: str,
    lanes: int,
    patterns: Sequence[str],
    applied: Sequence[str] = (),
) -> None:
    """Make the pipeline's set of tables the given one, if it has none yet; none given takes any.

    Raises ConfigurationError when the pipeline replicates another set, or has published changes, or
    topics that a target has `applied`, and knows nothing of them: everything that the log retains
    would be published again.
    """
    topic = lanes_topic(pipeline)
    await topics.make_lanes_topic(topic, lanes)
    facts = await topics.facts(topic)
    for setting in facts.lanes_warnings(settings.topic_min_insync_replicas):
        log.warning("a topic's setting", topic=topic, setting=setting)
    wanted = tuple(sorted(set(patterns)))
    state = await read_lanes(settings, pipeline, lanes)
    if not wanted and state.tables is not None:
        return
    if not wanted:
        raise ConfigurationError(
            f"pipeline {pipeline} has no tables yet", "name them: cdcd run --table KS.TABLE"
        )
    if state.tables is None:
        written = await _written(topics, pipeline)
        if written:
            raise ConfigurationError(
                f"the lanes topic {topic} is empty, and there is {min(written)}",
                _LOST,
            )
        if applied:
            raise ConfigurationError(
                f"the lanes topic {topic} is empty, and PostgreSQL has offsets of {min(applied)}",
                _LOST,
            )
        await begin_control(settings, pipeline, lanes, wanted)
        state = await read_lanes(settings, pipeline, lanes)
    if state.tables != wanted:
        raise ConfigurationError(
            f"pipeline {pipeline} replicates {_shown(state.tables)}, not {_shown(wanted)}",
            "cdcd tables add|remove changes the set, without --table it is followed, and --name"
            " gives other tables a pipeline of their own",
        )


async def _written(topics: Topics, pipeline: str) -> list[str]:
    """The pipeline's change topics in which something was published. Empty ones may have been made
    beforehand.
    """
    counts = await topics.partitions()
    mine = [
        (topic, partition)
        for topic, count in counts.items()
        if table_of_topic(pipeline, topic)
        for partition in range(count)
    ]
    return sorted({topic for (topic, _), end in (await topics.ends(mine)).items() if end > 0})


def _shown(tables: tuple[str, ...] | None) -> str:
    return " ".join(tables or ()) or "nothing"
