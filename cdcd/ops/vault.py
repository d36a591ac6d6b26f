"""The only door to hvac: secrets from Vault, and a database login that is leased from it.

Vault may be away for a while: what was read stays in use, and a login for as long as its lease.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import hvac
import requests
from hvac.exceptions import (
    BadGateway,
    Forbidden,
    InternalServerError,
    InvalidPath,
    InvalidRequest,
    RateLimitExceeded,
    Unauthorized,
    UnsupportedOperation,
    VaultDown,
    VaultError,
)
from pydantic import ValidationError
from requests.adapters import HTTPAdapter

from cdcd.config.references import Reference
from cdcd.config.tls import TlsSettings
from cdcd.config.vault import VaultSettings
from cdcd.model.errors import CdcdError, ConfigurationError, Transient
from cdcd.model.login import Login
from cdcd.ops import tls
from cdcd.ops.logs import get_logger

Result = TypeVar("Result")

log = get_logger()

# What is left of a lease, or of a token's life, when it is renewed: time for some tries.
RENEW_SHARE = 1 / 3
# How soon a renewal that failed is tried again.
RETRY_SECONDS = 1.0
# A sleep between two looks at what there is to renew.
LOOK_SECONDS_MAX = 30.0

_REFUSED = Forbidden, InvalidPath, InvalidRequest, Unauthorized, UnsupportedOperation
_AWAY = VaultDown, InternalServerError, BadGateway, RateLimitExceeded, requests.RequestException


def failure(error: Exception, doing: str) -> CdcdError:
    """What an error of Vault's means; its texts name paths and methods, and no secrets."""
    if isinstance(error, requests.exceptions.SSLError):
        return tls.refusal(str(error), "Vault", "vault")
    said = "; ".join(getattr(error, "errors", None) or [type(error).__name__])
    message = f"Vault: {doing}: {said}"
    if isinstance(error, _REFUSED):
        return ConfigurationError(message, "see [vault] in the settings and the policies there")
    return Transient(message, "is it up and unsealed?" if isinstance(error, VaultDown) else "")


@dataclass(frozen=True, slots=True)
class Secret:
    """What a path gave; a lease of no seconds is none."""

    data: Mapping[str, Any]
    lease_id: str
    lease_seconds: float


class _AnyName(HTTPAdapter):
    """Connections to a server whose certificate may name another host."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, assert_hostname=False)


def _session(settings: TlsSettings) -> requests.Session:
    session = requests.Session()
    if settings.enabled:
        # Says what is wrong with a file; the session itself only fails.
        tls.client_context(settings, "vault")
        session.verify = tls.authorities(settings) or True
        if settings.cert_file and settings.key_file:
            session.cert = str(settings.cert_file), str(settings.key_file)
        if not settings.check_name:
            session.mount("https://", _AnyName())
    return session


class Vault:
    """A session with Vault. Every method blocks, and raises Transient or ConfigurationError."""

    def __init__(self, settings: VaultSettings) -> None:
        if settings.url is None:
            raise ConfigurationError("a setting is in Vault, and vault.url is not set")
        self._settings = settings
        # When the login is to be renewed, by the clock that nobody sets.
        self.renew_at = 0.0
        self._client = hvac.Client(
            settings.url,
            token=settings.token.get_secret_value() if settings.token else None,
            namespace=settings.namespace,
            timeout=settings.request_timeout_seconds,
            session=_session(settings.tls),
        )

    def close(self) -> None:
        """Close the connections. Leases are left to end by themselves: others may use them."""
        self._client.adapter.close()

    def keep_session(self) -> bool:
        """Log in, or renew the login when it is time; whether it is another login than before.

        With the login end the leases that were taken under it.
        """
        if time.monotonic() < self.renew_at:
            return False
        began_anew = not self._client.token or not self._renewed()
        if began_anew:
            self._call("logging in", self._log_in)
        self._plan()
        return began_anew

    def _renewed(self) -> bool:
        """Whether the token is good for some time more."""
        try:
            self._client.auth.token.renew_self()
        except _REFUSED:
            # A root token cannot be renewed and need not be.
            return self._settings.auth == "token"
        except VaultError as error:
            raise failure(error, "renewing the login") from None
        except requests.RequestException as error:
            raise failure(error, "renewing the login") from None
        return self._life_seconds() > 0

    def _plan(self) -> None:
        life_seconds = self._life_seconds()
        wait = life_seconds * (1 - RENEW_SHARE) if life_seconds else float("inf")
        self.renew_at = time.monotonic() + wait

    def _life_seconds(self) -> float:
        """How long the token is good for; 0 is for ever."""
        found = self._call("looking at the login", self._client.auth.token.lookup_self)
        return float(found["data"]["ttl"])

    def _log_in(self) -> None:
        settings, auth = self._settings, self._client.auth
        if settings.auth == "token":
            raise ConfigurationError("Vault: vault.token is not set or has ended", "see [vault]")
        if settings.role is None:
            raise ConfigurationError(f"vault.role is not set, for auth = {settings.auth}")
        mount = settings.auth_path or settings.auth
        if settings.auth == "approle":
            secret = settings.secret_id.get_secret_value() if settings.secret_id else None
            auth.approle.login(settings.role, secret, mount_point=mount)
            return
        try:
            token = settings.jwt_file.read_text().strip()
        except OSError as error:
            raise ConfigurationError(f"vault.jwt_file: {error.strerror}") from error
        auth.kubernetes.login(settings.role, token, mount_point=mount)

    def read(self, path: str) -> Secret:
        """What is at a path of the API."""
        found = self._call(f"reading {path}", lambda: self._client.read(path))
        if not found:
            raise ConfigurationError(f"Vault: there is nothing at {path}", "see [vault]")
        data = found["data"] or {}
        # The second version of the KV engine wraps what it keeps.
        if isinstance(data.get("data"), dict) and "metadata" in data:
            data = data["data"]
        return Secret(data, found.get("lease_id") or "", float(found.get("lease_duration") or 0))

    def renew(self, secret: Secret) -> float:
        """Renew a lease; gives the seconds that it has now."""
        found = self._call(
            "renewing a lease", lambda: self._client.sys.renew_lease(secret.lease_id)
        )
        return float(found["lease_duration"])

    def look_up(self, wanted: frozenset[Reference]) -> dict[Reference, str]:
        """The values of references; each path is read once."""
        self.keep_session()
        secrets = {path: self.read(path) for path in sorted({r.path for r in wanted})}
        values = {}
        for each in sorted(wanted):
            value = secrets[each.path].data.get(each.field)
            if value is None:
                raise ConfigurationError(f"Vault: {each.path} has no field {each.field}")
            values[each] = str(value)
        return values

    @staticmethod
    def _call(doing: str, function: Callable[[], Result]) -> Result:
        try:
            return function()
        except (VaultError, requests.RequestException) as error:
            raise failure(error, doing) from None


class Secrets:
    """What the settings' references gave, and whether they give something else by now."""

    def __init__(self) -> None:
        self._settings = VaultSettings()
        self._values: Mapping[Reference, str] = {}

    def look_up(
        self, section: Mapping[str, Any], wanted: frozenset[Reference]
    ) -> Mapping[Reference, str]:
        """The values of references; `section` is `[vault]` as it was read."""
        try:
            self._settings = VaultSettings(**section)
        except ValidationError as error:
            names = ", ".join(f"vault.{'.'.join(map(str, e['loc']))}" for e in error.errors())
            raise ConfigurationError(f"wrong settings: {names}") from None
        self._values = self._read(wanted)
        return self._values

    def _read(self, wanted: frozenset[Reference]) -> Mapping[Reference, str]:
        vault = Vault(self._settings)
        try:
            return vault.look_up(wanted)
        finally:
            vault.close()

    async def change(self) -> None:
        """Return when a secret has changed."""
        while True:
            await asyncio.sleep(self._settings.refresh_seconds)
            try:
                found = await asyncio.to_thread(self._read, frozenset(self._values))
            except CdcdError as error:
                # What was read stays in use for as long as it is good.
                log.warning("secrets were not read again", exc_info=error)
                continue
            if found != self._values:
                return


def one_login(settings: VaultSettings, path: str) -> Login:
    """A database login for a command that ends soon; its lease is left to end."""
    vault = Vault(settings)
    try:
        vault.keep_session()
        return _login(vault.read(path), path, 1)
    finally:
        vault.close()


def _login(secret: Secret, path: str, number: int) -> Login:
    missing = [f for f in ("username", "password") if f not in secret.data]
    if missing:
        raise ConfigurationError(f"Vault: {path} has no field {missing[0]}")
    return Login(str(secret.data["username"]), str(secret.data["password"]), number)


class LeasedLogin:
    """A database login from Vault, renewed for as long as Vault lets, then replaced by another."""

    def __init__(self, settings: VaultSettings, path: str) -> None:
        self._vault = Vault(settings)
        self._path = path
        self._secret: Secret | None = None
        self._login: Login | None = None
        self._ends = 0.0
        self._renew_at = 0.0

    def close(self) -> None:
        """Leave it; the lease ends by itself."""
        self._vault.close()

    @property
    def login(self) -> Login:
        """The login to use now. Raises Transient while there is none."""
        if self._login is None:
            raise Transient("Vault: there is no login for PostgreSQL yet")
        return self._login

    @property
    def seconds_left(self) -> float:
        """How long the login is good for, if it is not renewed."""
        return self._ends - time.monotonic()

    async def begin(self) -> None:
        """Get the first login. Raises Transient or ConfigurationError."""
        await asyncio.to_thread(self._vault.keep_session)
        await self._replace()

    async def keep(self, report: Callable[[float], None]) -> None:
        """Renew and replace, for ever; `report` is told the seconds that are left.

        What fails is tried again. Raises ConfigurationError when Vault refuses it.
        """
        while True:
            report(self.seconds_left)
            # With the session ends what was leased under it.
            wait_seconds = min(self._renew_at, self._vault.renew_at) - time.monotonic()
            if wait_seconds > 0:
                await asyncio.sleep(min(wait_seconds, LOOK_SECONDS_MAX))
                continue
            try:
                await self._renew()
            except Transient as error:
                log.warning("the database login was not renewed", exc_info=error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _renew(self) -> None:
        if await asyncio.to_thread(self._vault.keep_session) or self._secret is None:
            await self._replace()
            return
        if time.monotonic() < self._renew_at:
            return
        try:
            seconds = await asyncio.to_thread(self._vault.renew, self._secret)
        except ConfigurationError:
            # It has ended, was revoked, or may not be renewed: only another one helps.
            await self._replace()
            return
        if seconds < self._secret.lease_seconds * (1 - RENEW_SHARE):
            # The end of all renewals is near.
            await self._replace()
        else:
            self._plan(seconds)

    async def _replace(self) -> None:
        self._secret = await asyncio.to_thread(self._vault.read, self._path)
        number = self._login.number + 1 if self._login else 1
        self._login = _login(self._secret, self._path, number)
        self._plan(self._secret.lease_seconds)
        log.info("a database login was taken", user=self._login.user)

    def _plan(self, seconds: float) -> None:
        now = time.monotonic()
        # What is not leased, such as a login in the KV engine, is read again all the same.
        self._ends = now + seconds if seconds else float("inf")
        self._renew_at = now + (seconds or LOOK_SECONDS_MAX) * (1 - RENEW_SHARE)
