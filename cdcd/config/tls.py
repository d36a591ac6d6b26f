"""How links are encrypted, and how Kafka is logged in to."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from cdcd.config.section import Section


class TlsSettings(Section):
    """TLS 1.2 and up on this link. Files are PEM; they are looked at again while the daemon runs,
    see `certificate_refresh_seconds`.
    """

    enabled: bool = False
    """Whether the link has to be encrypted, and the server's certificate is checked."""
    ca_file: Path | None = None
    """Certificates that the server's is checked with; none takes the system's."""
    cert_file: Path | None = None
    """Certificate that is shown to the server, with those between it and the CA; none shows
    none."""
    key_file: Path | None = None
    """Key of that certificate, without a passphrase; who can read it is cdcd to the server."""
    check_name: bool = True
    """Whether the server's certificate has to name the host that was asked for."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _together(self.cert_file, self.key_file)
        if not self.enabled and (self.ca_file or self.cert_file):
            raise ValueError("files are named, and `enabled` is false")
        return self


class PortTlsSettings(Section):
    """TLS 1.2 and up on the daemon's own port. Files are PEM, and are looked at again at each
    connection. Commands that ask the daemon (`cdcd status --watch`, `cdcd latency`) show the same
    certificate.
    """

    enabled: bool = False
    """Whether the port speaks https; then it needs a certificate and its key."""
    ca_file: Path | None = None
    """Certificates that those of clients are checked with, and by commands the port's; none takes
    the system's for the latter."""
    cert_file: Path | None = None
    """The port's certificate, with those between it and the CA."""
    key_file: Path | None = None
    """Key of that certificate, without a passphrase."""
    client_certificates: bool = False
    """Whether all but `/livez` and `/readyz` is only for clients with a certificate by `ca_file`;
    the reasons in `/readyz` too."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _together(self.cert_file, self.key_file)
        if self.enabled and self.cert_file is None:
            raise ValueError("`enabled` needs cert_file and key_file")
        if not self.enabled and (self.ca_file or self.cert_file or self.client_certificates):
            raise ValueError("files are named, and `enabled` is false")
        if self.client_certificates and self.ca_file is None:
            raise ValueError("client_certificates needs ca_file")
        return self


def require_https(tls: TlsSettings, url: str | None) -> None:
    """Raise ValueError where TLS is enabled and an address of the link is plain."""
    plain = [part for part in (url or "").split(",") if part.strip().startswith("http:")]
    if tls.enabled and plain:
        raise ValueError("tls is enabled, and url is not https")


def _together(cert_file: Path | None, key_file: Path | None) -> None:
    if (cert_file is None) != (key_file is None):
        raise ValueError("cert_file and key_file belong together")
