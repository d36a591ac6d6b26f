"""What one call of `cdcd` was given before the command's name."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from cdcd.config.references import Reference
from cdcd.config.settings import Settings, load
from cdcd.ops import logs

if TYPE_CHECKING:
    from cdcd.ops.vault import Secrets


@dataclass(slots=True)
class Invocation:
    """The global options. `ends_in_log` is set by a command whose last words belong in the log."""

    file: Path | None = None
    verbose: bool = False
    ends_in_log: bool = False
    secrets: "Secrets | None" = None

    def settings(self, flags: Mapping[str, Any], *, leased: bool = True) -> Settings:
        """The settings in force, with logging set up by them. Raises ConfigurationError.

        With `leased`, a database login from Vault is taken at once, for a command that ends soon.
        """
        settings = load(self.file, self.flags(flags), self._look_up)
        logs.configure(settings.log)
        postgres = settings.postgres
        if not leased or postgres.vault_login is None:
            return settings
        from cdcd.ops.vault import one_login  # noqa: PLC0415  few need it, and it takes its time

        login = one_login(settings.vault, postgres.vault_login)
        update = {"username": login.user, "password": SecretStr(login.password)}
        return settings.model_copy(update={"postgres": postgres.model_copy(update=update)})

    async def changed(self, flags: Mapping[str, Any]) -> Settings:
        """The settings anew, as soon as a secret that they name has changed."""
        if self.secrets is None:
            await asyncio.get_running_loop().create_future()
        else:
            await self.secrets.change()
        return await asyncio.to_thread(load, self.file, self.flags(flags), self._look_up)

    def reload(self, flags: Mapping[str, Any]) -> None:
        """Take over what may change while a command runs: how and what is logged."""
        logs.configure(load(self.file, self.flags(flags), self._look_up).log)

    def _look_up(
        self, section: Mapping[str, Any], wanted: frozenset[Reference]
    ) -> Mapping[Reference, str]:
        from cdcd.ops.vault import Secrets  # noqa: PLC0415  few need it, and it takes its time

        self.secrets = self.secrets or Secrets()
        return self.secrets.look_up(section, wanted)

    def flags(self, flags: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that were given as flags, by section; what is None was not given."""
        given = {"log.level": "debug" if self.verbose else None, **flags}
        tree: dict[str, Any] = {}
        for name, value in given.items():
            if value is None:
                continue
            *sections, field = name.split(".")
            at = tree
            for section in sections:
                at = at.setdefault(section, {})
            at[field] = value
        return tree
