"""The one place where TLS contexts are made, and where changed files are noticed.

TLS 1.2 and up. Whatever is wrong with a file is a ConfigurationError that names the setting.
"""

import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

from cdcd.config.tls import PortTlsSettings, TlsSettings
from cdcd.model.errors import CdcdError, ConfigurationError, Transient
from cdcd.ops.logs import get_logger

log = get_logger()

FILES = ("ca_file", "cert_file", "key_file")


def client(tls: TlsSettings, link: str) -> "Reloaded | None":
    """The contexts of a link for as long as a client lives; None where TLS is not enabled."""
    if not tls.enabled:
        return None
    return Reloaded(lambda: client_context(tls, link), files_of(tls).values())


def client_context(tls: TlsSettings, link: str) -> ssl.SSLContext:
    """The context of a link, such as `postgres`, whose section has TLS enabled."""
    context = _client(tls, f"{link}.tls")
    context.check_hostname = tls.check_name
    return context


def port_client_context(tls: PortTlsSettings) -> ssl.SSLContext:
    """The context of a command that asks the daemon's port."""
    return _client(tls, "http.tls")


def port_context(tls: PortTlsSettings) -> ssl.SSLContext:
    """The context of the daemon's port, which takes over files that have changed."""
    reloaded = Reloaded(lambda: _port(tls), files_of(tls).values())
    context = _port(tls)

    def take_over(connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        connection.context = reloaded.now()

    context.sni_callback = take_over
    return context


def _client(tls: TlsSettings | PortTlsSettings, section: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca_file is None:
        context.load_default_certs()
    else:
        _trust(context, tls.ca_file, section)
    _show(context, tls, section)
    return context


def _port(tls: PortTlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client that resumed a session would not show its certificate to new authorities.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    _show(context, tls, "http.tls")
    if tls.client_certificates and tls.ca_file is not None:
        _trust(context, tls.ca_file, "http.tls")
        # Which paths are for whom is decided when the path is known.
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _trust(context: ssl.SSLContext, file: Path, section: str) -> None:
    setting = f"{section}.ca_file"
    _read(file, setting)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError:
        raise _wrong(f"{setting}: {file} holds no certificate in PEM", section) from None


def _show(context: ssl.SSLContext, tls: TlsSettings | PortTlsSettings, section: str) -> None:
    if tls.cert_file is None or tls.key_file is None:
        return
    for setting, file in (("cert_file", tls.cert_file), ("key_file", tls.key_file)):
        _read(file, f"{section}.{setting}")
    try:
        # The password is for a key that has one, which would be asked for on the terminal.
        context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_passphrase)
    except _Passphrase:
        raise _wrong(f"{section}.key_file: {tls.key_file} has a passphrase", section) from None
    except ssl.SSLError as error:
        what = f"{section}.key_file: {tls.key_file} is not the key of {tls.cert_file}"
        if error.reason != "KEY_VALUES_MISMATCH":
            what = (
                f"{section}: {tls.cert_file} and {tls.key_file} are no certificate and key in PEM"
            )
        raise _wrong(what, section) from None


class _Passphrase(Exception):
    """A key asks for its passphrase."""


def _no_passphrase() -> str:
    raise _Passphrase


def _read(file: Path, setting: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        section = setting.rpartition(".")[0]
        raise _wrong(f"{setting}: {file}: {error.strerror}", section) from None


def _wrong(what: str, section: str) -> ConfigurationError:
    return ConfigurationError(what, f"see [{section}] in the settings")


def authorities(tls: TlsSettings) -> str | None:
    """The file of certificates that a link's server is checked with, for clients that want one."""
    return str(tls.ca_file) if tls.ca_file else ssl.get_default_verify_paths().cafile


def refused(error: ssl.SSLError, server: str, link: str) -> CdcdError:
    """What a failed handshake with a server means. A broken connection is no refusal."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Transient(f"{server}: the connection broke")
    return refusal(getattr(error, "verify_message", "") or error.reason or str(error), server, link)


def refusal(said: str, server: str, link: str) -> ConfigurationError:
    """A handshake that failed, from what the client's library said of it."""
    text = said.replace("_", " ").lower()
    section = f"[{link}.tls]"
    for mark, (what, hint) in _REFUSALS.items():
        if mark in text:
            return ConfigurationError(f"{server}: TLS: {what}", f"see {hint} in {section}")
    return ConfigurationError(f"{server}: TLS: {said}", f"see {section}, and the server's log")


_UNKNOWN = "the server's certificate is not by a known authority", "ca_file"
_UNVERIFIED = (
    "the server's certificate could not be verified: its authority, its name or its time",
    "ca_file and check_name",
)
# What OpenSSL's words, and the alerts that servers send, mean.
_REFUSALS = {
    # librdkafka says no more.
    "could not be verified": _UNVERIFIED,
    "alert protocol version": ("the server speaks no TLS 1.2", "enabled"),
    "alert": ("the server refuses the certificate that is shown, or that none is", "cert_file"),
    "mismatch": ("the server's certificate is for another name", "check_name"),
    "expired": ("the server's certificate has expired", "ca_file"),
    "wrong version number": ("the server does not speak TLS at this port", "enabled"),
    "self": _UNKNOWN,
    "local issuer": _UNKNOWN,
    "unable to verify": _UNKNOWN,
    "certificate verify failed": _UNVERIFIED,
}


def files_of(tls: TlsSettings | PortTlsSettings) -> dict[str, Path]:
    """The files that a section names, by the settings' names."""
    named = {name: getattr(tls, name) for name in FILES}
    return {name: file for name, file in named.items() if file is not None}


class Reloaded:
    """A context that is made anew when its files have changed.

    While new ones are wrong, as they are when only one of two is written yet, the one before stays.
    """

    def __init__(self, make: Callable[[], ssl.SSLContext], files: Iterable[Path]) -> None:
        """Raises what `make` raises."""
        self._make = make
        self._files = tuple(files)
        self._seen = self._look()
        self._context = make()

    def now(self) -> ssl.SSLContext:
        """The context for a connection that is made now."""
        found = self._look()
        if found != self._seen:
            self._seen = found
            try:
                self._context = self._make()
            except ConfigurationError as error:
                log.warning("new certificates are not used", exc_info=error)
        return self._context

    def _look(self) -> list[bytes | None]:
        return [content(file) for file in self._files]


def content(file: Path) -> bytes | None:
    """What is in a file, or None where it cannot be read."""
    try:
        return file.read_bytes()
    except OSError:
        return None
