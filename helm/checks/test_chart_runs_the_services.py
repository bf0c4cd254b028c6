"""What the chart tells the services: settings that they have, requests for doors that they have, and no more rights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentspan.eventlog.kafka import ORCHESTRATORS
from agentspan_schemas.topics import COMMANDS, topic_name
from agentspan_standalone.settings import ROLES, Settings
from helm.checks.conftest import Objects, Render
from helm.checks.test_chart_is_valid import VARIANTS
from tests.unit.deploy_doors import Door, doors

WORKLOADS = ("StatefulSet", "Deployment")


def containers(objects: Objects) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each workload's name, pod and container."""
    for (kind, name), document in objects.items():
        if kind in WORKLOADS:
            pod = document["spec"]["template"]["spec"]
            yield name, pod, pod["containers"][0]


def environment(container: dict[str, Any]) -> dict[str, Any]:
    """Names to values; what the cluster fills in is its reference."""
    pairs = [(variable["name"], variable.get("value", variable.get("valueFrom"))) for variable in container["env"]]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def roles(objects: Objects) -> dict[str, list[str]]:
    return {name: environment(container)["AGENTSPAN_ROLES"].split(",") for name, _, container in containers(objects)}


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_service_runs(render: Render, variant: str) -> None:
    assert sorted(role for some in roles(render(*VARIANTS[variant])).values() for role in some) == sorted(ROLES)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_settings_are_the_servers_own(
    render: Render, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variant: str
) -> None:
    filled_in = {"AGENTSPAN_KAFKA_SECURITY": '{"security.protocol":"SSL"}', "AGENTSPAN_DATA": str(tmp_path)}
    for name, _, container in containers(render(*VARIANTS[variant])):
        given = {key: value for key, value in environment(container).items() if key.startswith("AGENTSPAN_")}
        assert {key.removeprefix("AGENTSPAN_").lower() for key in given} <= Settings.model_fields.keys(), name
        with monkeypatch.context() as patched:
            for key, value in given.items():
                patched.setenv(key, filled_in.get(key) or (value if isinstance(value, str) else "from the cluster"))
            settings = Settings()
        assert (settings.host, settings.port, settings.trusted_proxy) == ("0.0.0.0", 6767, True)
        assert settings.metrics_port == 9464
        assert settings.allowed_hosts == ("agentspan.example.com", "agentspan.internal")
        assert settings.kafka().bootstrap == "kafka-0:9092,kafka-1:9092"
        assert bool(settings.clickhouse) == ("query" in settings.roles)


def test_a_secret_is_never_a_value(render: Render) -> None:
    for name, pod, container in containers(render(*VARIANTS["secrets"])):
        given = environment(container)
        assert given["AGENTSPAN_KAFKA_SECURITY"] == {"secretKeyRef": {"name": "kafka", "key": "security.json"}}
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        secrets = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        assert ("ANTHROPIC_API_KEY_FILE" in given) == (name == "tool-runner")
        assert ("AGENTSPAN_CLICKHOUSE_PASSWORD" in given) == (name == "query")
        if name == "tool-runner":
            assert given["ANTHROPIC_API_KEY_FILE"] == f"{mounted['anthropic']}/api-key"
            assert secrets == {"kafka": "kafka-ca", "anthropic": "anthropic"}


def test_a_service_may_be_a_principal_of_its_own(render: Render) -> None:
    objects = render("kafka.securitySecret.name=all", "kafka.securitySecrets.tool-runner=runner")
    secrets = {
        name: environment(each)["AGENTSPAN_KAFKA_SECURITY"]["secretKeyRef"] for name, _, each in containers(objects)
    }
    assert {name: secret["name"] for name, secret in secrets.items()} == {
        role: "runner" if role == "tool-runner" else "all" for role in ROLES
    }


def test_owners_are_members_by_their_pods_names(render: Render) -> None:
    for values, static in (((), True), (("orchestrator.staticMembership=false",), False)):
        for name, _, container in containers(render(*values)):
            known_as = environment(container).get("AGENTSPAN_KAFKA_INSTANCE_ID")
            by_pod = {"fieldRef": {"fieldPath": "metadata.name"}}
            assert known_as == (by_pod if static and name == "orchestrator" else None)
    assert ("StatefulSet", "orchestrator") in render()


@pytest.mark.parametrize("variant", VARIANTS)
def test_pods_have_no_rights_and_no_disk_but_their_folders(render: Render, variant: str) -> None:
    for _, pod, container in containers(render(*VARIANTS[variant])):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert writable == ["/data", "/tmp"]


def test_probes_ask_by_a_name_that_is_answered_to(render: Render) -> None:
    for _, _, container in containers(render()):
        for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
            asked = container[probe]["httpGet"]
            assert asked["path"] == path
            assert asked["httpHeaders"] == [{"name": "Host", "value": "localhost"}]


@pytest.mark.parametrize("service", ["orchestrator", "toolRunner", "approvals", "query"])
def test_a_folder_that_is_kept_is_a_claim_of_its_own(render: Render, service: str) -> None:
    name = {"toolRunner": "tool-runner"}.get(service, service)
    spec = render(f"{service}.data.persistent=true", f"{service}.data.size=7Gi")["StatefulSet", name]["spec"]
    claim = spec["volumeClaimTemplates"][0]
    assert (claim["metadata"]["name"], claim["spec"]["resources"]["requests"]["storage"]) == ("data", "7Gi")
    assert "data" not in [volume["name"] for volume in spec["template"]["spec"]["volumes"]]


def test_nobody_comes_in_unnamed(render: Render) -> None:
    policy = render()["NetworkPolicy", ""]["spec"]
    assert (policy["ingress"], policy["policyTypes"]) == ([], ["Ingress"])
    assert policy["podSelector"]["matchLabels"].keys() == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
    for rule in render(*VARIANTS["gateway"])["NetworkPolicy", ""]["spec"]["ingress"]:
        assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"team": "edge"}}}]
    assert ("NetworkPolicy", "") not in render(*VARIANTS["open"])


def test_who_scrapes_reaches_metrics_alone(render: Render) -> None:
    objects = render(*VARIANTS["measured"])
    [rule] = objects["NetworkPolicy", ""]["spec"]["ingress"]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}]
    assert rule["ports"] == [{"port": "metrics", "protocol": "TCP"}]
    selector = objects["ServiceMonitor", ""]["spec"]["selector"]["matchLabels"]
    for name, _, container in containers(objects):
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert int(environment(container)["AGENTSPAN_METRICS_PORT"]) == ports["metrics"] == 9464
        service = objects["Service", name]
        assert selector.items() <= service["metadata"]["labels"].items()
        assert "metrics" in [port["name"] for port in service["spec"]["ports"]]


def test_the_lag_is_of_a_topic_and_group_that_exist(render: Render) -> None:
    measured = render(*VARIANTS["by lag"])["ScaledObject", "orchestrator"]["spec"]["triggers"][0]["metadata"]
    assert measured["topic"] == topic_name(COMMANDS)
    assert measured["consumerGroup"] == f"agentspan.{ORCHESTRATORS}"


def by_route(objects: Objects, door: Door) -> str:
    """The Service that the Gateway API sends a request to: the longest path first, then the rule with a method."""
    fitting = [
        (len(match["path"]["value"].rstrip("/")), "method" in match, rule["backendRefs"][0]["name"])
        for rule in objects["HTTPRoute", ""]["spec"]["rules"]
        for match in rule["matches"]
        if under(door.path, match["path"]["value"]) and match.get("method", door.method) == door.method
    ]
    return str(max(fitting)[2])


def by_ingress(objects: Objects, door: Door) -> str:
    """The Service that an Ingress sends a request to: the longest path of all Ingresses of the host."""
    paths = [
        path
        for (kind, _), document in objects.items()
        if kind == "Ingress"
        for path in document["spec"]["rules"][0]["http"]["paths"]
        if under(door.path, path["path"])
    ]
    return str(max(paths, key=lambda path: len(path["path"]))["backend"]["service"]["name"])


def under(path: str, prefix: str) -> bool:
    return f"{path}/".startswith(prefix.rstrip("/") + "/")


@pytest.mark.parametrize("door", doors(), ids=str)
@pytest.mark.parametrize("variant", ["gateway", "ingress"])
def test_a_request_comes_to_a_service_that_has_the_door(render: Render, variant: str, door: Door) -> None:
    objects = render(*VARIANTS[variant])
    service = (by_route if variant == "gateway" else by_ingress)(objects, door).removeprefix("shop-agentspan-")
    assert ("Service", service) in objects
    assert door.role in roles(objects)[service]
