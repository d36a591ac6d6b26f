"""Where each setting in force comes from. Pure but for the reading of file and environment."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_settings import EnvSettingsSource

from cdcd.config.settings import Settings
from cdcd.model.errors import ConfigurationError

# Variables that begin like settings and are none.
NOT_SETTINGS = frozenset({"CDCD_CONFIG"})
# Read where nobody names a file.
FILE = Path("cdcd.toml")
_TESTS_PREFIX = "CDCD_TEST_"
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting: its dotted name, its value and where that was set."""

    name: str
    value: Any
    origin: str


def origins(settings: Settings, file: Path | None, flags: Mapping[str, Any]) -> list[Shown]:
    """Every setting in force, in the order in which they are declared."""
    environment = set(_leaves(EnvSettingsSource(Settings)()))
    in_file = set(_leaves(tomllib.loads(file.read_text()))) if file else set()
    flagged = set(_leaves(flags))

    def origin(name: str) -> str:
        if _set_in(flagged, name):
            return "flag"
        if _set_in(environment, name):
            return f"environment {variable(name)}"
        if _set_in(in_file, name):
            return f"file {file}"
        return "default"

    return [Shown(name, value, origin(name)) for name, value in _values(settings)]


def file_of(named: Path | None) -> Path | None:
    """The file whose settings count: the named one, else `cdcd.toml` of the working folder, if it
    is there.
    """
    # Not Path.is_file: it raises in a folder that this user may not enter, such as another's home.
    if named is not None or not os.path.isfile(FILE):  # noqa: PTH113
        return named
    if FILE.stat().st_uid not in (0, os.geteuid()):
        # Somebody may have laid it there to be sent the passwords of the environment.
        raise ConfigurationError(
            f"{FILE} in this folder belongs to another user", "if it is meant, name it with -c"
        )
    return FILE


def variable(name: str) -> str:
    """The environment variable of a setting; tables are given whole, in one of JSON."""
    return "CDCD_" + name.partition('."')[0].replace(".", "__").upper()


def unknown_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """Variables that look like settings and that nothing reads, such as a misspelt section."""
    known = set(Settings.model_fields)
    found = []
    for name in os.environ if environment is None else environment:
        upper = name.upper()
        if not upper.startswith("CDCD_") or upper in NOT_SETTINGS | {"CDCD_"}:
            continue
        first = upper.removeprefix("CDCD_").split("__")[0].lower()
        if first not in known and not upper.startswith(_TESTS_PREFIX):
            found.append(name)
    return sorted(found)


def _set_in(names: set[str], name: str) -> bool:
    """Whether the setting, or a part of it where it is a table of its own, is among the names."""
    return name in names or any(n.startswith(f"{name}.") for n in names)


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        name = f"{prefix}{_key(key)}"
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{name}.")
        else:
            yield name


def _values(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, BaseModel):
            yield from _values(value, f"{prefix}{key}.")
        elif isinstance(value, Mapping) and _has_sections(value):
            yield from _set_values(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _has_sections(value: Mapping[str, Any]) -> bool:
    return any(isinstance(v, BaseModel) for v in value.values())


def _set_values(sections: Mapping[str, BaseModel], prefix: str) -> Iterator[tuple[str, Any]]:
    """What the entries of a table set; what they leave out may be set by another that matches."""
    for key, section in sections.items():
        for name in sorted(section.model_fields_set):
            value = getattr(section, name)
            at = f"{prefix}{_key(key)}.{name}"
            if isinstance(value, Mapping) and _has_sections(value):
                yield from _set_values(value, f"{at}.")
            else:
                yield at, value


def _key(key: str) -> str:
    """A key as it stands in the file."""
    return key if _BARE.fullmatch(key) else f'"{key}"'
