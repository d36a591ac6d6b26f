"""The keys of log rows alone: what a second reading compares."""

import pytest

from cdcd.model.change import Identity
from cdcd.model.table import TableSpec
from cdcd.source.decode import KeyDecoder, LogDecoder, key_columns, log_columns
from cdcd.source.row_readers import RawRow
from tests.unit.log_rows import SINGLE, SPEC, STREAM, TIME, TRUE, log_row, number, row_of
from tests.unit.tables import table

COMPOSITE = table({"p:p": "int", "p:q": "text", "c:c": "int", "r:v": "int"})


def keys(spec: TableSpec, row: RawRow) -> RawRow:
    """The part of a log row that is read of keys."""
    by_name = dict(zip(log_columns(spec), row, strict=True))
    return tuple(by_name[name] for name in key_columns(spec))


def test_the_columns_of_keys() -> None:
    """Of keys are read the log's own columns and the partition key."""
    assert key_columns(COMPOSITE) == (*log_columns(COMPOSITE)[:6], "p", "q")


def test_identities_are_of_changes() -> None:
    """Each row that is a change has an identity; images and ends of ranges have none."""
    operations = [0, 1, 2, 3, 4, 5, 7, 6, 8, 9, -3, -4]
    rows = [
        log_row(operation, **{"cdc$batch_seq_no": number(n)})
        for n, operation in enumerate(operations)
    ]
    found = KeyDecoder(SPEC, len).changes([keys(SPEC, row) for row in rows])
    assert found.identities == [Identity(STREAM, TIME, n) for n in (1, 2, 3, 4, 5, 7, 10, 11)]


@pytest.mark.parametrize("operation", [99, None])
def test_identities_of_the_unknown(operation: int | None) -> None:
    """A row of an unknown operation counts as a change: it is for the decoder to refuse."""
    row = keys(SPEC, log_row(operation))
    assert KeyDecoder(SPEC, len).changes([row]).identities == [Identity(STREAM, TIME, 0)]


@pytest.mark.parametrize("spec", [SINGLE, COMPOSITE])
def test_tokens_and_times_are_those_of_changes(spec: TableSpec) -> None:
    """A row's are the ones that its change has: the token of the whole partition key."""
    row = row_of(spec, 4, q=b"abc", **{"cdc$end_of_batch": TRUE})
    seen: list[bytes] = []

    def token_of(key: bytes) -> int:
        seen.append(key)
        return len(key)

    found = KeyDecoder(spec, token_of).changes([keys(spec, row)])
    (event,) = LogDecoder(spec, token_of).changes([row], holds=lambda _: True)
    assert (found.tokens, found.times_us) == ([event.token], [event.time_us])
    assert seen[0] == seen[1]


def test_a_key_without_value_is_hashed_as_empty() -> None:
    """A partition key that is not there has the token of the empty one."""
    row = keys(SINGLE, row_of(SINGLE, 1, p=None))
    assert KeyDecoder(SINGLE, len).changes([row]).tokens == [0]


def test_an_empty_part_of_a_key_is_hashed_as_empty() -> None:
    """A part of a composite key may have no bytes, and is as empty in what is hashed."""
    seen: list[bytes] = []

    def token_of(key: bytes) -> int:
        seen.append(key)
        return 0

    KeyDecoder(COMPOSITE, token_of).changes([keys(COMPOSITE, row_of(COMPOSITE, 1, q=b""))])
    assert seen[0].endswith(b"\0\0\0")
