"""The only door to the schema registry: the calls of its HTTP interface that cdcd makes.

The interface is Confluent's, which other registries speak too. Ids and schemas never change, so
they are asked for once and kept. Nothing is tried again here; callers do that on Transient, with
their own limits.
"""

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Self, cast
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from cdcd.config.settings import RegistrySettings
from cdcd.model.errors import CdcdError, ConfigurationError, Fatal, Transient
from cdcd.ops import tls
from cdcd.ops.logs import get_logger
from cdcd.transport.schema import Schema

log = get_logger()

# Versions of a subject that are looked through for what its table was before.
VERSIONS_MAX = 50

_JSON = "application/vnd.schemaregistry.v1+json"
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


def _failure(error: aiohttp.ClientError | TimeoutError, doing: str) -> CdcdError:
    """What a failed connection means; `doing` is what was tried, in the words of a sentence."""
    reason = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientSSLError) or "[SSL" in reason:
        # What OpenSSL said: the client's own words have the host's name among them.
        return tls.refusal(str(error.__cause__ or reason), "registry", "registry")
    return Transient(f"registry: {doing}: {reason}")


def _refusal(status: int, said: str, doing: str) -> CdcdError:
    """What an answer other than success means."""
    message = f"registry: {doing}: {said} (HTTP {status})"
    if status in _REFUSED:
        return ConfigurationError(message, "see [registry] in the settings and the user's rights")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _BUSY:
        return Transient(message)
    if status == HTTPStatus.NOT_FOUND:
        return _Missing(message, "see [registry] url")
    if status == HTTPStatus.CONFLICT:
        return _Conflict(message, "see [registry] in the settings")
    return Fatal(message, "see [registry] in the settings")


class IncompatibleSchema(CdcdError):
    """The registry refuses a schema because consumers of the one before could not read it."""


class Registry:
    """Schemas by subject and by id; `async with` closes its connections.

    Every method may raise Transient and ConfigurationError.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._urls = [_base(part) for part in settings.url.split(",")]
        self._session: aiohttp.ClientSession | None = None
        self._ids: dict[tuple[str, str], int] = {}
        self._schemas: dict[int, Schema] = {}
        self._backward: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

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
            level = {"compatibility": "BACKWARD"}
            await self._ask(doing, "PUT", f"config/{_quoted(subject)}", level)
            self._backward.add(subject)
        doing = f"registering a schema of {subject}"
        try:
            answer = await self._ask(
                doing, "POST", f"{_subject(subject)}/versions", {"schema": text}
            )
        except _Conflict as error:
            raise IncompatibleSchema(
                f"the new schema of subject {subject} would break its consumers",
                "undo the table's change, or let consumers catch up and delete the subject",
            ) from error
        found = self._ids[subject, text] = _id(answer, doing)
        return found

    async def schema(self, schema_id: int) -> Schema:
        """The schema with this id."""
        known = self._schemas.get(schema_id)
        if known is None:
            doing = f"reading schema {schema_id}"
            answer = await self._ask(doing, "GET", f"schemas/ids/{schema_id}")
            known = self._schemas[schema_id] = _schema(answer, doing)
        return known

    async def latest(self, subject: str) -> tuple[int, Schema] | None:
        """The newest id and schema of a subject, or None where there is none yet."""
        doing = f"reading the latest schema of {subject}"
        try:
            answer = await self._ask(doing, "GET", f"{_subject(subject)}/versions/latest")
        except _Missing:
            return None
        schema_id = _id(answer, doing)
        schema = self._schemas[schema_id] = _schema(answer, doing)
        return schema_id, schema

    async def has(self, subject: str, schema: Schema) -> bool:
        """Whether one of the subject's versions is this schema."""
        doing = f"looking for a schema of {subject}"
        try:
            await self._ask(doing, "POST", _subject(subject), {"schema": json.dumps(schema)})
        except _Missing:
            return False
        return True

    async def history(self, subject: str) -> list[Schema]:
        """The subject's schemas, the newest first, as far back as VERSIONS_MAX."""
        doing = f"reading the schemas of {subject}"
        versions = f"{_subject(subject)}/versions"
        try:
            numbers = await self._ask(doing, "GET", versions)
        except _Missing:
            return []
        if not isinstance(numbers, list) or not all(isinstance(n, int) for n in numbers):
            raise Fatal(f"registry: {doing}: an answer that is no list", "see [registry] url")
        newest = sorted(numbers, reverse=True)[:VERSIONS_MAX]
        answers = [await self._ask(doing, "GET", f"{versions}/{number}") for number in newest]
        return [_schema(answer, doing) for answer in answers]

    async def forget(self, subject: str) -> None:
        """Delete a subject with all its versions, if it is there."""
        for permanent in ("false", "true"):  # a registry takes the second only after the first
            path = f"{_subject(subject)}?permanent={permanent}"
            with suppress(_Missing):
                await self._ask(f"deleting {subject}", "DELETE", path)

    async def ping(self) -> None:
        """Return when the registry answers."""
        await self._ask("asking whether it answers", "GET", "subjects")

    async def _ask(
        self, doing: str, method: str, path: str, body: Mapping[str, str] | None = None
    ) -> Any:
        """The answer's JSON, of the first registry that is there. Raises Fatal where it is none,
        and what a refusal means.
        """
        *others, last = self._urls
        for base in others:
            try:
                return await self._ask_one(base, doing, method, path, body)
            except Transient as error:
                log.debug("the next registry is asked", exc_info=error)
        return await self._ask_one(last, doing, method, path, body)

    async def _ask_one(
        self, base: URL, doing: str, method: str, path: str, body: Mapping[str, str] | None
    ) -> Any:
        url = URL(f"{base.with_user(None)}/{path}", encoded=True)
        content = None if body is None else json.dumps(body).encode()
        headers = _login(self._settings, base)
        try:
            async with self._opened().request(
                method,
                url,
                data=content,
                headers=headers,
                proxy=_proxy(base),
                # A POST that is sent elsewhere would become a GET.
                allow_redirects=False,
            ) as answer:
                text = await answer.text(errors="replace")
        except (aiohttp.InvalidURL, UnicodeError) as error:
            raise _not_a_url() from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _failure(error, doing) from error
        parsed = _parsed(text)
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            said = parsed.get("message") if isinstance(parsed, dict) else None
            raise _refusal(answer.status, said or answer.reason or "no reason", doing)
        if parsed is None:
            raise Fatal(f"registry: {doing}: an answer that is not JSON", "see [registry] url")
        return parsed

    def _opened(self) -> aiohttp.ClientSession:
        """The connections, made at the first call: they belong to the event loop that runs then."""
        if self._session is None:
            settings = self._settings
            context = tls.client_context(settings.tls, "registry")
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context),
                timeout=aiohttp.ClientTimeout(total=settings.request_timeout_seconds),
                headers={"Accept": f"{_JSON}, application/json", "Content-Type": _JSON},
            )
        return self._session


class _Missing(Fatal):
    """What was asked for is not there."""


class _Conflict(Fatal):
    """The registry does not allow it."""


def _base(text: str) -> URL:
    with suppress(ValueError):
        url = URL(text.strip().rstrip("/"))
        if url.scheme in ("http", "https") and url.host:
            return url
    raise _not_a_url()


def _not_a_url() -> ConfigurationError:
    # It is not quoted: it could hold a password.
    return ConfigurationError("registry: `url` is no http or https URL", "see [registry] url")


def _proxy(url: URL) -> str | None:
    # Not aiohttp's own way, by which the login of a netrc would be shown to the registry too.
    host = url.host or ""
    return None if proxy_bypass(host) else getproxies().get(url.scheme)


def _login(settings: RegistrySettings, url: URL) -> dict[str, str]:
    """The header that says who asks, where that is known."""
    user, password = url.user, url.password or ""
    if settings.username:
        user = settings.username
        password = settings.password.get_secret_value() if settings.password else ""
    if user is None:
        return {}
    shown = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {shown}"}


def _quoted(subject: str) -> str:
    return quote(subject, safe="")


def _subject(subject: str) -> str:
    return f"subjects/{_quoted(subject)}"


def _parsed(text: str) -> Any:
    """The JSON value of a text; None where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _id(answer: Any, doing: str) -> int:
    match answer:
        case {"id": int(found)}:
            return found
    raise Fatal(f"registry: {doing}: an answer without an id", "see [registry] url")


def _schema(answer: Any, doing: str) -> Schema:
    match answer:
        case {"schema": str(text)} if (found := _parsed(text)) is not None:
            return cast("Schema", found)
    raise Fatal(f"registry: {doing}: a schema that is not JSON", "see [registry] url")
