"""Makes `docs/CONFIG.md` from the settings: `python -m cdcd.config.page > docs/CONFIG.md`."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from cdcd.config.origin import variable
from cdcd.config.settings import Settings

_HEAD = """# Settings

A flag is stronger than the environment, which is stronger than the file, which is stronger than the
default. `cdcd config` shows the settings in force and where each came from.

The file is TOML and is named by `-c FILE` or `CDCD_CONFIG`. Where neither names one it is
`cdcd.toml` of the folder that the command is started in, and none if that is not there. A setting
`scylla.port` is `port` in the table `[scylla]`. The environment variable of a setting is its name
in capitals behind `CDCD_`, with two underscores for each dot: `CDCD_SCYLLA__PORT`. Lists of hosts
are separated by commas there; tables (`kafka.properties`, `tables`) are JSON.

Settings are read at the start: after a change restart the workers, one after the other. SIGHUP
reads `[log]` anew; secrets in Vault and certificates are taken over by themselves. Other columns,
types or masks of a table count for its next changes; rows that are there follow when `cdcd
backfill` has copied it.

Flags of `cdcd run`: `--name`, `--instance`, `--http-port`; of every command: `--verbose` for
`log.level = "debug"`.

This page is made from `cdcd/config/` with `python -m cdcd.config.page`.
"""


def page() -> str:
    """The page's text."""
    return _HEAD + "".join(_section("", Settings))


def _section(name: str, section: type[BaseModel]) -> Iterator[str]:
    fields = section.model_fields
    plain = {k: f for k, f in fields.items() if _sub_section(k, f) is None}
    title = f"`[{name}]`" if name else "At the top"
    about = f"{inspect.cleandoc(section.__doc__ or '')}\n\n" if name else ""
    yield f"\n## {title}\n\n{about}"
    yield "| setting | type | default | what it is |\n|---|---|---|---|\n"
    for key, field in plain.items():
        yield _row(f"{name}.{key}" if name else key, field)
    for key, field in fields.items():
        if sub := _sub_section(key, field):
            yield from _section(f"{name}.{sub[0]}" if name else sub[0], sub[1])


def _sub_section(key: str, field: FieldInfo) -> tuple[str, type[BaseModel]] | None:
    """The name and kind of what is a table of its own in the file; `NAME` is the user's."""
    kind = field.annotation
    if get_origin(kind) is dict:
        kind, key = get_args(kind)[1], f'{key}."NAME"'
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return key, kind
    return None


def _row(name: str, field: FieldInfo) -> str:
    cells = (
        f"`{name}`" if '"' in name else f"`{name}`<br>`{variable(name)}`",
        _type(field.annotation) + _bounds(field),
        _default(name, field),
        # A line's end would end the row.
        " ".join((field.description or "").split()),
    )
    return "| " + " | ".join(cells) + " |\n"


def _type(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    if get_origin(kind) is tuple:
        return "list"
    if get_origin(kind) is dict:
        return "table"
    options = [k for k in get_args(kind) if k is not NoneType]
    if options:
        return _type(options[0])
    names = {str: "text", int: "whole number", float: "number", bool: "flag", SecretStr: "secret"}
    names[Path] = "file"
    return names[kind]


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {getattr(rule, attribute)}"
        for rule in field.metadata
        for attribute, sign in signs.items()
        if getattr(rule, attribute, None) is not None
    ]
    return f", {', '.join(found)}" if found else ""


def _default(name: str, field: FieldInfo) -> str:
    if name == "instance":
        return "the host's name"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ({}, ()):
        return "none"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    return f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(page())
