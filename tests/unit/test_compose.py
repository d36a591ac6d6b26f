"""compose.yaml, .env.example and the image, by the tools that read them; no engine is needed."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from cdcd.config.origin import origins
from cdcd.config.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = Path(sys.executable).parent
IMAGE = ROOT / "deploy" / "image" / "Dockerfile"
# Services that do their work once and end.
ONE_SHOT = {"sample", "check"}
# What cdcd works with; the others watch it.
SERVERS = {"scylla", "kafka", "registry", "postgres", "vault"}


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
    """The example's variables are those of compose.yaml, with the same values. None of them means
    something else to a `cdcd` on the host, to which somebody exports them.
    """
    text = (ROOT / "compose.yaml").read_text()
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text))
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert example == used
    assert {name for name in example if name.startswith("CDCD_")} == {"CDCD_NAME"}
    assert "${" not in re.sub(r"\$\{\w+:-[^}]*\}", "", text), "a variable without a default"


def _waits_for(service: dict[str, Any]) -> dict[str, str]:
    return {name: need["condition"] for name, need in service.get("depends_on", {}).items()}


def test_every_server_is_waited_for(services: dict[str, Any]) -> None:
    """Every service that stays has a health check; when what cdcd needs is well and the sample is
    loaded everything is checked, and only then cdcd starts.
    """
    checked = {name for name, service in services.items() if "healthcheck" in service}
    assert checked == services.keys() - ONE_SHOT - {"cdcd"}
    assert "HEALTHCHECK" in IMAGE.read_text()
    assert _waits_for(services["check"]) == dict.fromkeys(SERVERS, "service_healthy") | {
        "sample": "service_completed_successfully"
    }
    assert services["check"]["command"][0] == "check"
    assert _waits_for(services["cdcd"]) == {"check": "service_completed_successfully"}
    for name, service in services.items():
        for other, condition in _waits_for(service).items():
            one_shot = "service_completed_successfully"
            assert condition == (one_shot if other in ONE_SHOT else "service_healthy"), name


def test_what_is_checked_is_what_runs(services: dict[str, Any]) -> None:
    """The check has the daemon's image, settings, tables and rights."""
    check, daemon = services["check"], services["cdcd"]
    for same in ("image", "environment", "read_only", "cap_drop", "security_opt", "tmpfs"):
        assert check[same] == daemon[same]
    assert check["command"][1:] == daemon["command"][1:]


def test_ports_are_on_loopback(services: dict[str, Any]) -> None:
    """No service is reachable from other machines."""
    hosts = {p["host_ip"] for service in services.values() for p in service.get("ports", [])}
    assert hosts == {"127.0.0.1"}


def test_images_are_pinned(services: dict[str, Any]) -> None:
    """Every image from elsewhere has a tag that says its version."""
    images = {s["image"] for s in services.values()} - {"cdcd:local"}
    bases = set(re.findall(r"^FROM (\S+)", IMAGE.read_text(), re.MULTILINE))
    assert all(re.search(r":v?\d[\w.-]*$", image) for image in images | bases)


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


def test_addresses_within_are_of_services(services: dict[str, Any]) -> None:
    """Prometheus scrapes cdcd's port and finds Alertmanager; Grafana finds it and the pages; spans
    go to Jaeger.
    """
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    (scraped,) = config["scrape_configs"]
    port = services["cdcd"]["environment"]["CDCD_HTTP__PORT"]
    assert scraped["static_configs"][0]["targets"] == [f"cdcd:{port}"]
    (alertmanager,) = config["alerting"]["alertmanagers"]
    (target,) = alertmanager["static_configs"][0]["targets"]
    provisioning = ROOT / "deploy/grafana/provisioning"
    sources = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())
    urls = [target, sources["datasources"][0]["url"].removeprefix("http://")]
    for name, url in zip(("alertmanager", "prometheus"), urls, strict=True):
        assert url == f"{name}:{services[name]['ports'][0]['target']}"
    collector = services["cdcd"]["environment"]["CDCD_TRACING__ENDPOINT"]
    ports = {port["target"] for port in services["jaeger"]["ports"]}
    assert collector in {f"http://jaeger:{port}" for port in ports}
    pages = yaml.safe_load((provisioning / "dashboards/cdcd.yml").read_text())
    mounted = {v["target"]: v["source"] for v in services["grafana"]["volumes"]}
    folder = mounted[pages["providers"][0]["options"]["path"]]
    assert Path(folder) == ROOT / "deploy/grafana/dashboards"


def test_the_image_is_built_from_what_it_is_given() -> None:
    """What the image copies is what its .dockerignore lets through, and it exists."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", IMAGE.read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    ignore = Path(f"{IMAGE}.dockerignore").read_text().splitlines()
    assert names == {line[1:] for line in ignore if line.startswith("!")}
    assert all((ROOT / name).exists() for name in names)


def test_the_image_needs_no_shell() -> None:
    """The daemon and its health check are started without a shell."""
    text = IMAGE.read_text().split("FROM ")[-1].replace("\\\n", "")
    started = re.findall(r"^\s*(?:HEALTHCHECK .*?)?(?:CMD|ENTRYPOINT) (.+)$", text, re.MULTILINE)
    assert len(started) == 3
    assert all(isinstance(json.loads(words), list) for words in started)
    assert not re.search(r"^(RUN|SHELL)", text, re.MULTILINE)


def test_what_the_image_installs_is_pinned() -> None:
    """Each dependency is in the lock, with a hash, at a version that pyproject.toml takes; `make
    lock` makes it anew.
    """
    text = (ROOT / "deploy/image/requirements.txt").read_text()
    locked = [Requirement(e.split("\\")[0]) for e in re.findall(r"^\w.*$", text, re.MULTILINE)]
    assert len(re.findall(r"\\\n +--hash=sha256:", text)) >= len(locked)
    versions = {r.name: str(r.specifier).removeprefix("==") for r in locked}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    traced = project["optional-dependencies"]["otel"]
    for wanted in map(Requirement, [*project["dependencies"], *traced]):
        assert wanted.specifier.contains(versions[wanted.name]), wanted


def test_the_dockerfile_is_clean() -> None:
    """The Dockerfile's linter finds nothing."""
    done = subprocess.run([TOOLS / "hadolint", IMAGE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
