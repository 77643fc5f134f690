"""The image, and compose.yml against the Compose specification.

compose-spec.json is the specification's schema as docker-compose 1.29.2 carries it (Apache License
2.0).
"""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cluster.manifests import CLUSTER, compose, dockerfile, image_user
from tests.cluster.starting import ROOT
from tests.cluster.test_tls import ENVIRONMENT, run


def test_image_is_pinned_and_has_no_root() -> None:
    text = dockerfile().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    known = {"ARG", "FROM", "ENV", "RUN", "COPY", "USER", "WORKDIR", "CMD"}
    assert {line.split()[0] for line in lines} == known
    assert image_user() > 0
    after_user = lines[next(i for i, line in enumerate(lines) if line.startswith("USER")) :]
    assert not [line for line in after_user if line.startswith(("RUN", "COPY"))]
    pins = dict(re.findall(r"^ARG (\w+)=\"?([^\s\"]+)", text, flags=re.M))
    used = set(re.findall(r"\$\{(\w+)\}", text))
    assert used == set(pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lower = dict(re.findall(r"'([\w-]+)(?:\[\w+\])?>=([\d.]+)'", str(project["dependencies"])))
    lower["python"] = project["requires-python"].removeprefix(">=")
    for argument, name in {
        **{each: each.lower().replace("_", "-") for each in pins if each not in ("EXTRAS",)},
    }.items():
        numbers = [int(part) for part in pins[argument].split(".")]
        assert numbers >= [int(part) for part in lower[name].split(".")], name


def test_image_holds_what_is_copied_and_started() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", dockerfile(), flags=re.M)
    sources = {source for line in copied for source in line.split()}
    ignored = (CLUSTER / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert allowed == sources
    for source in sources:
        assert (ROOT / source).exists()
        if source.endswith(".sh"):
            assert os.access(ROOT / source, os.X_OK)


def compose_errors(document: dict[str, Any]) -> list[str]:
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    found = jsonschema.Draft7Validator(schema).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in found]


def test_compose_file_is_valid() -> None:
    assert compose_errors(compose()) == []
    assert compose_errors(compose(WORKERS="5", WORKER_MEMORY="8", DATA="/lake")) == []
    broken = compose()
    broken["services"]["worker"]["comand"] = broken["services"]["worker"].pop("command")
    assert compose_errors(broken) != []
    assert compose_errors(compose(WORKERS="many")) != []


def test_compose_services_fit_together() -> None:
    document = compose(WORKERS="3", WORKER_MEMORY="8")
    services, volumes = document["services"], document["volumes"]
    assert set(services) == {"certificates", "scheduler", "worker", "job"}
    for name, service in services.items():
        assert service["user"] == f"{image_user()}:{image_user()}"
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert set(service.get("depends_on", {})) <= set(services)
        for mount in service["volumes"]:
            source, target = mount.split(":")[:2]
            assert source in volumes or source.startswith((".", "/")), mount
            assert target.startswith("/")
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} is open to the network"
        build = service["build"]
        context = (CLUSTER / "docker" / build["context"]).resolve()
        assert context == ROOT
        assert (context / build["dockerfile"]).is_file()
    assert services["worker"]["deploy"]["replicas"] == 3
    assert services["worker"]["mem_limit"] == "8g"
    assert "--memory-limit=8GB" in services["worker"]["command"]
    assert services["job"]["command"] == ["run-job.sh", "/etc/dsmote/job.yaml"]


def path_with_dsmote(folder: Path, script: str) -> str:
    """Return a PATH on which a script comes first as `dsmote`."""
    fake = folder / "dsmote"
    fake.write_text(script)
    fake.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("code", "seen"), [(0, 0), (3, 0), (1, 1), (2, 2), (4, 4), (5, 5), (130, 130)]
)
def test_run_job_tells_skipped_from_failed(code: int, seen: int, tmp_path: Path) -> None:
    path = path_with_dsmote(tmp_path, f'#!/bin/sh\necho "$@"\nexit {code}\n')
    done = run(*(CLUSTER / "docker" / "run-job.sh", "job.yaml", "--set", "a=b c"), PATH=path)
    assert (done.returncode, done.stdout) == (seen, "run job.yaml --set a=b c\n")


def test_run_job_passes_the_signal_on_and_waits(tmp_path: Path) -> None:
    """The job clears up before the container may end.

    The script has no `$(...)`: bash may lose a signal that comes while it reads one.
    """
    path = path_with_dsmote(
        tmp_path,
        "#!/bin/bash\ntrap 'sleep 0.5; echo cleared; exit 130' TERM\n"
        "{ echo ready; for _ in {1..300}; do sleep 0.1; done; }\n",
    )
    process = subprocess.Popen(
        [CLUSTER / "docker" / "run-job.sh", "job.yaml"],
        env=ENVIRONMENT | {"PATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "cleared\n")


def test_run_job_passes_on_a_signal_that_comes_while_the_job_starts(tmp_path: Path) -> None:
    """It may come before the script has learnt the job's number."""
    path = path_with_dsmote(
        tmp_path,
        "#!/bin/bash\ntrap 'echo cleared; exit 130' TERM\n"
        "{ kill -TERM $PPID; for _ in {1..300}; do sleep 0.1; done; }\n",
    )
    for _ in range(10):
        done = run(CLUSTER / "docker" / "run-job.sh", "job.yaml", PATH=path)
        assert (done.returncode, done.stdout) == (130, "cleared\n")
