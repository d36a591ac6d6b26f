"""The alert rules: promtool takes them, each is tried, and each has its heading in the runbook."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cdcd.ops.metrics import LATENCY_SECONDS, Metrics

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "deploy" / "prometheus"
RULES = FOLDER / "cdcd.rules.yml"
TESTS = FOLDER / "cdcd.rules.test.yml"
OBJECTIVES = FOLDER / "cdcd.objectives.yml"

PARTS = ("", "_bucket", "_sum", "_count")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)


def _alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = _alerts()


def _promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@needs_promtool
def test_rules_are_right() -> None:
    """Promtool takes the rules."""
    done = _promtool("check", "rules", str(RULES), str(OBJECTIVES))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_takes_the_settings() -> None:
    """Promtool takes what compose.yaml gives Prometheus, with the rules that it names."""
    done = _promtool("check", "config", str(FOLDER / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool is not installed")
def test_each_alert_has_somebody_to_tell() -> None:
    """Amtool takes what compose.yaml gives Alertmanager; critical alerts page, others wait."""
    file = f"--config.file={FOLDER / 'alertmanager.yml'}"
    for severity, receiver in (("critical", "page"), ("warning", "morning")):
        command = ["amtool", "config", "routes", "test", file, f"severity={severity}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout.strip()) == (0, receiver), done.stderr


@needs_promtool
def test_rules_fire_and_keep_still() -> None:
    """The rules do on made-up series what their tests say."""
    tests = (str(TESTS), str(FOLDER / "cdcd.objectives.test.yml"))
    done = _promtool("test", "rules", *tests)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_a_wrong_expectation_is_seen(tmp_path: Path) -> None:
    """A test that expects another severity fails."""
    (tmp_path / RULES.name).write_text(RULES.read_text())
    wrong = tmp_path / TESTS.name
    wrong.write_text(TESTS.read_text().replace("severity: critical", "severity: none", 1))
    assert _promtool("test", "rules", str(wrong)).returncode != 0


@pytest.mark.parametrize("alert", ALERTS, ids=lambda a: a["alert"])
def test_alert_has_a_heading(alert: dict[str, Any]) -> None:
    """The runbook says what to do: see, check, do; and the alert leads there."""
    text = (ROOT / "docs" / "RUNBOOK.md").read_text()
    section = re.search(rf"^## {alert['alert']}$(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert section is not None
    assert re.findall(r"\*\*(\w+)\.\*\*", section[1]) == ["See", "Check", "Do"]
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert (page, anchor) == ("docs/RUNBOOK.md", alert["alert"].lower())


@pytest.mark.parametrize("alert", ALERTS, ids=lambda a: a["alert"])
def test_alert_is_tried(alert: dict[str, Any]) -> None:
    """A test makes the alert fire."""
    files = yaml.safe_load(TESTS.read_text())["tests"]
    tried = [t for test in files for t in test["alert_rule_test"] if t["exp_alerts"]]
    assert alert["alert"] in {t["alertname"] for t in tried}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda a: a["alert"])
def test_alert_is_about_metrics_that_exist(alert: dict[str, Any]) -> None:
    """Each metric that a rule names is one of the daemon's."""
    known = {line.name + part for line in Metrics().lines for part in PARTS}
    named = set(re.findall(r"\bcdcd_\w+", alert["expr"]))
    assert named <= known


def test_objectives_read_what_there_is() -> None:
    """What is recorded is of the daemon's metrics and bounds, and the page's queries name nothing
    that is not recorded.
    """
    rules = yaml.safe_load(OBJECTIVES.read_text())["groups"][0]["rules"]
    known = {line.name + part for line in Metrics().lines for part in PARTS}
    assert set(re.findall(r"\bcdcd_\w+", " ".join(rule["expr"] for rule in rules))) <= known
    bounds = set(re.findall(r'le="([\d.]+)"', OBJECTIVES.read_text()))
    assert bounds <= {str(float(bound)) for bound in LATENCY_SECONDS}
    page = (ROOT / "docs" / "OBJECTIVES.md").read_text()
    assert set(re.findall(r"cdcd:\w+:\w+", page)) == {rule["record"] for rule in rules}
