"""Manifests for Kubernetes: the operator's kinds against its own definitions, as the package
dask-kubernetes carries them, the others against Kubernetes' strict schemas.
"""

import copy
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
import yaml

import dsmote
from dsmote.job.storage import STALE_SECONDS
from tests.cluster.manifests import (
    MANIFESTS,
    all_pods,
    cluster_specs,
    image_user,
    job_pods,
    missing,
    of_kind,
)

OPERATOR = "dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator/crds"


@cache
def operator_schema(kind: str) -> dict[str, Any]:
    try:
        package = distribution("dask-kubernetes")
    except PackageNotFoundError:
        missing("no dask-kubernetes here, which has the operator's schemas: extra `cluster-test`")
    file = Path(str(package.locate_file(f"{OPERATOR}/{kind.lower()}.yaml")))
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # half a megabyte of text
    (version,) = yaml.load(file.read_text(), loader)["spec"]["versions"]
    assert version["name"] == "v1"
    return closed(version["schema"]["openAPIV3Schema"])


def closed(schema: Any) -> Any:
    """As strict as the API server: a field that the schema does not know would be dropped."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {name: closed(each) for name, each in schema.items()}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields", False)
    if isinstance(schema.get("properties"), dict) and not open_ended:
        changed.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        changed.pop("type", None)
        changed["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return changed


def operator_errors(document: dict[str, Any]) -> list[str]:
    body = {name: document[name] for name in ("spec", "status") if name in document}
    validator = jsonschema.Draft202012Validator(operator_schema(document["kind"]))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]


def kubernetes_errors(document: dict[str, Any]) -> list[str]:
    try:
        import kubernetes_validate
    except ImportError:
        missing("no kubernetes-validate here, which has Kubernetes' schemas: extra `cluster-test`")
    version = kubernetes_validate.latest_version()
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    return []


def errors_of(document: dict[str, Any]) -> list[str]:
    operators = document["apiVersion"].startswith("kubernetes.dask.org/")
    return (operator_errors if operators else kubernetes_errors)(document)


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_manifests_are_valid(file: Path) -> None:
    found = list(yaml.safe_load_all(file.read_text()))
    assert found
    for document in found:
        assert errors_of(document) == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("DaskCluster", ("spec", "worker", "replicas"), "four"),
        ("DaskCluster", ("spec", "worker", "spec", "containers", 0, "comand"), ["x"]),
        ("DaskCluster", ("spec", "scheduler", "spec", "containers", 0, "ports", 0, "port"), 1),
        ("DaskJob", ("spec", "job", "spec", "restartpolicy"), "Never"),
        ("CronJob", ("spec", "concurrencyPolicy"), 1),
        ("CronJob", ("spec", "jobTemplate", "spec", "podFailurePolicy", "rule"), []),
        ("NetworkPolicy", ("spec", "podSelector", "matchLabel"), {}),
        ("ConfigMap", ("data", "DASK_X"), True),
    ],
)
def test_broken_manifest_is_noticed(kind: str, path: tuple[Any, ...], value: object) -> None:
    document = copy.deepcopy(next(iter(of_kind(kind).values())))
    assert errors_of(document) == []
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert errors_of(document) != []


def test_nightly_run_is_retried_only_where_that_can_help() -> None:
    (nightly,) = of_kind("CronJob").values()
    job = nightly["spec"]["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert nightly["spec"]["concurrencyPolicy"] == "Forbid"
    # The API server takes a failure policy with this restart policy only.
    assert pod["restartPolicy"] == "Never"
    # The lock of a pod that was killed keeps others out for so long.
    assert sum(10 * 2**tried for tried in range(job["backoffLimit"])) > STALE_SECONDS
    failing, disrupted = job["podFailurePolicy"]["rules"]
    assert failing["action"] == "FailJob"
    assert failing["onExitCodes"] == {
        "containerName": container["name"],
        "operator": "In",
        "values": [2, 4, 5],
    }
    assert disrupted["action"] == "Ignore"
    assert disrupted["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


@pytest.mark.parametrize("name", all_pods())
def test_pods_have_no_more_rights_than_they_need(name: str) -> None:
    pod = all_pods()[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == image_user()
    # Versions are compared before work: an image of another one would be refused.
    images = [container["image"] for container in pod["containers"]]
    assert images == [f"registry.example/dsmote:{dsmote.__version__}"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    mounted = {volume["name"] for volume in pod["volumes"]}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        resources = container["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        assert "cpu" in resources["requests"]
        assert {mount["name"] for mount in container["volumeMounts"]} == mounted
        sources = [each.get("configMapRef", {}).get("name") for each in container["envFrom"]]
        assert "dsmote-settings" in sources


@pytest.mark.parametrize("name", cluster_specs())
def test_names_ports_and_labels_fit_together(name: str) -> None:
    spec = cluster_specs()[name]
    (scheduler,) = spec["scheduler"]["spec"]["containers"]
    (worker,) = spec["worker"]["spec"]["containers"]
    # The operator calls the service so, and knows its ports by these names.
    address = f"tls://{name}-scheduler:8786"
    settings = of_kind("ConfigMap")["dsmote-settings"]["data"]
    for pod in (spec["worker"]["spec"], *(job_pods()[n] for n in job_pods() if fits(n, name))):
        (container,) = pod["containers"]
        (variable,) = [e for e in container["env"] if e["name"] == "DASK_SCHEDULER_ADDRESS"]
        given = variable.get("value") or settings[variable["valueFrom"]["configMapKeyRef"]["key"]]
        assert given == address
    assert spec["scheduler"]["service"]["selector"] == {
        "dask.org/cluster-name": name,
        "dask.org/component": "scheduler",
    }
    named = {port["name"]: port["containerPort"] for port in scheduler["ports"]}
    assert named == {"tcp-comm": 8786, "http-dashboard": 8787}
    assert {port["targetPort"] for port in spec["scheduler"]["service"]["ports"]} == set(named)
    assert "--nthreads=1" in worker["args"]
    (limit,) = [each for each in worker["env"] if each["name"] == "MEMORY_LIMIT"]
    assert limit["valueFrom"]["resourceFieldRef"] == {
        "containerName": worker["name"],
        "resource": "limits.memory",
    }
    policies = of_kind("NetworkPolicy")
    open_ports = {
        port
        for rule in policies["dsmote-workers"]["spec"]["ingress"]
        for each in rule["ports"]
        for port in range(each["port"], each.get("endPort", each["port"]) + 1)
    }
    assert open_ports == {port["containerPort"] for port in worker["ports"]}
    for policy in ("dsmote-scheduler", "dsmote-workers"):
        (expression,) = policies[policy]["spec"]["podSelector"]["matchExpressions"]
        assert name in expression["values"]


def fits(job: str, cluster: str) -> bool:
    return job == cluster or (cluster == "dsmote" and job == "dsmote-nightly")


class Pod(NamedTuple):
    labels: dict[str, str]
    namespace: str = "mine"


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """As Kubernetes does it, for the forms that are used here; an empty selector takes all."""
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    expressions = selector.get("matchExpressions", [])
    assert {each["operator"] for each in expressions} <= {"In"}
    wanted = {name: [value] for name, value in selector.get("matchLabels", {}).items()}
    wanted |= {each["key"]: each["values"] for each in expressions}
    return all(labels.get(name) in values for name, values in wanted.items())


def lets_in(rule: dict[str, Any], caller: Pod, port: int) -> bool:
    assert set(rule) <= {"from", "ports"}
    ports = rule.get("ports", [{"port": 0, "endPort": 65_535}])
    if not any(each["port"] <= port <= each.get("endPort", each["port"]) for each in ports):
        return False
    for peer in rule.get("from", [{"namespaceSelector": {}}]):
        assert set(peer) <= {"podSelector", "namespaceSelector"}
        namespace = {"kubernetes.io/metadata.name": caller.namespace}
        near = (
            matches(peer["namespaceSelector"], namespace)
            if "namespaceSelector" in peer
            else (caller.namespace == "mine")
        )
        if near and matches(peer.get("podSelector", {}), caller.labels):
            return True
    return False


def reached(pod: Pod, callers: dict[str, Pod], ports: range) -> dict[int, set[str]]:
    """Who gets through to a pod, by port: what some policy lets in, or all where there is none."""
    policies = [each["spec"] for each in of_kind("NetworkPolicy").values()]
    own = [each for each in policies if matches(each["podSelector"], pod.labels)]
    rules = [rule for each in own for rule in each.get("ingress", [])] if own else [{}]
    found = {
        port: {name for name, each in callers.items() if any(lets_in(r, each, port) for r in rules)}
        for port in ports
    }
    return {port: names for port, names in found.items() if names}


def test_only_who_has_to_reaches_the_cluster() -> None:
    def of_dask(cluster: str, component: str) -> dict[str, str]:
        """Labels that the operator gives to a pod."""
        return {"dask.org/cluster-name": cluster, "dask.org/component": component}

    nightly = of_kind("CronJob")["dsmote-nightly"]["spec"]["jobTemplate"]["spec"]["template"]
    pods = {
        "scheduler": Pod(of_dask("dsmote", "scheduler")),
        "worker": Pod(of_dask("dsmote", "worker")),
        "job": Pod(nightly["metadata"]["labels"]),
        "operator": Pod({"app": "operator"}, "dask-operator"),
        "cluster of others": Pod(of_dask("theirs", "worker")),
        "web": Pod({"app.kubernetes.io/name": "web"}),
        "pretender": Pod(of_dask("dsmote", "worker"), "elsewhere"),
    }
    assert reached(pods["scheduler"], pods, range(8780, 8800)) == {
        8786: {"scheduler", "worker", "job", "operator"},
        8787: {"operator"},
    }
    workers = {"scheduler", "worker"}
    assert reached(pods["worker"], pods, range(39_990, 40_010)) == {
        40_000: workers,
        40_001: workers,
    }
    assert reached(pods["job"], pods, range(8780, 8800)) == {}

    for role in ("scheduler", "worker", "job-runner"):
        pods[f"once, {role}"] = Pod(of_dask("dsmote-once", role))
    scheduler = reached(pods["once, scheduler"], pods, range(8780, 8800))
    assert {"once, worker", "once, job-runner", "operator"} <= scheduler[8786]
    assert not {"cluster of others", "web", "pretender"} & scheduler[8786]
    assert scheduler[8787] == {"operator"}
    worker = reached(pods["once, worker"], pods, range(39_990, 40_010))
    assert {"once, scheduler", "once, worker"} <= worker[40_000] == worker[40_001]
    assert "web" not in worker[40_000]
    # Without a policy all would get through.
    assert reached(pods["web"], pods, range(1)) == {0: set(pods)}
