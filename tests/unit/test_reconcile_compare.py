"""Ranges that differ, rows that differ, and what counts as a difference."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.model.fingerprint import CELL_MS
from cdcd.model.lane import lane_of
from cdcd.model.position import RING_MAX, RING_MIN
from cdcd.reconcile.compare import (
    BUCKETS_MAX,
    BUCKETS_MIN,
    Buckets,
    Differing,
    Kind,
    Seen,
    Suspect,
    Trial,
    buckets_for,
    entry,
    groups,
    ranges,
)
from cdcd.reconcile.digest import Key

COUNT = 64
Rows = Mapping[int, bytes]
_tokens = st.integers(RING_MIN, RING_MAX)


def _hash(of: bytes) -> bytes:
    return sha256(of).digest()[:8]


def _table(tokens: Iterable[int]) -> Rows:
    return {t: _hash(t.to_bytes(8, "big", signed=True)) for t in tokens}


_rows = st.sets(_tokens, max_size=40).map(_table)


def _key(token: int) -> Key:
    return (token.to_bytes(8, "big", signed=True),)


def _buckets(rows: Rows) -> Buckets:
    found = Buckets(COUNT)
    found.add(entry(token, _key(token), digest) for token, digest in rows.items())
    return found


@settings(deadline=None)
@given(_rows)
def test_equal_tables_never_differ(rows: Rows) -> None:
    """The same rows in any order are the same buckets."""
    backwards = dict(reversed(list(rows.items())))
    assert _buckets(rows).differing(_buckets(backwards)) == []


@settings(deadline=None)
@given(_rows, _rows, st.data())
def test_any_damage_is_in_a_bucket_that_differs(
    rows: Rows, added: Rows, data: st.DataObject
) -> None:
    """Each row that was removed, added or changed lies in a bucket that differs, and buckets with
    the same keys are told from those with others.
    """
    target = dict(rows)
    kept = list(rows)
    gone = data.draw(st.sets(st.sampled_from(kept))) if kept else set()
    for token in gone:
        del target[token]
    changed = {t for t in target if data.draw(st.booleans())}
    for token in changed:
        target[token] = _hash(target[token])
    new = {t: d for t, d in added.items() if t not in rows}
    target |= new
    differing = {d.bucket: d for d in _buckets(rows).differing(_buckets(target))}
    keyed = {lane_of(t, COUNT) for t in {*gone, *new}}
    assert differing.keys() == keyed | {lane_of(t, COUNT) for t in changed}
    assert {b for b, d in differing.items() if not d.same_keys} == keyed


def test_ranges_join_neighbours() -> None:
    """Neighbouring buckets are read as one range, up to the ends of the ring."""
    found = ranges([0, 1, 3], 4)
    assert [(r.start, r.end) for r in found] == [
        (RING_MIN - 1, -1),
        (2**62 - 1, RING_MAX),
    ]


def test_groups_are_bounded_by_rows() -> None:
    """A group holds as many buckets as its rows allow, and at least one."""
    differing = [Differing(n, rows, same_keys=True) for n, rows in enumerate([3, 3, 9, 1])]
    assert [[d.bucket for d in g] for g in groups(differing, 6)] == [[0, 1], [2], [3]]


@pytest.mark.parametrize("rows", [0, 1, 10**6, 10**12])
def test_number_of_buckets_is_bounded(rows: int) -> None:
    """A power of two within its limits, whatever the table's size."""
    count = buckets_for(rows)
    assert BUCKETS_MIN <= count <= BUCKETS_MAX
    assert count & (count - 1) == 0


KEY = _key(1)
WRONG, OTHER, RIGHT = Seen(b"s", b"t"), Seen(b"s2", b"t"), Seen(b"s", b"s")
SETTLE_MS = 1000


def _trial(changes_max: int = 20) -> Trial:
    return Trial({KEY: Suspect(KEY, WRONG)}, SETTLE_MS, changes_max)


def test_what_is_equal_later_is_no_difference() -> None:
    """A row that the next look finds equal is cleared."""
    trial = _trial()
    trial.look({KEY: RIGHT}, 5)
    assert not trial.suspects
    assert not trial.confirmed


def test_difference_that_stays_is_confirmed() -> None:
    """A row that is the same with all applied, and after late changes were looked for, counts."""
    trial = _trial()
    trial.look({KEY: WRONG}, 5)
    assert not trial.pending(CELL_MS + SETTLE_MS - 1)
    assert trial.wait_ms(5) == CELL_MS + SETTLE_MS - 5
    assert trial.pending(CELL_MS + SETTLE_MS)
    trial.look({KEY: WRONG}, CELL_MS + SETTLE_MS)
    assert trial.confirmed[KEY].seen.kind is Kind.DIFFERENT


def test_change_begins_the_trial_anew() -> None:
    """A row that differs in another way than before is in flight: it is not counted yet."""
    trial = _trial()
    trial.look({KEY: WRONG}, 5)
    trial.look({KEY: OTHER}, CELL_MS + SETTLE_MS)
    assert not trial.confirmed
    assert trial.pending(CELL_MS + SETTLE_MS)


def test_row_that_never_rests_is_given_up() -> None:
    """A row that changes with every look is no difference, and is counted apart."""
    trial = _trial(changes_max=2)
    for at in range(3):
        trial.look({KEY: Seen(bytes([at]), None)}, at)
    assert not trial.suspects
    assert not trial.confirmed
    assert trial.given_up == 1


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (Seen(b"s", None), Kind.MISSING),
        (Seen(None, b"t"), Kind.EXTRA),
        (Seen(b"s", b"t"), Kind.DIFFERENT),
    ],
)
def test_kind_says_which_side_lacks_the_row(seen: Seen, kind: Kind) -> None:
    """A row is missing, extra or different in the target."""
    assert seen.kind is kind
