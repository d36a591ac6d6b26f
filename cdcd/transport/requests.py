"""The sink's door to the lanes topic: requests for refreshes, acknowledged before it goes on."""

from collections.abc import Sequence
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Producer

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import Transient
from cdcd.model.lane import lane_of
from cdcd.model.refresh import Request
from cdcd.transport.kafka import client_properties, failure
from cdcd.transport.lane_records import encode_request, request_key
from cdcd.transport.thread import OneThread
from cdcd.transport.topics import lanes_topic

_DOING = "asking for a refresh"


class Requests:
    """Asks the owners of lanes for refreshes. A request may arrive twice; that is harmless."""

    def __init__(self, settings: KafkaSettings, pipeline: str, lanes: int) -> None:
        self._settings = settings
        self._topic = lanes_topic(pipeline)
        self._lanes = lanes
        self._thread = OneThread("cdcd-requests")
        self._producer: Producer | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._thread.close()

    async def ask(self, requests: Sequence[Request]) -> None:
        """Return when the brokers have all of them. Raises Transient, or ConfigurationError."""
        if requests:
            await self._thread.call(self._ask, requests)

    def _ask(self, requests: Sequence[Request]) -> None:
        producer = self._producer or self._open()
        # Given up unless all goes well: what is in doubt is asked for again.
        self._producer = None
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Any) -> None:
            if error is not None:
                failed.append(error)

        timeout_seconds = self._settings.request_timeout_seconds
        try:
            for request in requests:
                lane = lane_of(request.token, self._lanes)
                key, value = request_key(request.id), encode_request(request)
                producer.produce(self._topic, value, key, lane, on_delivery=delivered)
                producer.poll(0)
            left = producer.flush(timeout_seconds)
        except (KafkaException, BufferError) as error:
            cause = error if isinstance(error, KafkaException) else None
            producer.purge()
            if cause is None:
                raise Transient(f"Kafka: {_DOING}: too many wait already") from error
            raise failure(cause, _DOING) from error
        if failed:
            raise failure(failed[0], _DOING)
        if left:
            producer.purge()
            raise Transient(f"Kafka: {_DOING}: no answer in {timeout_seconds:g} s")
        self._producer = producer

    def _open(self) -> Producer:
        return Producer(
            client_properties(self._settings, "sink-requests")
            | {
                "enable.idempotence": True,
                "message.timeout.ms": int(self._settings.request_timeout_seconds * 1000),
                "linger.ms": 0,
            }
        )
