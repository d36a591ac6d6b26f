"""References in settings: what is one, and what stands in its place."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cdcd.config.references import Reference, merged, reference, references, resolved
from cdcd.config.settings import load
from cdcd.model.errors import ConfigurationError


def test_reference_has_a_path_and_a_field() -> None:
    """The field is what follows the mark; slashes at the ends do not count."""
    assert reference("vault:/secret/data/a#b") == Reference("secret/data/a", "b")


@pytest.mark.parametrize("text", ["vault:", "vault:a", "vault:a#", "vault:#b"])
def test_half_a_reference_is_wrong(text: str) -> None:
    """A path without a field, or a field without a path, is told."""
    with pytest.raises(ValueError, match="vault:PATH#FIELD"):
        references({"a": [text]})


def test_references_are_found_and_replaced_everywhere() -> None:
    """In tables, in lists and in nested ones; nothing else is touched."""
    tree = {"a": "vault:p#f", "b": {"c": ["x", "vault:p#g"]}, "d": 1, "e": "no vault:p#f"}
    assert references(tree) == {Reference("p", "f"), Reference("p", "g")}
    values = {Reference("p", "f"): "1", Reference("p", "g"): "2"}
    expected = {"a": "1", "b": {"c": ["x", "2"]}, "d": 1, "e": "no vault:p#f"}
    assert resolved(tree, values) == expected


def test_merging_goes_by_the_leaf() -> None:
    """Of two values for one setting the later counts, and what only one tree has stays."""
    assert merged([{"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "d": {}}]) == {
        "a": {"b": 4, "c": 2},
        "d": {},
    }


def _look_up(section: Mapping[str, Any], wanted: frozenset[Reference]) -> dict[Reference, str]:
    return {r: f"{section['url']} {r.field}" for r in wanted}


def test_strengths_stay_with_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flag before environment before file holds for references, and for where Vault is, too."""
    file = tmp_path / "cdcd.toml"
    file.write_text(
        '[vault]\nurl = "file"\n[registry]\nurl = "vault:a#file"\nusername = "vault:a#name"'
    )
    monkeypatch.setenv("CDCD_REGISTRY__URL", "vault:a#environment")
    settings = load(file, {"registry": {"username": "flag"}}, _look_up)
    assert settings.registry.url == "file environment"
    assert settings.registry.username == "flag"


def test_half_a_reference_in_settings_is_a_wrong_setting(tmp_path: Path) -> None:
    """It is told as other wrong settings are."""
    file = tmp_path / "cdcd.toml"
    file.write_text('[registry]\nurl = "vault:a"')
    with pytest.raises(ConfigurationError, match="vault:PATH#FIELD"):
        load(file, {}, _look_up)


def test_nothing_is_looked_up_without_references() -> None:
    """Whoever has no secret in Vault needs no Vault."""

    def look_up(_: Mapping[str, Any], __: frozenset[Reference]) -> dict[Reference, str]:
        raise AssertionError

    assert load(None, {"name": "shop"}, look_up).name == "shop"
