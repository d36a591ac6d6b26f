"""How to reach Vault."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from cdcd.config.section import Section
from cdcd.config.tls import TlsSettings, require_https


class VaultSettings(Section):
    """Where secrets are that the settings only name: `vault:PATH#FIELD` (docs/SECURITY.md)."""

    url: str | None = None
    """Address of Vault, or of another server of its API; none means that nothing is there."""
    auth: Literal["token", "approle", "kubernetes"] = "token"
    """How to log in."""
    auth_path: str | None = None
    """Where that method is mounted; none is where Vault mounts it by default."""
    role: str | None = None
    """Role id of an AppRole, or role of a Kubernetes login."""
    secret_id: SecretStr | None = None
    """Secret id of the AppRole."""
    token: SecretStr | None = None
    """Token, for a login by token."""
    jwt_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    """The service account's token, for a login by Kubernetes; it is read at each login."""
    namespace: str | None = None
    """Namespace, where the server has them."""
    request_timeout_seconds: float = Field(5.0, gt=0)
    """Limit for one request."""
    refresh_seconds: float = Field(60.0, gt=0)
    """How often secrets are read again; a changed one is taken over without a restart."""
    tls: TlsSettings = TlsSettings()

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        require_https(self.tls, self.url)
        return self
