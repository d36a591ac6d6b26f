"""How commands ask a daemon's own port."""

from http import HTTPStatus

import aiohttp

from cdcd.config.settings import HttpSettings
from cdcd.ops import tls

ANSWER_SECONDS_MAX = 5.0


def url_of(http: HttpSettings) -> str:
    """Where the settings say that the daemon is."""
    scheme = "https" if http.tls.enabled else "http"
    host = f"[{http.host}]" if ":" in http.host else http.host
    return f"{scheme}://{host}:{http.port}"


def client_of(http: HttpSettings) -> aiohttp.ClientSession:
    """A client for `async with`, with the certificates of the settings where they name some.

    Raises ConfigurationError when a certificate is wrong.
    """
    context = tls.port_client_context(http.tls) if http.tls.enabled else True
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX),
    )


def is_about_certificates(error: Exception) -> bool:
    """Whether the daemon is there, and one of the two does not trust the other."""
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status == HTTPStatus.FORBIDDEN
    return isinstance(error, aiohttp.ClientSSLError) or "[SSL" in str(error)
