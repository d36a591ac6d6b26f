"""The registry's client against a server that answers as it is told."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import SecretStr

from cdcd.config.settings import RegistrySettings
from cdcd.model.errors import CdcdError, ConfigurationError, Fatal, Transient
from cdcd.transport.registry import IncompatibleSchema, Registry
from tests.http_server import Answering, served

SCHEMA = {"type": "record", "name": "R", "fields": []}


class Told(Answering):
    """Answers everything with `status` and `document`, and keeps what was asked."""

    status: ClassVar[int]
    document: ClassVar[object]
    asked: ClassVar[list[tuple[str, str, str]]]

    def _told(self) -> None:
        self.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
        self.answer(self.status, self.document)

    do_GET = do_DELETE = _told  # noqa: N815  the library's names

    def do_PUT(self) -> None:  # noqa: N802
        self.rfile.read(int(self.headers["Content-Length"]))
        self._told()

    def posted(self, _body: bytes) -> None:
        self._told()


@contextmanager
def registry_that_says(status: int, document: object) -> Iterator[tuple[str, type[Told]]]:
    """Its URL, and what it was asked."""
    told = type("_Told", (Told,), {"status": status, "document": document, "asked": []})
    with served(told) as url:
        yield url, told


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ConfigurationError),
        (403, ConfigurationError),
        (408, Transient),
        (422, Fatal),
        (429, Transient),
        (500, Transient),
        (503, Transient),
    ],
)
async def test_what_a_refusal_means(status: int, kind: type[CdcdError]) -> None:
    """It is said in the registry's words, and only what may pass is tried again."""
    with registry_that_says(status, {"error_code": 1, "message": "its words"}) as (url, _):
        async with Registry(RegistrySettings(url=url)) as registry:
            with pytest.raises(kind, match=rf"its words \(HTTP {status}\)"):
                await registry.schema(1)


async def test_a_schema_that_breaks_consumers() -> None:
    """The conflict names its subject."""
    with registry_that_says(409, {"message": "no"}) as (url, _):
        async with Registry(RegistrySettings(url=url)) as registry:
            registry._backward.add("s")
            with pytest.raises(IncompatibleSchema, match="subject s"):
                await registry.register("s", SCHEMA)


@pytest.mark.parametrize("document", [{}, [], {"id": "1"}, {"id": 1}, {"id": 1, "schema": "{"}])
async def test_an_answer_that_says_too_little(document: object) -> None:
    """Whoever answers is no registry, which is said."""
    with registry_that_says(200, document) as (url, _):
        async with Registry(RegistrySettings(url=url)) as registry:
            with pytest.raises(Fatal, match="reading the latest schema of s"):
                await registry.latest("s")


async def test_what_is_not_there() -> None:
    """A subject without schemas is no error."""
    with registry_that_says(404, {"error_code": 40401, "message": "none"}) as (url, told):
        async with Registry(RegistrySettings(url=url)) as registry:
            assert await registry.latest("s") is None
            assert await registry.history("s") == []
            assert not await registry.has("s", SCHEMA)
            await registry.forget("s")
    assert told.asked[-2:] == [
        ("DELETE", "/subjects/s?permanent=false", ""),
        ("DELETE", "/subjects/s?permanent=true", ""),
    ]


async def test_a_subject_is_one_part_of_the_path() -> None:
    """A table's name may have anything in it."""
    with registry_that_says(404, {}) as (url, told):
        async with Registry(RegistrySettings(url=f"{url}/apis/ccompat/v7/")) as registry:
            await registry.latest("a/b?c#d é-value")
    path = "/apis/ccompat/v7/subjects/a%2Fb%3Fc%23d%20%C3%A9-value/versions/latest"
    assert told.asked == [("GET", path, "")]


@pytest.mark.parametrize("place", ["settings", "url"])
async def test_the_login_is_shown(place: str) -> None:
    """User and password of the settings, or else those in the URL."""
    with registry_that_says(200, []) as (url, told):
        settings = (
            RegistrySettings(url=url, username="u", password=SecretStr("p:ä"))
            if place == "settings"
            else RegistrySettings(url=url.replace("//", "//u:p%3A%C3%A4@"))
        )
        async with Registry(settings) as registry:
            await registry.ping()
    expected = base64.b64encode("u:p:ä".encode()).decode()
    assert told.asked == [("GET", "/subjects", f"Basic {expected}")]


async def test_no_other_login_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in a netrc is for others."""
    file = tmp_path / "netrc"
    file.write_text("default login u password secret")
    monkeypatch.setenv("NETRC", str(file))
    with registry_that_says(200, []) as (url, told):
        async with Registry(RegistrySettings(url=url)) as registry:
            await registry.ping()
        async with Registry(RegistrySettings(url=url, username="own")) as registry:
            await registry.ping()
    expected = base64.b64encode(b"own:").decode()
    assert told.asked == [("GET", "/subjects", ""), ("GET", "/subjects", f"Basic {expected}")]


async def test_the_next_registry_is_asked() -> None:
    """One that is away, or busy, is passed over; one that refuses is not."""
    with (
        registry_that_says(503, {}) as (busy, _),
        registry_that_says(404, {"message": "none"}) as (last, told),
    ):
        urls = f"http://127.0.0.1:1, {busy}, {last}, http://127.0.0.1:2"
        async with Registry(RegistrySettings(url=urls)) as registry:
            assert await registry.latest("s") is None
    assert len(told.asked) == 1


async def test_being_sent_elsewhere_is_a_refusal() -> None:
    """A schema that is to be registered would be asked for there instead."""
    with registry_that_says(301, {"message": "over there"}) as (url, _):
        async with Registry(RegistrySettings(url=url)) as registry:
            with pytest.raises(Fatal, match=r"over there \(HTTP 301\)"):
                await registry.latest("s")


async def test_a_host_that_cannot_be() -> None:
    """Which is seen when it is asked for."""
    async with Registry(RegistrySettings(url=f"http://{'a' * 64}.example:1")) as registry:
        with pytest.raises((ConfigurationError, Transient)):
            await registry.ping()


async def test_an_answer_that_does_not_come() -> None:
    """The limit of the settings ends the wait."""

    class Silent(Told):
        status = 200
        document: ClassVar[object] = []
        asked: ClassVar[list[tuple[str, str, str]]] = []

        def _told(self) -> None:
            self.connection.settimeout(30)
            self.connection.recv(1)  # until the client gives up

        do_GET = _told  # noqa: N815

    with served(Silent) as url:
        settings = RegistrySettings(url=url, request_timeout_seconds=0.2)
        async with Registry(settings) as registry:
            with pytest.raises(Transient, match="asking whether it answers"):
                await registry.ping()


@pytest.mark.parametrize(
    "url", ["user:secret@host", "ftp://host", "http://", "http://a:secret", ""]
)
def test_what_is_no_url(url: str) -> None:
    """It is said before anything is asked, and not quoted."""
    with pytest.raises(ConfigurationError) as caught:
        Registry(RegistrySettings(url=url))
    assert "secret" not in str(caught.value)
