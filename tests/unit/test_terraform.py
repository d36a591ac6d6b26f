"""The Terraform module: it can be read, and its topics are those that cdcd would make itself."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hcl2

from cdcd.config.settings import KafkaSettings, PostgresSettings, Settings
from cdcd.transport.topics import Topics, dead_letter_topic, lanes_topic

FOLDER = Path(__file__).resolve().parent.parent.parent / "deploy" / "terraform"
TABLE = "shop.orders"


def _read(name: str, kind: str) -> list[tuple[list[str], dict[str, Any]]]:
    """The blocks of a kind: their labels and what they hold, without quotes."""
    found = []
    for block in hcl2.loads((FOLDER / name).read_text()).get(kind, []):
        labels = []
        while not block.get("__is_block__"):
            ((label, block),) = block.items()  # noqa: PLW2901  a label holds the next one
            labels.append(label.strip('"'))
        found.append((labels, block))
    return found


def _variables() -> dict[str, Any]:
    return {
        labels[0]: _plain(block["default"])
        for labels, block in _read("variables.tf", "variable")
        if "default" in block
    }


def _plain(value: Any) -> Any:
    return value.strip('"') if isinstance(value, str) else value


def _value(given: Any, variables: Mapping[str, Any]) -> str:
    """An expression with the variables' defaults, as Kafka has it: a text."""
    text = str(_plain(given)).replace("each.value", repr(TABLE))

    def evaluated(found: re.Match[str]) -> str:
        names = re.sub(r"var\.(\w+)", lambda m: repr(variables[m[1]]), found[1])
        product = re.fullmatch(r"(\d+) \* (\d+)", names)
        return str(int(product[1]) * int(product[2])) if product else names.strip("'")

    return re.sub(r"\$\{([^}]*)\}", evaluated, text)


class Recorder(Topics):
    """Keeps what would be made."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self.made: dict[str, tuple[int, dict[str, str]]] = {}

    async def _make(self, name: str, partitions: int, config: dict[str, str]) -> int:
        self.made[name] = partitions, config
        return partitions

    async def _config(self, topic: str) -> dict[str, str]:
        return self.made[topic][1]


async def test_topics_are_those_that_cdcd_makes() -> None:
    """With the defaults of both, names, partitions, copies and settings are the same."""
    settings = Settings(name="cdcd")
    recorder = Recorder(settings.kafka)
    await recorder.make_lanes_topic(lanes_topic("cdcd"), settings.lanes)
    await recorder.make_change_topic(f"cdcd.{TABLE}")
    await recorder.make_dead_letter_topic(dead_letter_topic("cdcd"))
    variables = _variables()
    written = {}
    for labels, block in _read("main.tf", "resource"):
        if labels[0] == "kafka_topic":
            config = {_plain(k): _value(v, variables) for k, v in block["config"].items()}
            name = _value(block["name"], variables)
            written[name] = int(_value(block["partitions"], variables)), config
            copies = int(_value(block["replication_factor"], variables))
            assert copies == settings.kafka.topic_replication_factor
    assert written == recorder.made


def test_schemas_are_those_that_cdcd_uses() -> None:
    """Both schemas are made, and the role that owns them is nobody's login."""
    variables = _variables()
    blocks = {tuple(labels): block for labels, block in _read("main.tf", "resource")}
    names = {_value(b["name"], variables) for k, b in blocks.items() if k[0] == "postgresql_schema"}
    assert names == {"cdcd", PostgresSettings().target_schema}
    assert blocks["postgresql_role", "owner"]["login"] is False


def test_every_variable_is_said_and_used() -> None:
    """Each variable has a description and is used, and none is used that is not there."""
    text = (FOLDER / "main.tf").read_text()
    blocks = _read("variables.tf", "variable")
    assert set(re.findall(r"var\.(\w+)", text)) == {labels[0] for labels, _ in blocks}
    assert all(re.search(r"\w.*\.", block["description"]) for _, block in blocks)
