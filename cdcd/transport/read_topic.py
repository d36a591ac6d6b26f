"""Committed records of a topic, read once from some offsets to the end. Blocks; for threads."""

from collections.abc import Callable, Mapping

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import Transient
from cdcd.transport.kafka import PARTITION_EOF, failure, fetch, reader_properties

_FETCH_RECORDS = 1000
_FETCH_SECONDS = 0.2


def read_committed(
    settings: KafkaSettings,
    role: str,
    topic: str,
    first: Mapping[int, int],
    take: Callable[[Message], None],
) -> None:
    """Give `take` each committed record of these partitions, from the given offsets on. `role`
    names the client. Raises Transient or ConfigurationError.
    """
    consumer = Consumer(reader_properties(settings, role, f"{topic}.{role}"))
    reading = set(first)
    idle_fetches_left = int(settings.request_timeout_seconds / _FETCH_SECONDS)
    try:
        consumer.assign([TopicPartition(topic, number, first[number]) for number in sorted(first)])
        while reading:
            messages = fetch(consumer, _FETCH_RECORDS, _FETCH_SECONDS)
            idle_fetches_left -= not messages
            if idle_fetches_left < 0:
                raise Transient(f"Kafka: reading {topic}: no answer")
            for message in messages:
                wrong = message.error()
                if wrong is None:
                    take(message)
                elif wrong.code() == PARTITION_EOF:
                    reading.discard(message.partition() or 0)
                else:
                    raise failure(wrong, f"reading {topic}")
    except KafkaException as error:
        raise failure(error, f"reading {topic}") from error
    finally:
        consumer.close()
