"""Which part of a batch to try next, to find what PostgreSQL refuses. Pure.

A part that is refused is halved, and the halves are tried in order, so changes are applied in
their order and one that is alone is found guilty. With k guilty among n that takes at most
2k·log2(n)+1 tries, and each change is tried at most log2(n)+2 times.
"""


class Bisection:
    """The search through `count` changes. `next`, then `good` or `bad`, until `next` is None."""

    def __init__(self, count: int) -> None:
        # The part that comes first is the last one.
        self._pending = [range(count)] if count else []
        self.guilty: list[int] = []

    @property
    def next(self) -> range | None:
        """The part to try."""
        return self._pending[-1] if self._pending else None

    def good(self) -> None:
        """The part was applied."""
        self._pending.pop()

    def bad(self) -> bool:
        """The part was refused; gives whether that was one change, which is guilty."""
        part = self._pending.pop()
        if len(part) == 1:
            self.guilty.append(part.start)
            return True
        middle = part.start + len(part) // 2
        self._pending += [range(middle, part.stop), range(part.start, middle)]
        return False
