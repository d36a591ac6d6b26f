"""How fast a copy of a table is under the stream of its changes, and how late these are meanwhile.

    python -m tests.bench.snapshot [ROWS [CHANGES_PER_SECOND]]

Starts the local stack if need be and a daemon of its own. The changes hit the rows that are copied.
Beside it stands the driver's own scan of the table, in the same run.
"""

import asyncio
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from cassandra.concurrent import execute_concurrent_with_args

from tests import stack as local
from tests.bench.latency import Times, follow_table, follow_topic, road_of_cdcd, summary
from tests.bench.verify import FILL_TRIES
from tests.scenario.conftest import Place, connected
from tests.scenario.copies import backfill
from tests.scenario.daemon import wait_until

ROWS = 50_000
RATE_PER_SECOND = 500
# No change has this number: a row that none of them has hit.
UNTOUCHED = -1_000_000
TOTAL_MAX = 10_000_000


def fill(place: Place, rows: int) -> None:
    """Rows of which the log knows nothing; what a busy server does not take is written again."""
    insert = place.session.prepare(f"INSERT INTO {place.name}.bench (id, n, v) VALUES (?, ?, ?)")
    left = [(n, UNTOUCHED, f"an old row {n}") for n in range(rows)]
    for _ in range(FILL_TRIES):
        done = execute_concurrent_with_args(
            place.session, insert, left, concurrency=16, raise_on_first_error=False
        )
        left = [row for row, (ok, _) in zip(left, done, strict=True) if not ok]
    assert not left, f"the source did not take {len(left)} rows"


def scan(place: Place) -> float:
    """Seconds of the driver's own full scan."""
    began = time.monotonic()
    assert sum(1 for _ in place.session.execute(f"SELECT * FROM {place.name}.bench")) > 0
    return time.monotonic() - began


def write(place: Place, times: Times, rows: int, rate: int, ending: threading.Event) -> None:
    """Write changes at an even pace until told to end; an acknowledgement sets the time."""
    statement = place.session.prepare(f"INSERT INTO {place.name}.bench (id, n, v) VALUES (?, ?, ?)")
    began = time.monotonic()
    for number in range(TOTAL_MAX):
        if ending.wait(max(began + number / rate - time.monotonic(), 0)):
            return
        values = (number * 7919 % rows, number, f"value {number}")
        future = place.session.execute_async(statement, values)
        future.add_callback(lambda _, n=number: times.written.__setitem__(n, time.monotonic()))


def measure(place: Place, rows: int, rate: int) -> None:
    """One run, printed."""
    place.execute("CREATE TABLE $ks.bench (id int PRIMARY KEY, n int, v text)")
    fill(place, rows)
    scanned = rows / scan(place)
    place.execute("ALTER TABLE $ks.bench WITH cdc = {'enabled': true}")
    table, road = f"{place.name}.bench", road_of_cdcd(place)
    road.start()
    times, ending, done = Times(), threading.Event(), threading.Event()
    following = (times, TOTAL_MAX, done)
    threads = [
        threading.Thread(target=follow_topic, args=(place, road.topic, *following)),
        threading.Thread(target=lambda: asyncio.run(follow_table(place, road.table, *following))),
        threading.Thread(target=write, args=(place, times, rows, rate, ending)),
    ]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(times.applied) > 2 * rate, "changes arrive")
        began = time.monotonic()
        code, document, error = backfill(place, table)
        assert code == 0, error
        ended = time.monotonic()
        ending.set()
        wait_until(lambda: len(times.applied) >= len(times.written) * 0.99, "the rest arrives")
    finally:
        ending.set()
        done.set()
        for thread in threads:
            thread.join()
    (copy,) = document["copies"]
    seconds = (copy["ended_ms"] - copy["began_ms"]) / 1000
    speed = copy["rows"] / seconds
    print(f"snapshot: {copy['rows']} rows in {seconds:.1f} s, {speed:,.0f} rows/s")
    print(f"  {speed / scanned:.0%} of the source's own scan ({scanned:,.0f} rows/s)")
    meanwhile = {n: at for n, at in times.written.items() if began < at < ended}
    for where, seen in (("Kafka", times.published), ("PostgreSQL", times.applied)):
        print(f"  {rate} changes/s meanwhile, seconds to {where}: {summary(meanwhile, seen, 0)}")


def main(rows: int, rate: int) -> None:
    """Measure on the local stack."""
    with connected(local.load()) as (stack, session), tempfile.TemporaryDirectory() as folder:
        place = Place(stack, session, Path(folder), f"copying{os.getpid()}")
        place.begin()
        try:
            measure(place, rows, rate)
        finally:
            place.end()


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(*given, *(ROWS, RATE_PER_SECOND)[len(given) :])
