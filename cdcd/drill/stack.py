"""The servers of the project's local stack, which a drill may stop, kill and start again.

Its file says where the servers are and what command controls them. No other servers are disturbed:
settings that name others are refused.
"""

import asyncio
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cdcd.config.settings import Settings
from cdcd.model.errors import ConfigurationError, Fatal

FILE = Path(".local/stack.json")
_CONTROL_SECONDS_MAX = 180.0


@dataclass(frozen=True, slots=True)
class LocalStack:
    """The stack; `found` is what its file says."""

    folder: Path
    found: dict[str, Any]

    @classmethod
    def read(cls, file: Path, settings: Settings) -> "LocalStack":
        """The stack that the settings mean. Raises ConfigurationError when there is none, or when
        they mean other servers.
        """
        try:
            found = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):
            found = {}
        # A file without it names servers that are someone else's.
        if "control" not in found:
            raise ConfigurationError(
                f"this drill disturbs servers, and there is no local stack at {file}",
                "only the local stack's servers may be disturbed; `make up` starts it",
            )
        stack = cls(file.resolve().parent, found)
        named = {
            "ScyllaDB": (settings.scylla.port, stack.told("scylla").get("port")),
            "Kafka": (settings.kafka.bootstrap_servers, stack.told("kafka")),
            "the registry": (settings.registry.url, stack.told("registry")),
            "PostgreSQL": (
                urlsplit(settings.postgres.dsn.get_secret_value()).port,
                urlsplit(stack.told("postgres")).port,
            ),
        }
        others = [name for name, (ours, theirs) in named.items() if ours != theirs]
        if others:
            raise ConfigurationError(
                f"the settings name another server than the local stack's: {', '.join(others)}",
                f"this drill may only disturb the stack of {file}",
            )
        return stack

    def told(self, name: str) -> Any:
        """What the file says of something. Raises ConfigurationError when that is nothing."""
        if name not in self.found:
            raise ConfigurationError(
                f"the local stack's file does not say `{name}`, which this drill needs",
                "an older version made that stack: `make down`, `make up`",
            )
        return self.found[name]

    @property
    def admin_dsn(self) -> str:
        """PostgreSQL's superuser."""
        return str(self.told("postgres_admin"))

    def vault(self) -> dict[str, str]:
        """Where its Vault is, once that was started: `url`, `token`, and the path of a `login`."""
        found: dict[str, str] = self._now().told("vault")
        return found

    def small_disk(self) -> str:
        """The folder of a tablespace on PostgreSQL's small file system, once that is mounted."""
        return str(self._now().told("small_disk"))

    def _now(self) -> "LocalStack":
        """With what its command has written down since."""
        return LocalStack(self.folder, json.loads((self.folder / FILE.name).read_text("utf-8")))

    async def control(self, verb: str, service: str) -> None:
        """`start`, which returns when the server answers, `stop`, `kill`, or what else the stack's
        command does with one. Raises Fatal.
        """
        await asyncio.to_thread(self._control, verb, service)

    def _control(self, verb: str, service: str) -> None:
        command = [*self.found["control"], verb, service, "--dir", str(self.folder)]
        done = subprocess.run(  # noqa: S603  the stack's own command, from its private file
            command, capture_output=True, check=False, text=True, timeout=_CONTROL_SECONDS_MAX
        )
        if done.returncode:
            raise Fatal(f"the local stack: {verb} {service} failed", done.stderr.strip())
