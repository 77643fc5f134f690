"""What cluster/ has for containers, Kubernetes and systemd, read for the tests."""

import configparser
import os
import re
from functools import cache
from typing import Any, NoReturn

import pytest
import yaml

from tests.cluster.starting import ROOT

CLUSTER = ROOT / "cluster"
MANIFESTS = sorted((CLUSTER / "kubernetes").rglob("*.yaml"))


def missing(what: str) -> NoReturn:
    """Skip, or fail where nothing may be skipped."""
    if os.environ.get("DSMOTE_REQUIRE_DATA") == "1":
        pytest.fail(what)
    pytest.skip(what)


@cache
def documents() -> list[dict[str, Any]]:
    """Read once: who changes one takes a copy."""
    return [each for file in MANIFESTS for each in yaml.safe_load_all(file.read_text()) if each]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in documents() if each["kind"] == kind}


def cluster_specs() -> dict[str, dict[str, Any]]:
    """Specification of each Dask cluster, by name."""
    clusters = {name: each["spec"] for name, each in of_kind("DaskCluster").items()}
    jobs = {name: each["spec"]["cluster"]["spec"] for name, each in of_kind("DaskJob").items()}
    return clusters | jobs


def job_pods() -> dict[str, dict[str, Any]]:
    crons = of_kind("CronJob")
    pods = {
        name: each["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        for name, each in crons.items()
    }
    return pods | {name: each["spec"]["job"]["spec"] for name, each in of_kind("DaskJob").items()}


def all_pods() -> dict[str, dict[str, Any]]:
    pods = {f"{name}, job": pod for name, pod in job_pods().items()}
    for name, spec in cluster_specs().items():
        pods |= {f"{name}, {role}": spec[role]["spec"] for role in ("scheduler", "worker")}
    return pods


def dockerfile() -> str:
    return (CLUSTER / "docker" / "Dockerfile").read_text(encoding="utf-8")


def image_user() -> int:
    (user,) = re.findall(r"^USER (\d+):\d+$", dockerfile(), flags=re.M)
    return int(user)


def interpolated(text: str, settings: dict[str, str]) -> str:
    """As compose does it with ${NAME:-default}."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: settings.get(m[1], m[2]), text)


def compose(**settings: str) -> dict[str, Any]:
    text = (CLUSTER / "docker" / "compose.yml").read_text(encoding="utf-8")
    return yaml.safe_load(interpolated(text, settings))


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((CLUSTER / "systemd" / name).read_text(encoding="utf-8"))
    return parser
