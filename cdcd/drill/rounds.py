"""One round of each kind: disturb, and give how long it took until changes arrived again."""

import time
from collections.abc import Awaitable, Callable, Mapping

from cdcd.drill.ground import Ground

Round = Callable[[Ground, int], Awaitable[float]]


async def kill(ground: Ground, _number: int) -> float:
    """SIGKILL, and the same instance at once again."""
    (worker,) = ground.workers
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


ROUNDS: Mapping[str, Round] = {"kill": kill, "pause": pause}
