"""compose.yaml, .env.example and the image, by the tools that read them; no engine is needed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cdcd.config.origin import origins
from cdcd.config.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = Path(sys.executable).parent
IMAGE = ROOT / "deploy" / "image" / "Dockerfile"
# Services that do their work once and end.
ONE_SHOT = {"sample"}


def _compose(*arguments: str, env_file: str = "/dev/null") -> subprocess.CompletedProcess[str]:
    compose = [str(TOOLS / "docker-compose"), "-f", str(ROOT / "compose.yaml")]
    return subprocess.run(
        [*compose, "--env-file", env_file, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services as compose understands them, without a file .env."""
    shown = _compose("config", "--format", "json")
    assert shown.returncode == 0, shown.stderr
    found: dict[str, Any] = json.loads(shown.stdout)["services"]
    return found


@pytest.mark.parametrize("env_file", ["/dev/null", str(ROOT / ".env.example")])
def test_compose_accepts_the_file(env_file: str) -> None:
    """A real compose takes the file, with no .env and with the example, without a warning."""
    done = _compose("config", "-q", env_file=env_file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_example_says_the_defaults() -> None:
    """The example's variables are those of compose.yaml, with the same values."""
    text = (ROOT / "compose.yaml").read_text()
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text))
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert example == used
    assert "${" not in re.sub(r"\$\{\w+:-[^}]*\}", "", text), "a variable without a default"


def test_every_server_is_waited_for(services: dict[str, Any]) -> None:
    """Every service that stays has a health check, and cdcd starts after all of them."""
    checked = {name for name, service in services.items() if "healthcheck" in service}
    assert checked == services.keys() - ONE_SHOT - {"cdcd"}
    assert "HEALTHCHECK" in IMAGE.read_text()
    after = {name: need["condition"] for name, need in services["cdcd"]["depends_on"].items()}
    assert after == dict.fromkeys(checked, "service_healthy") | dict.fromkeys(
        ONE_SHOT, "service_completed_successfully"
    )


def test_ports_are_on_loopback(services: dict[str, Any]) -> None:
    """No service is reachable from other machines."""
    hosts = {p["host_ip"] for service in services.values() for p in service.get("ports", [])}
    assert hosts == {"127.0.0.1"}


def test_images_are_pinned(services: dict[str, Any]) -> None:
    """Every image from elsewhere has a tag that says its version."""
    images = {s["image"] for s in services.values()} - {"cdcd:local"}
    bases = set(re.findall(r"^FROM (\S+)", IMAGE.read_text(), re.MULTILINE))
    assert all(re.search(r":\d[\w.-]*$", image) for image in images | bases)


def test_the_daemon_is_given_settings_that_exist(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon's variables are settings of cdcd, and it takes their values."""
    given = services["cdcd"]["environment"]
    for name in [n for n in os.environ if n.startswith("CDCD_")]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    taken = {shown.origin for shown in origins(settings, None, {})} - {"default"}
    assert taken == {f"environment {name}" for name in given}
    assert settings.scylla.hosts == ("scylla",)
    assert settings.http.port == 8080


def test_the_daemon_has_no_rights(services: dict[str, Any]) -> None:
    """The daemon's container has a read-only root and no capability, and its user is not root."""
    daemon = services["cdcd"]
    assert daemon["read_only"]
    assert daemon["cap_drop"] == ["ALL"]
    assert daemon["security_opt"] == ["no-new-privileges:true"]
    user = re.findall(r"^USER (\d+)", IMAGE.read_text(), re.MULTILINE)
    assert user
    assert int(user[-1]) > 0


def test_what_is_mounted_is_there(services: dict[str, Any]) -> None:
    """Every file that the clone gives to a container exists."""
    mounts = [v for s in services.values() for v in s.get("volumes", []) if v["type"] == "bind"]
    assert mounts
    assert all(Path(mount["source"]).exists() for mount in mounts)
    assert "/sample/app_data.cql" in services["sample"]["entrypoint"]


def test_the_image_is_built_from_what_it_is_given() -> None:
    """What the image copies is what its .dockerignore lets through, and it exists."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", IMAGE.read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    ignore = Path(f"{IMAGE}.dockerignore").read_text().splitlines()
    assert names == {line[1:] for line in ignore if line.startswith("!")}
    assert all((ROOT / name).exists() for name in names)


def test_the_dockerfile_is_clean() -> None:
    """The Dockerfile's linter finds nothing."""
    done = subprocess.run([TOOLS / "hadolint", IMAGE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
