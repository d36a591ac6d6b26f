"""What one call of `cdcd` was given before the command's name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdcd.config.settings import Settings, load
from cdcd.ops import logs


@dataclass(slots=True)
class Invocation:
    """The global options. `ends_in_log` is set by a command whose last words belong in the log."""

    file: Path | None = None
    verbose: bool = False
    ends_in_log: bool = False

    def settings(self, flags: Mapping[str, Any]) -> Settings:
        """The settings in force, with logging set up by them. Raises ConfigurationError."""
        settings = load(self.file, self.flags(flags))
        logs.configure(settings.log)
        return settings

    def reload(self, flags: Mapping[str, Any]) -> None:
        """Take over what may change while a command runs: how and what is logged."""
        logs.configure(load(self.file, self.flags(flags)).log)

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
