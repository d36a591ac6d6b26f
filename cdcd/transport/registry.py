"""The only door to the schema registry's client.

The blocking client runs in threads: its asynchronous twin has the same retries and caches behind
one more layer, and calls are rare, because ids and schemas never change and are kept for ever.
Its own retries are off; callers try again on Transient, with their own limits.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Self, TypeVar, cast

from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.common._httpx_compat import httpx  # whichever it was built on
from confluent_kafka.schema_registry.error import SchemaRegistryError

from cdcd.config.settings import RegistrySettings
from cdcd.config.tls import TlsSettings
from cdcd.model.errors import CdcdError, ConfigurationError, Fatal, Transient
from cdcd.ops import tls
from cdcd.transport.schema import Schema

Result = TypeVar("Result")

# Versions of a subject that are looked through for what its table was before.
VERSIONS_MAX = 50

_REFUSED = frozenset({401, 403})
_BUSY = frozenset({408, 425, 429})
_MISSING = 404
_INCOMPATIBLE = 409


def failure(error: SchemaRegistryError | httpx.HTTPError, doing: str) -> CdcdError:
    """What a client's error means; `doing` is what was tried, in the words of a sentence."""
    if isinstance(error, httpx.HTTPError):
        reason = str(error) or type(error).__name__
        if "[SSL" in reason:
            return tls.refusal(reason, "registry", "registry")
        return Transient(f"registry: {doing}: {reason}")
    status = error.http_status_code
    message = f"registry: {doing}: {error.error_message} (HTTP {status})"
    if status in _REFUSED:
        return ConfigurationError(message, "see [registry] in the settings and the user's rights")
    if status >= 500 or status in _BUSY:
        return Transient(message)
    return Fatal(message, "see [registry] in the settings")


class IncompatibleSchema(CdcdError):
    """The registry refuses a schema because consumers of the one before could not read it."""


class Registry:
    """Schemas by subject and by id; `async with` closes its connections.

    Every method may raise Transient and ConfigurationError.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        properties: dict[str, object] = {
            "url": settings.url,
            "timeout": settings.request_timeout_seconds,
            "max.retries": 0,
            # "Latest" is asked in order to see what is new.
            "cache.latest.ttl.sec": 0,
        }
        if settings.username:
            password = settings.password.get_secret_value() if settings.password else ""
            properties["basic.auth.user.info"] = f"{settings.username}:{password}"
        if settings.tls.enabled:
            properties |= _tls_properties(settings.tls)
        try:
            self._client = SchemaRegistryClient(properties)
        except ValueError as error:
            # The client's own words could quote the URL, and a URL can hold a password.
            raise ConfigurationError(
                "registry: the client refuses these settings", "see [registry] url, username"
            ) from error
        # The context that the client has made, and uses for each connection.
        context: ssl.SSLContext = self._client._rest_client.verify  # noqa: SLF001  there is no other way
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = settings.tls.check_name
        self._ids: dict[tuple[str, str], int] = {}
        self._schemas: dict[int, Schema] = {}
        self._backward: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._client.close)

    async def register(self, subject: str, schema: Schema) -> int:
        """The id of the schema, registered under the subject, which is made BACKWARD compatible.

        Raises IncompatibleSchema when the subject's latest schema does not allow this one.
        """
        text = json.dumps(schema)
        known = self._ids.get((subject, text))
        if known is not None:
            return known
        if subject not in self._backward:
            # Some registries' default is NONE, which would let a breaking schema through.
            doing = f"setting the compatibility of {subject}"
            await _call(doing, lambda: self._client.set_compatibility(subject, "BACKWARD"))
            self._backward.add(subject)
        found = await _call(
            f"registering a schema of {subject}",
            lambda: self._client.register_schema(subject, RegistrySchema(text, "AVRO")),
            incompatible=subject,
        )
        self._ids[subject, text] = found
        return found

    async def schema(self, schema_id: int) -> Schema:
        """The schema with this id."""
        known = self._schemas.get(schema_id)
        if known is None:
            doing = f"reading schema {schema_id}"
            found = await _call(doing, lambda: self._client.get_schema(schema_id))
            known = self._schemas[schema_id] = _parsed(found)
        return known

    async def latest(self, subject: str) -> tuple[int, Schema] | None:
        """The newest id and schema of a subject, or None where there is none yet."""
        doing = f"reading the latest schema of {subject}"
        try:
            found = await _call(doing, lambda: self._client.get_latest_version(subject))
        except _Missing:
            return None
        if found.schema_id is None or found.schema is None:
            raise Fatal(f"registry: {doing}: an answer without id or schema")
        schema = self._schemas[found.schema_id] = _parsed(found.schema)
        return found.schema_id, schema

    async def has(self, subject: str, schema: Schema) -> bool:
        """Whether one of the subject's versions is this schema."""
        wanted = RegistrySchema(json.dumps(schema), "AVRO")
        doing = f"looking for a schema of {subject}"
        try:
            await _call(doing, lambda: self._client.lookup_schema(subject, wanted))
        except _Missing:
            return False
        return True

    async def history(self, subject: str) -> list[Schema]:
        """The subject's schemas, the newest first, as far back as VERSIONS_MAX."""
        doing = f"reading the schemas of {subject}"
        try:
            versions = await _call(doing, lambda: self._client.get_versions(subject))
        except _Missing:
            return []
        found = []
        for number in sorted(versions, reverse=True)[:VERSIONS_MAX]:
            read = partial(self._client.get_version, subject, number)
            version = await _call(doing, read)
            if version.schema is not None:
                found.append(_parsed(version.schema))
        return found

    async def forget(self, subject: str) -> None:
        """Delete a subject with all its versions, if it is there."""
        for permanent in (False, True):  # a registry takes the second only after the first
            with suppress(_Missing):
                await _call(
                    f"deleting {subject}",
                    partial(self._client.delete_subject, subject, permanent=permanent),
                )

    async def ping(self) -> None:
        """Return when the registry answers."""
        await _call("asking whether it answers", self._client.get_subjects)

    async def close(self) -> None:
        """Give the connections back."""
        await asyncio.to_thread(self._client.close)


def _tls_properties(settings: TlsSettings) -> dict[str, object]:
    # Says what is wrong with a file; the client's own words do not name it.
    tls.client_context(settings, "registry")
    found = {
        "ssl.ca.location": tls.authorities(settings),
        "ssl.certificate.location": settings.cert_file,
        "ssl.key.location": settings.key_file,
    }
    return {name: str(file) for name, file in found.items() if file is not None}


class _Missing(Fatal):
    """What was asked for is not there."""


async def _call(doing: str, call: Callable[[], Result], incompatible: str = "") -> Result:
    try:
        return await asyncio.to_thread(call)
    except SchemaRegistryError as error:
        if error.http_status_code == _INCOMPATIBLE and incompatible:
            raise IncompatibleSchema(
                f"the new schema of subject {incompatible} would break its consumers",
                "undo the table's change, or let consumers catch up and delete the subject",
            ) from error
        if error.http_status_code == _MISSING:
            raise _Missing(f"registry: {doing}: not there", "see [registry] url") from error
        raise failure(error, doing) from error
    except httpx.HTTPError as error:
        raise failure(error, doing) from error


def _parsed(found: RegistrySchema) -> Schema:
    try:
        return cast("Schema", json.loads(found.schema_str or ""))
    except ValueError as error:
        raise Fatal("registry: a schema that is not JSON") from error
