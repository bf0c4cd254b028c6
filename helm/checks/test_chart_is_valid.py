"""The chart against helm's lint and Kubernetes' own schemas; and that what can't work is refused with a sentence."""

import re
import subprocess
from pathlib import Path

import pytest

from helm.checks import kubernetes_schemas as schemas
from helm.checks.conftest import CHART, KUBERNETES, Render, Template, flags, helm, tool

PROXY = "networkPolicy.from[0].namespaceSelector.matchLabels.team=edge"
SCALED = ("toolRunner", "approvals", "query")

VARIANTS = {
    "least": (),
    "gateway": ("expose.type=gateway", "expose.gateway.name=edge", "expose.stickyWorkers=true", PROXY),
    "ingress": ("expose.type=ingress", "expose.ingress.className=nginx", "toolRunner.replicas=1", PROXY),
    "ingress, TLS": ("expose.type=ingress", "expose.ingress.tlsSecret=tls", "expose.stickyWorkers=true", PROXY),
    "secrets": (
        "kafka.securitySecret.name=kafka",
        "kafka.filesSecret=kafka-ca",
        "clickhouse.passwordSecret.name=clickhouse",
        "anthropic.keySecret.name=anthropic",
        "imagePullSecrets[0].name=pull",
    ),
    "scaled": ("orchestrator.autoscaling.enabled=true", *(f"{service}.autoscaling.enabled=true" for service in SCALED)),
    "by lag": ("orchestrator.keda.enabled=true", "orchestrator.keda.authentication=kafka"),
    "persistent": tuple(f"{service}.data.persistent=true" for service in ("orchestrator", *SCALED)),
    "placed": ("nodeSelector.pool=agents", "tolerations[0].operator=Exists", "approvals.data.storageClassName=fast"),
    "measured": (
        "metrics.serviceMonitor.enabled=true",
        "metrics.serviceMonitor.labels.release=prometheus",
        "metrics.from[0].namespaceSelector.matchLabels.team=monitoring",
    ),
    "open": ("networkPolicy.enabled=false",),
    "egress": ("networkPolicy.egress[0].to[0].ipBlock.cidr=10.0.0.0/8", PROXY),
}

REFUSED = {
    "hosts={}": "/hosts",
    "hosts={Some Host}": "/hosts/0",
    "kafka.brokers=kafka": "/kafka/brokers",
    "kafka.brokers=kafka://kafka:9092": "/kafka/brokers",
    "clickhouse.url=": "/clickhouse/url",
    "clickhouse.url=http://user:secret@clickhouse:8123": "/clickhouse/url",
    "query.replica=3": "replica",
    "orchestrator.replicas=0": "/orchestrator/replicas",
    "metrics.port=6767": "/metrics/port",
    "metrics.serviceMonitor.enabled=true": "metrics.from is empty",
    "expose.type=nodeport": "/expose/type",
    "expose.type=gateway": "/expose/gateway/name",
    "expose.type=ingress": "expose.stickyWorkers=true",
    "expose.type=ingress,toolRunner.replicas=1": "networkPolicy.from is empty",
    "orchestrator.keda.enabled=true,orchestrator.autoscaling.enabled=true": "enable one",
}


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of kubeconform's schemas."""
    folder = tmp_path_factory.mktemp("kinds")
    schemas.write(schemas.document(), folder)
    return folder


def conforms(kinds: Path, manifests: str) -> "subprocess.CompletedProcess[str]":
    """What kubeconform says. The kinds of KEDA, the Gateway API and Prometheus are not its own."""
    location = ["-schema-location", str(kinds / schemas.LOCATION)]
    foreign = ["-skip", "ScaledObject,HTTPRoute,ServiceMonitor"]
    command = [tool("kubeconform"), "-strict", "-summary", *location, *foreign, "-"]
    return subprocess.run(command, input=manifests, capture_output=True, text=True, check=False)


def test_helm_finds_nothing_to_say() -> None:
    done = helm("lint", "--strict", str(CHART), *flags(()))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_what_kubernetes_takes(kinds: Path, template: Template, variant: str) -> None:
    rendered = template(*VARIANTS[variant])
    assert rendered.returncode == 0, rendered.stderr
    done = conforms(kinds, rendered.stdout)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("terminationGracePeriodSeconds:", "terminationGraceSeconds:"),
        ("containerPort: 6767", "containerPort: http"),
        ("maxUnavailable: 1", "maxUnavailable: []"),
        ("policyTypes:", "policies:"),
    ],
)
def test_a_wrong_manifest_would_be_noticed(kinds: Path, template: Template, right: str, wrong: str) -> None:
    manifests = template().stdout
    assert right in manifests
    assert conforms(kinds, manifests.replace(right, wrong)).returncode == 1


def test_the_documents_example_is_one(kinds: Path, tmp_path: Path) -> None:
    told = re.search(
        r"```yaml\n(.*?)```", (CHART.parents[1] / "docs" / "deployment.md").read_text(encoding="utf-8"), re.S
    )
    assert told is not None
    values = tmp_path / "shop.yaml"
    values.write_text(told[1], encoding="utf-8")
    rendered = helm("template", "shop", str(CHART), "--kube-version", KUBERNETES, "-f", str(values))
    assert rendered.returncode == 0, rendered.stderr
    assert conforms(kinds, rendered.stdout).returncode == 0


@pytest.mark.parametrize("values", REFUSED)
def test_what_cannot_work_is_refused(template: Template, values: str) -> None:
    done = template(*values.split(","))
    assert done.returncode != 0
    assert REFUSED[values] in done.stderr


def test_the_route_of_the_gateway_api_has_its_shape(render: Render) -> None:
    route = render(*VARIANTS["gateway"])["HTTPRoute", ""]
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["spec"].keys() == {"parentRefs", "hostnames", "rules"}
    for rule in route["spec"]["rules"]:
        assert rule.keys() <= {"matches", "timeouts", "backendRefs"}
        assert all(match.keys() <= {"path", "method"} for match in rule["matches"])
        assert all(match["path"]["type"] == "PathPrefix" for match in rule["matches"])
        assert [backend.keys() for backend in rule["backendRefs"]] == [{"name", "port"}]


def test_the_monitor_has_the_shape_of_the_operator(render: Render) -> None:
    objects = render(*VARIANTS["measured"])
    monitor = objects["ServiceMonitor", ""]
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"].keys() == {"selector", "targetLabels", "endpoints"}
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint == {"port": "metrics", "path": "/metrics", "interval": "30s"}
    assert ("ServiceMonitor", "") not in render()


def test_lag_is_that_of_the_owners_group(render: Render) -> None:
    scaled = render(*VARIANTS["by lag"], "kafka.prefix=shop")
    trigger = scaled["ScaledObject", "orchestrator"]["spec"]["triggers"][0]
    assert trigger["type"] == "kafka"
    assert trigger["authenticationRef"] == {"name": "kafka"}
    assert (trigger["metadata"]["consumerGroup"], trigger["metadata"]["topic"]) == (
        "shop.orchestrators",
        "shop.commands",
    )
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert "replicas" not in scaled["StatefulSet", "orchestrator"]["spec"]
