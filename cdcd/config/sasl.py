"""How Kafka is logged in to."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from cdcd.config.section import Section


class SaslSettings(Section):
    """How to log in to the brokers; over TLS where `[kafka.tls]` is enabled."""

    mechanism: Literal["none", "SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "OAUTHBEARER"] = "none"
    """How to log in; a certificate is shown to the brokers with none, too."""
    username: str | None = None
    """User, for SCRAM and PLAIN."""
    password: SecretStr | None = None
    """Password of that user."""
    token_url: str | None = None
    """Where OAUTHBEARER gets its tokens, by client credentials (OpenID Connect)."""
    client_id: str | None = None
    """Client id that a token is asked for with."""
    client_secret: SecretStr | None = None
    """Secret of that client."""
    scope: str | None = Field(None, min_length=1)
    """Scope that is asked for; none leaves it to the token's server."""
    token_ca_file: Path | None = None
    """Certificates that the token's server is checked with; none takes the system's."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        needed = {
            "none": (),
            "OAUTHBEARER": ("token_url", "client_id", "client_secret"),
        }.get(self.mechanism, ("username", "password"))
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{self.mechanism} needs {', '.join(missing)}")
        return self
