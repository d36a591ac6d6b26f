"""Where blocking client calls run: one thread for each client, as the clients want it."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import Transient

Result = TypeVar("Result")
# How often a call's deadline is looked at.
_LOOK_SECONDS = 0.5
_Calls = SimpleQueue["tuple[Future[Any], Callable[..., Any], tuple[object, ...]] | None"]


class OneThread:
    """Runs blocking calls one after the other in a thread of their own.

    A call that takes longer than `limit_seconds` is not waited for any more, and no later one is
    made: librdkafka does not always keep the limits that it is given. The thread is a daemon, so
    that a client which never answers does not keep the process from ending.
    """

    def __init__(
        self,
        name: str,
        limit_seconds: float = math.inf,
        deadline: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """`deadline` gives the moment, by the monotonic clock, at which the step that a call is at
        has to be over.
        """
        self._name = name
        self._limit_seconds = limit_seconds
        self._deadline = deadline
        self._calls: _Calls = SimpleQueue()
        self.is_stuck = False
        Thread(target=_serve, args=(self._calls,), name=name, daemon=True).start()

    async def call(self, function: Callable[..., Result], *args: object) -> Result:
        """The function's result. When cancelled it waits for the call to end before it goes: a
        transaction is never left running behind the back of what comes next.

        Raises Transient when the thread is stuck.
        """
        self.require()
        call: Future[Result] = Future()
        self._calls.put((call, function, args))
        future = asyncio.wrap_future(call)
        try:
            await self._ended(future)
        except asyncio.CancelledError:
            await self._ended(future)
            self._look(future)
            raise
        if not future.done():
            self._look(future)
            raise self._stuck()
        return future.result()

    def require(self) -> None:
        """Raise Transient when the thread is stuck."""
        if self.is_stuck:
            raise self._stuck()

    async def _ended(self, future: "asyncio.Future[Any]") -> None:
        """Return when the call is over, or has taken too long."""
        ends = time.monotonic() + self._limit_seconds
        while not future.done():
            left_seconds = min(ends, self._deadline()) - time.monotonic()
            if left_seconds <= 0:
                return
            # Not longer, for the next step may have a deadline of its own.
            await asyncio.wait([future], timeout=min(left_seconds, _LOOK_SECONDS))

    def _look(self, future: "asyncio.Future[Any]") -> None:
        """Nobody has a use for the result any more, or will ever have it."""
        if future.done():
            if not future.cancelled():
                future.exception()
        else:
            self.is_stuck = True
            future.cancel()

    def _stuck(self) -> Transient:
        return Transient(f"Kafka: {self._name}: the client does not answer")

    def close(self) -> None:
        """End the thread, when nothing runs in it any more."""
        self._calls.put(None)


def calls_seconds_max(settings: KafkaSettings) -> float:
    """How long the calls of one transaction may take: by then the brokers have aborted it."""
    return settings.transaction_timeout_seconds + 2 * settings.request_timeout_seconds


def _serve(calls: _Calls) -> None:
    while (item := calls.get()) is not None:
        call, function, args = item
        if not call.set_running_or_notify_cancel():
            continue
        try:
            result = function(*args)
        except BaseException as error:  # noqa: BLE001  it is the caller's
            call.set_exception(error)
        else:
            call.set_result(result)
