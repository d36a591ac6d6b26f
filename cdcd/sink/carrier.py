"""Brings dead letters from their table to their topic, once each. One worker does it at a time.

PostgreSQL says which records are dead, in the transaction that passes them; from there they are
carried. So nothing is in the topic that was not refused in the end, and a crash loses none: what
is not marked as carried is looked up in the topic's own account of it, and then carried.
"""

import asyncio
from contextlib import suppress

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import Transient
from cdcd.ops.board import Board
from cdcd.ops.logs import get_logger
from cdcd.ops.retry import Backoff, retrying
from cdcd.sink import letters
from cdcd.sink.pool import Pool
from cdcd.transport.dead_letter_topic import DeadLetterTopic
from cdcd.transport.topics import Topics, dead_letter_topic

log = get_logger()

# How often to look without being told, and while another worker carries.
LOOK_SECONDS = 10.0
BUSY_SECONDS = 0.5
# Kafka transactions within one PostgreSQL transaction.
ROUNDS_MAX = 20

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('cdcd dead letters ' || $1), 2)"


class Carrier:
    """Carries the dead letters of one pipeline; `instance` is this worker's name."""

    def __init__(
        self, pool: Pool, kafka: KafkaSettings, pipeline: str, instance: str, board: Board
    ) -> None:
        self._pool = pool
        self._kafka = kafka
        self._pipeline = pipeline
        self._instance = instance
        self._board = board
        self._told = asyncio.Event()
        self._counted: set[str] = set()

    def tell(self) -> None:
        """There are new dead letters."""
        self._told.set()

    async def make_topic(self) -> None:
        """Make the topic of dead letters if it is not there; say which of its settings are weak."""
        name, kafka, topics = dead_letter_topic(self._pipeline), self._kafka, Topics(self._kafka)
        await topics.make_dead_letter_topic(name)
        facts = await topics.facts(name)
        limits = kafka.topic_retention_hours, kafka.topic_min_insync_replicas
        for setting in facts.letters_warnings(*limits):
            log.warning("a topic's setting", topic=name, setting=setting)

    async def run(self, pause_seconds_max: float) -> None:
        """Carry what there is and what comes, for ever. Raises what is fatal for all."""
        backoff = Backoff(pause_seconds_max=pause_seconds_max)

        def report(_attempt: int, _pause_seconds: float, error: Transient) -> None:
            log.warning("carrying dead letters failed", exc_info=error)

        while True:
            self._told.clear()
            is_done = await retrying(self._look, backoff, on_retry=report)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS if is_done else BUSY_SECONDS):
                    await self._told.wait()

    async def _look(self) -> bool:
        """Carry what there is; False where there may be more."""
        async with self._pool.connection() as connection:
            waiting = await letters.waiting(connection, self._pipeline)
            found = await letters.to_carry(connection, self._pipeline)
        for table in self._counted | waiting.keys():
            self._board.dead_letters(table, waiting.get(table, 0))
        self._counted |= waiting.keys()
        return await self._carry() if found else True

    async def _carry(self) -> bool:
        async with self._pool.transaction(patient=True) as connection:
            if not await connection.fetchval(_LOCK, self._pipeline):
                return False
            # The topic keeps its own account, so this transaction may be lost in the end.
            async with DeadLetterTopic(self._kafka, self._pipeline, self._instance) as topic:
                for _ in range(ROUNDS_MAX):
                    found = await letters.to_carry(connection, self._pipeline)
                    if not found:
                        return True
                    ends = await topic.carried({(f.topic, f.partition) for f in found.values()})
                    left = [
                        letter
                        for letter in found.values()
                        if letter.offset >= ends.get((letter.topic, letter.partition), 0)
                    ]
                    await topic.carry(left)
                    await letters.carried(connection, found)
                    log.info("dead letters are in the topic", letters=len(left))
        return False
