"""TLS contexts: what is wrong with files is named, and what has changed is taken over."""

import asyncio
import ssl
from pathlib import Path

import pytest
from pydantic import ValidationError

from cdcd.config.tls import PortTlsSettings, TlsSettings
from cdcd.model.errors import ConfigurationError, Transient
from cdcd.ops import tls
from tests.unit.certificates import Authority, new_authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority with certificates of a server and a client."""
    made = new_authority(tmp_path)
    made.issue("server")
    made.issue("client")
    return made


@pytest.mark.parametrize(
    "wrong",
    [
        {"enabled": True, "cert_file": "a"},
        {"enabled": True, "key_file": "a"},
        {"ca_file": "a"},
        {"cert_file": "a", "key_file": "b"},
    ],
)
def test_half_a_section_is_refused(wrong: dict[str, object]) -> None:
    """A certificate without its key, or files where TLS is off, are wrong settings."""
    with pytest.raises(ValidationError):
        TlsSettings.model_validate(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"enabled": True},
        {"client_certificates": True},
        {"enabled": True, "cert_file": "a", "key_file": "b", "client_certificates": True},
    ],
)
def test_half_a_port_is_refused(wrong: dict[str, object]) -> None:
    """A port without a certificate, or one that asks for certificates of nobody, is refused."""
    with pytest.raises(ValidationError):
        PortTlsSettings.model_validate(wrong)


def _context(files: dict[str, Path]) -> ssl.SSLContext:
    return tls.client_context(TlsSettings(enabled=True, **files), "postgres")


def test_old_protocols_are_off(authority: Authority) -> None:
    """Every context begins with TLS 1.2, and a client checks certificate and name."""
    context = _context(authority.files("client"))
    port = tls.port_context(PortTlsSettings(enabled=True, **authority.files("server")))
    assert context.minimum_version == port.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname


@pytest.mark.parametrize("name", ["ca_file", "cert_file", "key_file"])
def test_missing_files_are_named(authority: Authority, name: str) -> None:
    """A file that is not there is named with its setting."""
    files = authority.files("client") | {name: authority.folder / "nothing.pem"}
    with pytest.raises(ConfigurationError, match=rf"postgres\.tls\.{name}.*nothing.*No such file"):
        _context(files)


def test_another_ones_key_is_named(authority: Authority) -> None:
    """A key that does not belong to the certificate is said to be another's."""
    files = authority.files("client") | {"key_file": authority.folder / "server.key"}
    with pytest.raises(ConfigurationError, match=r"server\.key is not the key of .*client\.pem"):
        _context(files)


@pytest.mark.parametrize("name", ["ca_file", "cert_file", "key_file"])
def test_what_is_no_pem_is_named(authority: Authority, name: str) -> None:
    """A file with something else in it is named."""
    files = authority.files("client")
    files[name].write_text("garbage")
    with pytest.raises(ConfigurationError, match=f"{files[name].name}.* PEM"):
        _context(files)


def test_new_files_are_taken_over_when_they_fit(authority: Authority) -> None:
    """While a new certificate's key is not there yet the context before stays in use."""
    settings = TlsSettings(enabled=True, **authority.files("client"))
    reloaded = tls.client(settings, "postgres")
    assert reloaded is not None
    first = reloaded.now()
    key = (authority.folder / "client.key").read_bytes()
    authority.issue("client")
    new_key = (authority.folder / "client.key").read_bytes()
    (authority.folder / "client.key").write_bytes(key)
    assert reloaded.now() is first
    (authority.folder / "client.key").write_bytes(new_key)
    assert reloaded.now() is not first


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", "refuses the certificate that is shown"),
        ("tlsv13 alert certificate required", "refuses the certificate that is shown"),
        ("self-signed certificate in certificate chain", "not by a known authority"),
        ("unable to get local issuer certificate", "not by a known authority"),
        ("IP address mismatch, certificate is not valid for '::1'", "for another name"),
        ("certificate has expired", "has expired"),
        ("WRONG_VERSION_NUMBER", "does not speak TLS"),
    ],
)
def test_refusals_are_in_words(said: str, meant: str) -> None:
    """What OpenSSL says of a handshake is said in words that name server and section."""
    found = tls.refusal(said, "Kafka", "kafka")
    assert meant in found.message
    assert found.message.startswith("Kafka: TLS: ")
    assert "[kafka.tls]" in found.hint


def test_a_broken_connection_is_no_refusal() -> None:
    """A server that goes away in the middle of a handshake is tried again."""
    assert isinstance(tls.refused(ssl.SSLEOFError(), "PostgreSQL", "postgres"), Transient)


async def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> bytes:
    """The certificate that a server of this context shows now."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server) as listening:
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        answer = await reader.read(1)
        writer.close()
        if answer != b"x":
            raise ConnectionError("the server has ended the handshake")
        return shown


async def test_the_port_shows_its_new_certificate(authority: Authority) -> None:
    """A context that is in use shows a new certificate to the next client."""
    port = PortTlsSettings(enabled=True, **authority.files("server"))
    context, client = tls.port_context(port), _context(authority.files("client"))
    before = await _handshake(context, client)
    assert await _handshake(context, client) == before
    authority.issue("server")
    assert await _handshake(context, client) != before


async def test_the_port_trusts_its_new_authority(authority: Authority, tmp_path: Path) -> None:
    """A context that is in use takes clients of a new authority, and the former's no more."""
    files = authority.files("server")
    port = PortTlsSettings(enabled=True, client_certificates=True, **files)
    context, old = tls.port_context(port), _context(authority.files("client"))
    other = new_authority(tmp_path / "other")
    other.issue("client")
    new = _context(
        authority.files("client")
        | {"cert_file": other.folder / "client.pem"}
        | {"key_file": other.folder / "client.key"}
    )
    await _handshake(context, old)
    with pytest.raises(ConnectionError):
        await _handshake(context, new)
    authority.ca.write_bytes(other.ca.read_bytes())
    await _handshake(context, new)
    with pytest.raises(ConnectionError):
        await _handshake(context, old)
