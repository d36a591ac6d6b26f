"""What disturbed scenarios share: writes that go on meanwhile, and one ending: nothing lost and
nothing twice, in the topic and in PostgreSQL.
"""

import threading
import time
from collections import Counter

import pytest
from cassandra.concurrent import execute_concurrent_with_args

from tests.scenario import checker
from tests.scenario.conftest import Place
from tests.scenario.daemon import wait_until


class Background(threading.Thread):
    """Writes beside the test, until all is written or `end`; a failure is the test's to see."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        self._ending = threading.Event()
        self._failed: BaseException | None = None

    def run(self) -> None:
        """Write, and keep what goes wrong."""
        try:
            self._write()
        except BaseException as error:  # noqa: BLE001  carried over to the test's thread
            self._failed = error

    def finish(self) -> None:
        """Wait for its end; raises what went wrong."""
        self.join()
        if self._failed is not None:
            raise self._failed

    def end(self) -> None:
        """Write no more; raises what went wrong."""
        self._ending.set()
        self.finish()

    def _write(self) -> None:
        raise NotImplementedError


class Writer(Background):
    """Writes inserts, updates, row and partition deletes, each round over the same keys."""

    def __init__(self, place: Place, changes: int) -> None:
        super().__init__(place)
        self._changes = changes
        self.written = 0

    def wait_for(self, changes: int) -> None:
        """Return when so many changes are written, or when it has ended."""
        wait_until(lambda: self.written >= changes or not self.is_alive(), f"{changes} writes")

    def _write(self) -> None:
        session, name = self._place.session, self._place.name
        insert = session.prepare(f"INSERT INTO {name}.items (pk, ck, a, b) VALUES (?, ?, ?, ?)")
        update = session.prepare(f"UPDATE {name}.items SET a = ? WHERE pk = ? AND ck = ?")
        delete = session.prepare(f"DELETE FROM {name}.items WHERE pk = ? AND ck = ?")
        sweep = session.prepare(f"DELETE FROM {name}.items WHERE pk = ?")
        step = 500
        for start in range(0, self._changes, 4 * step):
            rows = range(start, start + step)
            for statement, values in (
                (insert, [(i % 997, i % 13, f"first {i}", i) for i in rows]),
                (update, [(f"second {i}", i % 997, i % 13) for i in rows]),
                (delete, [(i % 499, i % 13) for i in rows]),
                (sweep, [(i % 331,) for i in rows]),
            ):
                execute_concurrent_with_args(session, statement, values, concurrency=50)
                self.written += step


# For places whose ending is looked at behind a settling pass: it comes soon, and there is no other.
SETTLED_SOON: dict[str, object] = {"settle_delays_seconds": [4]}


def expect_equal_and_settled(place: Place, table: str, key: tuple[str, ...]) -> None:
    """The ending, and once more behind a settling pass over all of it: a worker that does not know
    what was published, by itself or by another one, publishes it again there.
    """
    expect_equal(place, table, key)
    written = time.time_ns() / 1e9
    running = [daemon for daemon in place.daemons if daemon.is_running]
    for daemon in running:
        wait_until(lambda d=daemon: d.settled_seconds() > written, "a settling pass over all")  # type: ignore[misc]
    expect_equal(place, table, key)


def expect_equal(place: Place, table: str, key: tuple[str, ...]) -> None:
    """The ending of every disruption: the target has the source's rows, and the topic has the
    identity of each delta row once.

    What was late comes with the first settling pass, so both are waited for; what is there twice
    would not go away.
    """
    source = checker.source_rows(place.session, place.name, table, key)
    in_log = checker.log_identities(place.session, place.name, table)
    assert in_log, "the log is empty"
    topic = f"{place.name}.{place.name}.{table}"

    def different() -> list[str]:
        target = checker.target_rows(place.stack, place.schema, table, key)
        return checker.differences(source, target)

    def lost() -> Counter[checker.Identity]:
        in_topic = checker.topic_identities(checker.read_topic(place.stack, topic))
        assert in_topic - in_log == {}, "doubled"
        return in_log - in_topic

    try:
        wait_until(lambda: not different(), "source and target equal")
        wait_until(lambda: not lost(), "every log row in the topic", 150)
    except AssertionError as waited:
        logs = [f"a worker's log:\n{daemon.output[-2000:]}" for daemon in place.daemons]
        pytest.fail("\n".join([f"{waited}", f"lost: {lost()}", *different()[:20], *logs]))
    assert not different()
