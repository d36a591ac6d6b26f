"""Where blocking client calls run: one thread for each client, as the clients want it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import Transient

Result = TypeVar("Result")
_Calls = SimpleQueue["tuple[Future[Any], Callable[..., Any], tuple[object, ...]] | None"]


class OneThread:
    """Runs blocking calls one after the other in a thread of their own.

    A call that takes longer than `limit_seconds` is not waited for any more, and no later one is
    made: librdkafka does not always keep the limits that it is given. The thread is a daemon, so
    that a client which never answers does not keep the process from ending.
    """

    def __init__(self, name: str, limit_seconds: float | None = None) -> None:
        self._name = name
        self._limit_seconds = limit_seconds
        self._calls: _Calls = SimpleQueue()
        self.is_stuck = False
        Thread(target=_serve, args=(self._calls,), name=name, daemon=True).start()

    async def call(self, function: Callable[..., Result], *args: object) -> Result:
        """The function's result. When cancelled it waits for the call to end before it goes: a
        transaction is never left running behind the back of what comes next.

        Raises Transient when the thread is stuck.
        """
        if self.is_stuck:
            raise self._stuck()
        call: Future[Result] = Future()
        self._calls.put((call, function, args))
        future = asyncio.wrap_future(call)
        try:
            done, _ = await asyncio.wait([future], timeout=self._limit_seconds)
        except asyncio.CancelledError:
            await asyncio.wait([future], timeout=self._limit_seconds)
            self._look(future)
            raise
        if not done:
            self._look(future)
            raise self._stuck()
        return future.result()

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
    """How long the calls of one transaction may take: by then the brokers have aborted it.

    With the brokers cut off `send_offsets_to_transaction` was seen to stand for a minute and more,
    where its limit was ten seconds (librdkafka 2.16).
    """
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
