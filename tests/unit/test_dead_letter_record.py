"""The form of a dead letter in its topic."""

from cdcd.model.dead_letter import DeadLetter, Refusal
from cdcd.transport.dead_letter_record import headers_of

REFUSAL = Refusal("constraint", "check violation", "23514", "few", "amount")


def letter(refusal: Refusal = REFUSAL) -> DeadLetter:
    return DeadLetter(
        "ks.t", "p.ks.t", 3, 42, b"scope", b"the key", b"the value", refusal, 1_700_000_000_123
    )


def test_headers_are_those_of_kafka_connect() -> None:
    """The headers that Connect's dead letter queues write are there under their names, in text."""
    found = {
        name.removeprefix("__connect.errors."): value
        for name, value in headers_of(letter(), "p", "one")
        if name.startswith("__connect.")
    }
    message = b'check violation (SQLSTATE 23514), column "amount", constraint few'
    assert found == {
        "topic": b"p.ks.t",
        "partition": b"3",
        "offset": b"42",
        "connector.name": b"p",
        "task.id": b"0",
        "stage": b"TASK_PUT",
        "class.name": b"cdcd.sink.writer",
        "exception.class.name": b"cdcd.CheckViolation",
        "exception.message": message,
        "exception.stacktrace": b"cdcd.CheckViolation: " + message,
    }


def test_our_headers_say_what_connect_has_no_words_for() -> None:
    """Reason, SQLSTATE, constraint and column, where there is one."""
    found = dict(headers_of(letter(), "p", "one"))
    ours = {n.removeprefix("cdcd."): v for n, v in found.items() if n.startswith("cdcd.")}
    assert ours == {
        "pipeline": b"p",
        "instance": b"one",
        "table": b"ks.t",
        "reason": b"constraint",
        "sqlstate": b"23514",
        "constraint": b"few",
        "column": b"amount",
        "time": b"2023-11-14T22:13:20.123Z",
    }
    bare = dict(headers_of(letter(Refusal("unstorable", "a value that x cannot hold")), "p", "one"))
    assert bare["__connect.errors.exception.class.name"] == b"cdcd.UnstorableValue"
    assert not {"cdcd.sqlstate", "cdcd.constraint", "cdcd.column"} & bare.keys()


def test_no_header_holds_key_or_value() -> None:
    """Headers are shown in places where rows are not."""
    for _, value in headers_of(letter(), "p", "one"):
        assert isinstance(value, bytes)
        assert b"the key" not in value
        assert b"the value" not in value
