"""The command line against the real services: a settings file for them, and what it answers."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cdcd.cli.main import main
from cdcd.config.settings import KafkaSettings
from tests.stack import Stack


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document on stdout."""
        return json.loads(self.out)


class Command:
    """Runs `cdcd` in a pipeline of its own, with some settings other than the stack's."""

    def __init__(self, stack: Stack, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.name = f"look-{time.time_ns()}"
        self._folder = folder
        self._capture = capture
        self._settings: dict[str, dict[str, object]] = {
            "scylla": {"hosts": [stack.scylla_host], "port": stack.scylla_port},
            "kafka": {
                "bootstrap_servers": stack.kafka,
                "topic_replication_factor": 1,
                "topic_min_insync_replicas": 1,
                "request_timeout_seconds": 3.0,
            },
            "registry": {"url": stack.registry},
            "postgres": {"dsn": stack.postgres, "target_schema": self.name},
            "http": {"port": 0},
        }
        if stack.scylla_login:
            self.set("scylla", username=stack.scylla_login[0], password=stack.scylla_login[1])

    def set(self, section: str, **values: object) -> None:
        """Other values for some settings of a section."""
        self._settings.setdefault(section, {}).update(values)

    def drop(self, section: str) -> None:
        """Leave a section's settings at their defaults."""
        self._settings.pop(section)

    def kafka(self) -> KafkaSettings:
        """The settings for Kafka."""
        return KafkaSettings.model_validate(self._settings["kafka"])

    def __call__(self, *arguments: str) -> Answer:
        file = self._folder / "cdcd.toml"
        # JSON's strings, numbers and lists are TOML's, too.
        sections = [
            "\n".join([f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items())])
            for name, values in self._settings.items()
        ]
        file.write_text("\n\n".join([f'name = "{self.name}"', *sections]))
        self._capture.readouterr()
        code = main(["-c", str(file), *arguments])
        out, err = self._capture.readouterr()
        return Answer(code, out, err)
