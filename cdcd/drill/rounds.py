"""One round of each kind: disturb, and give how long it took until changes arrived again."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager

from cdcd.dlq import desk
from cdcd.dlq.store import Choice
from cdcd.drill import leases, server_rounds, shortage, wall_clock
from cdcd.drill.ground import Ground
from cdcd.model.dead_letter import State

Round = Callable[[Ground, int], Awaitable[float]]
# What a kind lays out before the workers start; gives settings for them, as environment.
Setup = Callable[[Ground], AbstractAsyncContextManager[Mapping[str, str]]]


async def kill(ground: Ground, number: int) -> float:
    """SIGKILL, and the same instance at once again. Every other time it meets a second one while it
    starts, takes its lanes over, or restores them.
    """
    (worker,) = ground.workers
    began = time.monotonic()
    worker.kill()
    worker.start()
    if number % 2:
        await asyncio.sleep(random.uniform(0, ground.recovery_seconds))  # noqa: S311
        began = time.monotonic()
        worker.kill()
        worker.start()
    return await ground.seen(await ground.beat()) - began


async def pause(ground: Ground, number: int) -> float:
    """SIGSTOP until the other worker has taken over. Awake, it may publish nothing in the name of
    the lanes that it had.
    """
    worker = ground.workers[number % 2]
    began = time.monotonic()
    worker.pause()
    try:
        recovered = await ground.seen(await ground.beat())
    finally:
        worker.wake()
    await ground.seen(await ground.beat())
    return recovered - began


async def takeover(ground: Ground, number: int) -> float:
    """SIGKILL, and nobody starts it again until the other worker has taken over."""
    worker = ground.workers[number % 2]
    began = time.monotonic()
    worker.kill()
    recovered = await ground.seen(await ground.beat())
    worker.start()
    await ground.seen(await ground.beat())
    return recovered - began


async def schema(ground: Ground, _number: int) -> float:
    """A column that is added, and written at once."""
    began = time.monotonic()
    return await ground.seen(await ground.beat(await ground.add_column())) - began


# PostgreSQL's text has no NUL, so it refuses these rows; the mended ones it takes.
POISON_ROWS = 20
_POISONED_FROM = 1_000_000
_POISON = "INSERT INTO {t} (pk, ck, a, b) VALUES (?, 0, ?, ?)"
_MEND = "UPDATE {t} SET a = 'mended' WHERE pk = ? AND ck = 0"
_LETTERS = "SELECT count(*) FROM cdcd.dead_letters WHERE pipeline = $1 AND state = ANY ($2)"
_MENDED = 'SELECT count(*) FROM "{s}"."{t}" WHERE pk BETWEEN $1 AND $2 AND a = $3 AND b IS NOT NULL'


async def poison(ground: Ground, number: int) -> float:
    """Rows that PostgreSQL refuses, among those that it takes. Each becomes one dead letter and the
    others go on; mended in the source and replayed, they arrive.
    """
    place = ground.place
    first = _POISONED_FROM + number * POISON_ROWS
    rows = range(first, first + POISON_ROWS)
    await ground.writer.write(_POISON, [(pk, "poison\0", pk) for pk in rows])

    async def count(sql: str, *arguments: object) -> int:
        async with ground.pool.connection() as connection:
            found: int = await connection.fetchval(sql, *arguments)
            return found

    async def refused() -> bool:
        waiting = [State.OPEN.value]
        return await count(_LETTERS, place.pipeline, waiting) == POISON_ROWS

    async def arrived() -> bool:
        sql = _MENDED.format(s=place.schema, t=place.table)
        return await count(sql, rows.start, rows.stop - 1, "mended") == POISON_ROWS

    await ground.until(refused, "the dead letters")
    await ground.seen(await ground.beat())
    await ground.writer.write(_MEND, [(pk,) for pk in rows])
    began = time.monotonic()
    await desk.replay(ground.settings, Choice(place.pipeline))
    await ground.until(arrived, "the rows that were replayed")
    return time.monotonic() - began


ROUNDS: Mapping[str, Round] = {
    "kill": kill,
    "pause": pause,
    "takeover": takeover,
    "clock": wall_clock.clock,
    "poison": poison,
    "schema": schema,
    "connections": shortage.connections,
    "disk": shortage.disk,
    "vault": leases.vault,
    "database": server_rounds.database,
    "broker": server_rounds.broker,
    "cluster": server_rounds.cluster,
    "registry": server_rounds.registry,
    "partition": server_rounds.partition,
    "generation": server_rounds.generation,
    "tablets": server_rounds.tablets,
}
SETUPS: Mapping[str, Setup] = {
    "clock": wall_clock.own_clock,
    "disk": shortage.small_disk,
    "vault": leases.leased,
    "partition": server_rounds.cables,
}
