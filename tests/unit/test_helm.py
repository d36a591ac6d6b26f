"""The Helm chart, by Helm's own library and Kubernetes' schemas; no cluster is needed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cdcd import __version__
from cdcd.cli.main import cli
from cdcd.config.settings import Settings, load

helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")
kubernetes = pytest.importorskip(
    "kubernetes_validate", reason="kubernetes-validate is not installed"
)

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "deploy" / "helm" / "cdcd"
# The oldest that the chart says it is for, and the newest that there are schemas of.
VERSIONS = ("1.27.0", "1.37.0")

PEER = {"podSelector": {"matchLabels": {"app": "prometheus"}}}
EVERYTHING: dict[str, Any] = {
    "tables": ["shop.*", "billing.invoices"],
    "stage": "sink",
    "start": "now",
    "image": {"tag": "1.2.3", "pullSecrets": [{"name": "registry"}]},
    "secrets": {"values": {"CDCD_SCYLLA__PASSWORD": "hunter2"}},
    "env": [{"name": "CDCD_LOG__LEVEL", "value": "debug"}],
    "volumes": [{"name": "ca", "secret": {"secretName": "ca"}}],
    "volumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": True}],
    "portTls": {"enabled": True, "scrape": {"serverName": "cdcd"}},
    "autoscaling": {"enabled": True, "selector": {"job": "cdcd"}},
    "networkPolicy": {"ingressFrom": [PEER], "egressTo": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
    "serviceAccount": {"annotations": {"a": "b"}, "token": True},
    "monitoring": {"serviceMonitor": True, "rules": True, "labels": {"release": "prometheus"}},
    "reconcile": {"schedule": "20 3 * * 0"},
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "data"},
    "nodeSelector": {"disk": "none"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
}
BARE: dict[str, Any] = {
    "networkPolicy": {"enabled": False},
    "serviceAccount": {"existing": "mine"},
    "secrets": {"existing": "mine"},
}
VALUES = {"defaults": {}, "everything": EVERYTHING, "bare": BARE}

Document = dict[str, Any]


def _render(values: dict[str, Any]) -> list[Document]:
    with helm.Chart.load(str(CHART)) as chart:
        rendered = chart.render(values, name="shop", namespace="data")
    manifests = [text for path, text in rendered.items() if path.endswith(".yaml")]
    return [d for text in manifests for d in yaml.safe_load_all(text) if d]


@pytest.fixture(params=list(VALUES.values()), ids=list(VALUES))
def documents(request: pytest.FixtureRequest) -> list[Document]:
    """What the chart makes of values."""
    return _render(request.param)


def _one(documents: list[Document], kind: str) -> Document:
    (found,) = [d for d in documents if d["kind"] == kind]
    return found


def _pods(documents: list[Document]) -> Iterator[tuple[Document, Document]]:
    """Labels and specification of each kind of pod."""
    for document in documents:
        match document["kind"]:
            case "Pod":
                yield document["metadata"]["labels"], document["spec"]
            case "StatefulSet":
                template = document["spec"]["template"]
                yield template["metadata"]["labels"], template["spec"]
            case "CronJob":
                template = document["spec"]["jobTemplate"]["spec"]["template"]
                yield template["metadata"]["labels"], template["spec"]


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
def test_helm_finds_nothing_wrong(values: dict[str, Any]) -> None:
    """Helm's linter, as strict as it can be, finds no more than that there is no icon."""
    found = helm.lint(str(CHART), values, strict=True)
    assert found["errors"] == []
    assert [m["error"] for m in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_it(documents: list[Document], version: str) -> None:
    """Every document is one of Kubernetes', without a field that it does not know."""
    own = [d for d in documents if not d["apiVersion"].startswith("monitoring.coreos.com")]
    assert own
    for document in own:
        kubernetes.validate(document, version, strict=True)


def test_a_wrong_field_is_seen() -> None:
    """The check fails for a field that Kubernetes does not know."""
    wrong = _one(_render({}), "StatefulSet")
    wrong["spec"]["replica"] = 3
    with pytest.raises(kubernetes.ValidationError, match="replica"):
        kubernetes.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"replica": 3},
        {"replicas": "three"},
        {"stage": "snik"},
        {"secrets": {"values": {"password": "x"}}},
        {"networkPolicy": {"egressPorts": [70000]}},
    ],
    ids=str,
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    """A value that the chart does not have, or of another kind, is an error and not forgotten."""
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(helm.HelmError):
        chart.validate_schema(wrong)


def test_pods_have_no_rights(documents: list[Document]) -> None:
    """No pod is root, writes its root, keeps a capability, or has a token unless asked for."""
    for _, spec in _pods(documents):
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        account = [d for d in documents if d["kind"] == "ServiceAccount"]
        token = account[0]["automountServiceAccountToken"] if account else False
        assert spec["automountServiceAccountToken"] is token
        for container in spec["containers"]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"]
            assert not rights["allowPrivilegeEscalation"]
            assert rights["capabilities"] == {"drop": ["ALL"]}


def test_commands_are_taken(documents: list[Document]) -> None:
    """What each pod runs is a command of cdcd with options that it has."""
    for _, spec in _pods(documents):
        command: click.Command = cli
        arguments = list(spec["containers"][0]["args"])
        context = cli.make_context("cdcd", list(arguments))
        while isinstance(command, click.Group):
            name = arguments.pop(0)
            command = command.commands[name]
            context = command.make_context(name, list(arguments), parent=context)


def test_settings_are_taken(
    documents: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file and the variables are settings of cdcd, and each worker has a name of its own."""
    (_, spec) = next(_pods([_one(documents, "StatefulSet")]))
    container = spec["containers"][0]
    given = {e["name"]: e.get("value", "worker-0") for e in container["env"]}
    secrets = [d for d in documents if d["kind"] == "Secret"]
    for name, value in {**given, **(secrets[0]["stringData"] if secrets else {})}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CDCD_CONFIG")
    (tmp_path / "cdcd.toml").write_text(_one(documents, "ConfigMap")["data"]["cdcd.toml"])
    settings = load(tmp_path / "cdcd.toml", {})
    assert settings.instance == "worker-0"
    ports = [p["containerPort"] for p in container["ports"]]
    assert [settings.http.port] == ports
    assert spec["terminationGracePeriodSeconds"] > settings.stop_timeout_seconds


def test_probes_ask_what_is_served(documents: list[Document]) -> None:
    """Liveness asks the loop alone, readiness everything; a start may take its time."""
    (_, spec) = next(_pods([_one(documents, "StatefulSet")]))
    container = spec["containers"][0]
    paths = {k: container[f"{k}Probe"]["httpGet"]["path"] for k in ("liveness", "readiness")}
    assert paths == {"liveness": "/livez", "readiness": "/readyz"}
    start = container["startupProbe"]
    served = Settings().start_timeout_seconds
    assert start["periodSeconds"] * start["failureThreshold"] > 2 * served


def test_selectors_choose_the_workers(documents: list[Document]) -> None:
    """Service, disruption budget and set choose the workers and no other pod; the network policy
    holds for every pod.
    """
    chosen = [
        _one(documents, "Service")["spec"]["selector"],
        _one(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        _one(documents, "StatefulSet")["spec"]["selector"]["matchLabels"],
    ]
    for labels, spec in _pods(documents):
        is_worker = "livenessProbe" in spec["containers"][0]
        for selector in chosen:
            assert (selector.items() <= labels.items()) == is_worker
        for policy in (d for d in documents if d["kind"] == "NetworkPolicy"):
            assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_autoscaling_owns_the_number() -> None:
    """With autoscaling the set says no number, and the autoscaler looks at a metric of cdcd's."""
    documents = _render(EVERYTHING)
    assert "replicas" not in _one(documents, "StatefulSet")["spec"]
    (metric,) = _one(documents, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert f"`{metric['external']['metric']['name']}`" in (ROOT / "docs/METRICS.md").read_text()
    assert _one(_render({}), "StatefulSet")["spec"]["replicas"] == 2


def test_alerts_are_the_ones_of_the_rules() -> None:
    """The operator is given the very rules of deploy/prometheus, and the job that they ask for."""
    documents = _render(EVERYTHING)
    rules = yaml.safe_load((ROOT / "deploy/prometheus/cdcd.rules.yml").read_text())
    assert _one(documents, "PrometheusRule")["spec"] == rules
    (endpoint,) = _one(documents, "ServiceMonitor")["spec"]["endpoints"]
    assert {"targetLabel": "job", "replacement": "cdcd"} in endpoint["relabelings"]


def test_versions_are_the_daemon_s() -> None:
    """The chart installs the version that it is kept with."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    image = next(_pods(_render({})))[1]["containers"][0]["image"]
    assert re.fullmatch(rf"cdcd:{re.escape(__version__)}", image)


@pytest.mark.parametrize(("enabled", "scheme"), [(False, "HTTP"), (True, "HTTPS")])
def test_probes_speak_as_the_port_does(enabled: bool, scheme: str) -> None:
    """With TLS on the port probes and the scrape are https."""
    values = {"portTls": {"enabled": enabled}, "monitoring": {"serviceMonitor": True}}
    documents = _render(values)
    container = _one(documents, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    probes = [value for key, value in container.items() if key.endswith("Probe")]
    assert [p["httpGet"]["scheme"] for p in probes] == [scheme] * 3
    (endpoint,) = _one(documents, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint.get("scheme", "http") == scheme.lower()
