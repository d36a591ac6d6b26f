"""A dead letter as a record: the headers of Kafka Connect's dead letter queues, and our own. Pure.

Key and value are the record's own bytes. No header quotes a value of the row: they are shown and
logged in places where rows are not.
"""

from datetime import UTC, datetime

from cdcd.model.dead_letter import DeadLetter

# `org.apache.kafka.connect.runtime.errors.DeadLetterQueueReporter` names them, all values in text.
_CONNECT = "__connect.errors."
_OURS = "cdcd."
# Connect's name for the stage at which a sink writes, and where that is here.
_STAGE = "TASK_PUT"
_CLASS = "cdcd.sink.writer"

Headers = list[tuple[str, str | bytes | None]]


def headers_of(letter: DeadLetter, pipeline: str, task: str) -> Headers:
    """The headers. `task` is the worker's name; Connect's `task.id`, a number, is 0."""
    refusal = letter.refusal
    exception = f"cdcd.{_camel(refusal.condition) if refusal.sqlstate else 'UnstorableValue'}"
    rejected = datetime.fromtimestamp(letter.rejected_ms / 1000, UTC)
    texts = {
        f"{_CONNECT}topic": letter.topic,
        f"{_CONNECT}partition": str(letter.partition),
        f"{_CONNECT}offset": str(letter.offset),
        f"{_CONNECT}connector.name": pipeline,
        f"{_CONNECT}task.id": "0",
        f"{_CONNECT}stage": _STAGE,
        f"{_CONNECT}class.name": _CLASS,
        f"{_CONNECT}exception.class.name": exception,
        f"{_CONNECT}exception.message": refusal.message,
        f"{_CONNECT}exception.stacktrace": f"{exception}: {refusal.message}",
        f"{_OURS}pipeline": pipeline,
        f"{_OURS}instance": task,
        f"{_OURS}table": letter.table,
        f"{_OURS}reason": refusal.reason,
        f"{_OURS}sqlstate": refusal.sqlstate,
        f"{_OURS}constraint": refusal.constraint,
        f"{_OURS}column": refusal.column,
        f"{_OURS}time": rejected.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return [(name, text.encode()) for name, text in texts.items() if text is not None]


def _camel(words: str) -> str:
    return "".join(word.capitalize() for word in words.split())
