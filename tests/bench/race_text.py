"""What the race's page says around its figures; `{…}` are fields of the document."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Aim:
    """What cdcd is to reach: in words, where the document has the figure, and the bound."""

    title: str
    path: tuple[str, ...]
    bound: float
    # Most figures are to stay below their bounds.
    is_least: bool = False

    def is_reached_by(self, figure: float) -> bool:
        """Whether the figure is on the right side of the bound, which itself is reached."""
        return figure >= self.bound if self.is_least else figure <= self.bound


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the road: what it is, who ran it, what its ratios say, and how fair it is."""

    title: str
    text: str
    arms: Mapping[str, str]
    short: Mapping[str, str]
    # Sentences by the ratio that they name.
    ratios: Mapping[str, str]
    fair: str


HEAD = """\
# The race

`make race` runs cdcd against what it replaces, on one machine, in one run, on the same log, broker
and PostgreSQL. `make race-page` makes this page of what it found. Beside what `make up` needs it
takes Rust, for the official client, and what Maven brings: Kafka Connect and the connectors.
`CDCD_RACE_SCYLLA_PLUGIN` names a folder with the jar of ScyllaDB's source connector, where Maven
does not resolve it. Without Rust, or that jar, the arm is left out and named. `CDCD_RACE_CHANGES`
is how many changes wait (300,000 unless told otherwise, 20,000 at least), `CDCD_RACE_ROUNDS` how
often each arm runs (2), `CDCD_RACE_CONNECT_HEAP` Kafka Connect's heap (1g).

{waiting:,} changes of the reference work wait in one log: eight columns, 50,000 keys; half inserts,
four in ten updates of three columns, one in ten deletes. The arms of a part ran in turn, {rounds}
times, readers three times as often; a figure is the median of its runs. The machine has {cores}
cores, which the servers share, and its load was {load_before} before the race and {load} at its
end, the race's own included. The servers are the [local stack](../deploy/local/README.md)'s; in
ScyllaDB's place is a stand-in. CPU is the user and system time of the process itself, and one µs
for each change is one CPU-second for a million of them.

The widest difference between two runs of one arm was {noise} of its rate. Less than that says
nothing, and where others use the cores too, rates say little at all: trust CPU more. That varies
too: a fixed piece of Python, run before each arm, took {pace[median]:g} times its shortest CPU time
at the median, and up to {pace[longest]:g} times.

![Changes a second, CPU and memory of the arms](race.svg)
"""

IDLE = """\
## Idle tables

cdcd's source stage over {tables} tables of {streams_per_table} streams each, to which nothing is
written, takes {reader_cpu_share:.1%} of a core, and its {log_reads_per_second:,.0f} queries a
second {database_cpu_share:.1%} of one in the database. The first change of one of them is out after
{first_change_seconds:g} s; those of one busy partition among them after {busy_p50_seconds:g} s
(p50) and {busy_p95_seconds:g} s (p95).
"""

AIMS_HEAD = """\
## What is to be reached

Beside the peers stand figures that were set before anything was built, on a machine of two cores of
which nobody knew the speed. Where one is not reached, the last section says where the time goes.
"""

AIMS = (
    Aim("Source, CPU in µs for each change", ("cdcd", "source", "cpu_us_per_change"), 20),
    Aim("Sink, CPU in µs for each change", ("cdcd", "sink", "cpu_us_per_change"), 10),
    Aim("Sink, rate as a multiple of Debezium's", ("ratio", "sink"), 1.3, is_least=True),
    Aim("Road, changes/s", ("cdcd", "catch_up", "changes_per_second"), 25_000, is_least=True),
    Aim("Road, peak memory in MB", ("cdcd", "catch_up", "peak_mb"), 150),
    Aim("Road, rows that differ", ("cdcd", "catch_up", "rows_that_differ"), 0),
    Aim("Steady rate, p95 in s", ("cdcd", "steady", "p95_seconds"), 0.5),
    Aim("100 idle tables, share of a core", ("idle", "reader_cpu_share"), 0.1),
)

# By the limit's name: what it is, and the part of the race that cannot be faster.
LIMITED = {
    "driver_reads_log": ("ScyllaDB's driver reads the log, as raw pages", "reading"),
    "librdkafka_takes_records": ("librdkafka takes the records, in transactions", "source"),
    "postgres_merges_rows": ("PostgreSQL merges the rows, encoded beforehand", "sink"),
}

LIMITS_HEAD = """\
## The limits

`make limits` measures what clients and servers do alone, on the same kind of data, at a load of
{load}: nothing is decoded, checked or encoded.
"""

PROFILE = """\
## Where the time goes, and what was tried

**In one core.** The rest of cdcd's CPU is Python, whose threads compute in turns: a process fills
one core at most, and the servers have what is left of two. The same steps on the same records take
one and a half times to twice the CPU beside busy servers that they take alone. So a figure says as
much of the machine as of cdcd: the same code took 22 µs (source) and 12 (sink) on one machine of
two cores, 43 and 20 on the next, and there, within one hour of another day, 25 and 14 first and
then 33 and 20. The peers beside it had the same machine.

**The source.** Of 25 µs for a change, measured by thread, 12.5 were the event loop's, which turns
log rows into changes and counts fingerprints; 9 the publisher's, which encodes records and hands
them on; 2.2 librdkafka's; 2.2 the driver's. Alone the steps take 0.7 µs (the driver parses a page),
3.3 (rows to changes), 1.1 (fingerprints), 4.6 (changes to records) and 0.7 (librdkafka takes them),
the first four of which `make bench-cpu` shows. The codecs are code that is made for each table,
encoded numbers are looked up and not computed, and times, hashes, tokens, log keys and partitions
are taken or written for some hundred records at once. The collector of cycles is off the road.

**The sink.** Of 19 µs, 14 were the event loop's: half of that reads records, a tenth lays out rows,
a sixth writes them, the rest takes records in. The same field of 480 records is read at once, and
no field that is not needed. A batch's statements run one after the other, so where one table is all
that is written, their time and the loop's turns between them are its rate; reading, merging and
writing overlap.

**The whole road** costs the sum of both, and has one interpreter: 25,000 changes/s would leave 40
µs for a change. It has a core for four fifths of the time. The loop is hardly ever idle then: for a
sixth of the time it is ready and waits in the scheduler's line, which some forty threads and those
of three servers stand in, while a fifth of the cores is idle.

**The steady rate** waits above all in the source: in runs of 40 s, beside nothing else, half of the
changes were in Kafka after 0.31 s and in PostgreSQL after 0.35, 95 of 100 after 0.47 and 0.54. Of
that 0.2 s were the least distance that is kept from the clock, and 0.15 are now, which took 0.04 s
off the median in turns; it grows, up to 3 s, while rows appear later than that. 0.05 s are the
shortest window: with 0.08 p95 was longer. Reading one took 0.01 to 0.02 s, a transaction 0.02:
2 ms to encode and hand on, 17 until the brokers have the records, 2 for offsets, 1 to commit. All
of that is three to five times as long for one in twenty, for writer, watchers, servers and cdcd
share two cores, which are four fifths busy then: 0.6 are the database's, 0.5 the writer's, 0.3
cdcd's and 0.2 Kafka's. A shorter wait of the sink for more records changed nothing.

**Memory.** A worker has 113 MB before its first change, a third of which are files of libraries;
the rest is above all modules. One heap for all threads took the road from 190 MB to 172, source and
sink from 150 to 145. Windows of half as many rows, pages of a fifth, smaller batches of records and
no compression took 7 to 14 MB, and a tenth of the rate and more with them; windows of a quarter, a
heap that gives back sooner and shorter queues nothing.

**Idle tables** cost queries, and a query through the driver 0.4 to 0.9 ms: a hundred streams are
asked for in one, and past `idle_reads_per_second_max` all idle tables wait longer. The lists of
generations are read for all tables at once: one by one they were 20 queries a second more.

**Without a gain:** asking for the next page while one is decoded, and decoding each as it comes
(both 5 MB more), larger reads from the driver's socket, all threads on one core, fastavro (three to
five times the CPU), other turns of the interpreter's lock, no collector at all, other ways to read
a number, librdkafka's calls for many records, encoding the source's records on the loop, Python's
objects on the C library's heap, and decoding the sink's records in a thread, with which it took a
quarter more.
"""

_CDCD = "cdcd"
_BOTH = {_CDCD: _CDCD, "connect": "Kafka Connect, ScyllaDB's connector and Debezium's JDBC sink"}
_BOTH_SHORT = {_CDCD: _CDCD, "connect": "Kafka Connect"}

_FAIR_READING = """\
- Both read the same closed range of the same log, in pages of up to 5,000 rows, and find as many
  changes as were written, or the race stops.
- The Rust client (crate `scylla-cdc`, compiled for speed, on all cores) gets all of the range as
  one window: it asks for nothing twice and never sleeps. It hands over decoded log rows, which are
  counted and dropped.
- cdcd reads window after window, none of more than 10,000 rows, as it does in service, to hold
  little in memory. It also joins rows to changes of whole statements, checks that these are
  complete, hashes each partition's key, and tells unset from null.
- Neither publishes anything: this is what reading costs, and not a replicator.
"""

_FAIR_SOURCE = """\
- cdcd publishes exactly once, with fingerprints of what it published. A connector publishes at
  least once; its first third is warm-up and is not timed.
- cdcd reads the log again later, 30 s and 10 min behind the clock by default, to find what appeared
  meanwhile. That is not in the table: each time it is another {settling[cpu_us_per_change]:g} µs of
  CPU for each change. Of a log that has waited for longer than that the first reading is enough.
"""

_FAIR_SINK = """\
- Both apply the same changes in the same order, each run to an empty database of its own.
- cdcd reads its own records. Debezium's sink gets flat whole rows and tombstones in Avro, which is
  what its flattening transform leaves, in fewer bytes: without post-images ScyllaDB's own
  connector does not give it whole rows, and partial ones would make it write nulls where nothing
  was changed. So the work of merging a partial update is cdcd's alone.
- Debezium's sink runs with the settings that were best here: one task, upserts merged by key in
  batches of 3,000, fetches of 6,000, rewritten batches, {connect_heap} of heap. It makes its table
  itself.
- The work decides much: of upserts alone, a million of them on an idle machine, Debezium's sink was
  measured at 46,000 changes/s and 15 µs. Here one change in ten is a delete.
"""

_FAIR_CATCH_UP = """\
- Kafka Connect, where it ran, is timed behind a third of the changes, which are warm-up. Its source
  connector gives what a statement changed, and no whole rows: that takes post-images, which the log
  does not have. Its sink writes null for the rest, and rows that differ are counted as they are.
- The servers' own CPU is in no figure but the cores that they kept busy, which are the same two:
  `make limits` measures what they can do alone.
"""

_FAIR_STEADY = """\
- Writer and watchers run on the same cores.
- Kafka Connect, where it ran, reads windows of a second, a second behind the clock; its defaults
  are thirty times that.
"""

PARTS = {
    "reading": Part(
        "Log to decoded changes",
        "All of the log, by a process that does nothing else; its first run is dropped.",
        {_CDCD: _CDCD, "rust": "The official Rust client"},
        {_CDCD: _CDCD, "rust": "Rust client"},
        {
            "source": "cdcd's rate is **{ratio}** times the Rust client's,",
            "source_cpu": "the Rust client's CPU is **{ratio}** times cdcd's,",
            "source_memory": "and its memory **{ratio}** times.",
        },
        _FAIR_READING,
    ),
    "source": Part(
        "Log to Kafka",
        "With the source stage alone, from the first change that is published to the last.",
        {_CDCD: "cdcd, source stage", "connect": "ScyllaDB's source connector on Kafka Connect"},
        {_CDCD: _CDCD, "connect": "ScyllaDB's connector"},
        {
            "to_kafka": "cdcd's rate is **{ratio}** times the connector's,",
            "to_kafka_cpu": "the connector's CPU **{ratio}** times cdcd's.",
        },
        _FAIR_SOURCE,
    ),
    "sink": Part(
        "Kafka to PostgreSQL",
        "{between_marks:,} changes in one partition, between two marks in the topic, behind\n"
        "{warm_up:,} changes of warm-up; Java gets these again and again, up to\n"
        "{warm_up_of_java:,}, to compile what it runs most. Memory is the peak of the whole run.",
        {_CDCD: "cdcd, sink stage", "connect": "Debezium's JDBC sink on Kafka Connect"},
        {_CDCD: _CDCD, "connect": "Debezium on Connect"},
        {
            "sink": "cdcd's rate is **{ratio}** times Debezium's,",
            "cpu": "Debezium's CPU is **{ratio}** times cdcd's,",
            "memory": "its memory **{ratio}** times.",
        },
        _FAIR_SINK,
    ),
    "catch_up": Part(
        "The whole road, a waiting log",
        "Log to PostgreSQL, both stages in one process, from the first change that is in Kafka\n"
        "to the last one in PostgreSQL.",
        _BOTH,
        _BOTH_SHORT,
        {"catch_up": "cdcd's rate is **{ratio}** times Kafka Connect's."},
        _FAIR_CATCH_UP,
    ),
    "steady": Part(
        "The whole road, a steady rate",
        "For {steady_seconds} s, of which the first half is warm-up. Times are from the\n"
        "acknowledged write to the row that another connection sees.",
        _BOTH,
        _BOTH_SHORT,
        {"p95": "Kafka Connect's p95 is **{ratio}** times cdcd's."},
        _FAIR_STEADY,
    ),
}
