"""Settings that stand elsewhere: `vault:PATH#FIELD` names a field of a secret in Vault. Pure.

PATH is what Vault's API has after `/v1/`, so that of the KV engine's second version begins with the
engine's place and `data/`: `vault:secret/data/cdcd#kafka_password`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PREFIX = "vault:"


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """Where a setting's value is."""

    path: str
    field: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.path}#{self.field}"


# The values of all references in some settings.
LookUp = Callable[[Mapping[str, Any], frozenset[Reference]], Mapping[Reference, str]]


def reference(text: str) -> Reference:
    """The reference in a text that begins like one. Raises ValueError."""
    path, mark, field = text.removeprefix(PREFIX).strip("/").partition("#")
    if not (path and mark and field):
        raise ValueError(f"a reference is {PREFIX}PATH#FIELD")
    return Reference(path, field)


def references(tree: Any) -> frozenset[Reference]:
    """All references in a tree of settings. Raises ValueError."""
    return frozenset(reference(text) for text in _texts(tree) if text.startswith(PREFIX))


def resolved(tree: Any, values: Mapping[Reference, str]) -> Any:
    """The tree with values in place of its references."""
    if isinstance(tree, str):
        return values[reference(tree)] if tree.startswith(PREFIX) else tree
    if isinstance(tree, Mapping):
        return {key: resolved(value, values) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [resolved(value, values) for value in tree]
    return tree


def merged(trees: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Trees of settings as one; of two values for one setting the later tree's."""
    found: dict[str, Any] = {}
    for tree in trees:
        for key, value in tree.items():
            before = found.get(key)
            if isinstance(before, Mapping) and isinstance(value, Mapping):
                found[key] = merged([before, value])
            else:
                found[key] = value
    return found


def _texts(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _texts(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _texts(value)
