"""Refreshes that a table has yet to serve, the earliest first. Pure."""

import heapq
from collections.abc import Iterable

from cdcd.model.refresh import Request


class Agenda:
    """Requests by when they are due. One that comes twice, under one id, is there once."""

    def __init__(self) -> None:
        self._requests: dict[str, Request] = {}
        self._order: list[tuple[int, str]] = []

    def add(self, request: Request) -> None:
        """Put a request in; one of the same id goes, with its time."""
        if self._requests.get(request.id) != request:
            self._requests[request.id] = request
            heapq.heappush(self._order, (request.due_ms, request.id))

    def due(self, now_ms: int, limit: int) -> list[Request]:
        """The requests whose time has come, at most so many. They stay until they are removed."""
        found: dict[str, Request] = {}
        while self._order and self._order[0][0] <= now_ms and len(found) < limit:
            due_ms, request_id = heapq.heappop(self._order)
            request = self._requests.get(request_id)
            # One whose time was moved away and back is in the order twice.
            if request is not None and request.due_ms == due_ms:
                found[request_id] = request
        for request in found.values():
            heapq.heappush(self._order, (request.due_ms, request.id))
        return list(found.values())

    def remove(self, requests: Iterable[Request]) -> None:
        """Take out requests that were served, but for those that have come again since."""
        for request in requests:
            if self._requests.get(request.id) == request:
                del self._requests[request.id]

    def wait_seconds(self, now_ms: int, limit_seconds: float) -> float:
        """How long until the next one is due, at most the limit."""
        if not self._order:
            return limit_seconds
        return min(limit_seconds, max(self._order[0][0] - now_ms, 0) / 1000)
