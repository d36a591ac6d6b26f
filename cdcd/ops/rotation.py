"""Certificates that change while the daemon runs: noticed by what is in the files.

PostgreSQL's pool and the daemon's port take over new files by themselves, at the next connection.
The clients of the other servers read their files once, so the stages begin anew with them.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from cdcd.config.settings import Settings
from cdcd.config.tls import TlsSettings
from cdcd.model.errors import ConfigurationError
from cdcd.ops import tls
from cdcd.ops.logs import get_logger

log = get_logger()

# Told when certificates end, in seconds since 1970, by the setting that names their file.
Report = Callable[[Mapping[str, float]], None]

_IN_PLACE = frozenset({"postgres", "http"})


def require(settings: Settings) -> None:
    """Raise ConfigurationError where a link's file is missing, no PEM, or another's key."""
    for link, section in _links(settings).items():
        tls.client_context(section, link)
    if settings.http.tls.enabled:
        tls.port_context(settings.http.tls)


class Rotation:
    """Looks at the files of one set of settings."""

    def __init__(self, settings: Settings, report: Report) -> None:
        self._settings = settings
        self._report = report
        named = dict[str, Mapping[str, Path]]()
        for link, section in _links(settings).items():
            named[link] = tls.files_of(section)
        if settings.http.tls.enabled:
            named["http"] = tls.files_of(settings.http.tls)
        self._files = {
            (link, name): file for link, files in named.items() for name, file in files.items()
        }
        self._used = self._look()
        self._report(_ends(self._used))

    async def changed(self) -> None:
        """Return when files have changed that only new clients would read, and are all well."""
        seen = self._used
        while True:
            await asyncio.sleep(self._settings.certificate_refresh_seconds)
            found = await asyncio.to_thread(self._look)
            if found == seen:
                continue
            seen = found
            self._report(_ends(found))
            if all(found[k] == self._used[k] for k in found if k[0] not in _IN_PLACE):
                continue
            try:
                require(self._settings)
            except ConfigurationError as error:
                # Half of them may be written by now.
                log.warning("new certificates are not used", exc_info=error)
            else:
                return

    def _look(self) -> dict[tuple[str, str], bytes | None]:
        return {key: tls.content(file) for key, file in self._files.items()}


def _links(settings: Settings) -> dict[str, TlsSettings]:
    """The links that have TLS enabled, by the names of their sections."""
    sections = {
        "scylla": settings.scylla.tls,
        "kafka": settings.kafka.tls,
        "registry": settings.registry.tls,
        "postgres": settings.postgres.tls,
        "vault": settings.vault.tls,
    }
    return {link: section for link, section in sections.items() if section.enabled}


def _ends(contents: Mapping[tuple[str, str], bytes | None]) -> dict[str, float]:
    """When certificates end: a chain with the first of its certificates, trust with the last."""
    found = {}
    for (link, name), content in contents.items():
        if name == "key_file" or content is None:
            continue
        # Its library takes 8 MB, which a worker without certificates is spared.
        from cdcd.ops.certificates import ends_of  # noqa: PLC0415

        try:
            ends = ends_of(content)
        except ValueError:
            continue  # whoever uses it says so
        found[f"{link}.tls.{name}"] = min(ends) if name == "cert_file" else max(ends)
    return found
