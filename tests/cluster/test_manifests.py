"""What cluster/ has for Docker, Kubernetes and systemd: valid, safe, and started here.

Manifests are held against the schemas of what will read them. compose-spec.json is that of the
Compose specification as docker-compose 1.29.2 carries it (Apache License 2.0); the package
dask-kubernetes carries the operator's, kubernetes-validate those of Kubernetes.
"""

import configparser
import json
import os
import re
import shlex
import shutil
import sys
import tomllib
import urllib.request
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

import dsmote
from dsmote.cli import main
from dsmote.job.demo import demo_chunk
from dsmote.job.spec import load_job
from dsmote.job.storage import STALE_SECONDS
from tests.cluster.starting import CLUSTER, ROOT, free_port, missing, run, running, wait_until

SCHEDULE = ROOT / "examples" / "schedule"
README = (CLUSTER / "README.md").read_text(encoding="utf-8")
DOCKERFILE = (CLUSTER / "docker" / "Dockerfile").read_text(encoding="utf-8")
(USER,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, flags=re.M)
KUBERNETES = [
    document
    for file in sorted((CLUSTER / "kubernetes").rglob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
]


def compose(**settings):
    """The file as compose reads it, which puts values in for ${NAME:-default}."""
    text = (CLUSTER / "docker" / "compose.yml").read_text(encoding="utf-8")
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: settings.get(m[1], m[2]), text)
    found = yaml.safe_load(text)
    return found


def of_kind(kind):
    return {each["metadata"]["name"]: each for each in KUBERNETES if each["kind"] == kind}


SETTINGS = of_kind("ConfigMap")["dsmote-settings"]["data"]
NIGHTLY = of_kind("CronJob")["dsmote-nightly"]["spec"]
ONCE = of_kind("DaskJob")["dsmote-once"]["spec"]
CLUSTERS = {
    "dsmote": of_kind("DaskCluster")["dsmote"]["spec"],
    "dsmote-once": ONCE["cluster"]["spec"],
}
JOBS = {
    "dsmote": NIGHTLY["jobTemplate"]["spec"]["template"]["spec"],
    "dsmote-once": ONCE["job"]["spec"],
}


def unit(file):
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str
    parser.read_string(file.read_text(encoding="utf-8"))
    return parser


# --- Schemas


@cache
def schema_of(kind):
    if kind == "compose":
        return json.loads((Path(__file__).parent / "compose-spec.json").read_text(encoding="utf-8"))
    try:
        package = distribution("dask-kubernetes")
    except PackageNotFoundError:
        missing("no dask-kubernetes here, which has the operator's schemas: extra `cluster-test`")
    folder = "dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator/crds"
    file = Path(str(package.locate_file(f"{folder}/{kind.lower()}.yaml")))
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # half a megabyte of text
    (version,) = yaml.load(file.read_text(), loader)["spec"]["versions"]
    return closed(version["schema"]["openAPIV3Schema"])


def closed(schema):
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


def validate(document):
    kind = document.get("kind", "compose")
    if kind == "compose":
        jsonschema.Draft7Validator(schema_of(kind)).validate(document)
    elif document["apiVersion"].startswith("kubernetes.dask.org/"):
        body = {name: document[name] for name in ("spec", "status") if name in document}
        jsonschema.Draft202012Validator(schema_of(kind)).validate(body)
    else:
        try:
            import kubernetes_validate
        except ImportError:
            missing("no kubernetes-validate here, which has Kubernetes' schemas: `cluster-test`")
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


MANIFESTS = {
    "compose": compose(),
    "compose, set": compose(WORKERS="5", WORKER_MEMORY="8", DATA="/lake"),
    **{f"{each['kind']} {each['metadata']['name']}": each for each in KUBERNETES},
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if "compose" in name else pytest.mark.slow) for name in MANIFESTS],
)
def test_manifests_are_valid(name):
    """Slow are those whose schemas come with large packages."""
    validate(MANIFESTS[name])


UNITS = [
    file
    for folder in (CLUSTER / "systemd", SCHEDULE)
    for file in sorted(folder.iterdir())
    if file.suffix in (".service", ".timer")
]


def test_units_are_valid(tmp_path):
    program = shutil.which("systemd-analyze")
    if program is None:
        missing("no systemd-analyze here")

    def verified(folder):
        names = [file.name.replace("@", "@1") for file in folder.iterdir()]
        done = run(program, "verify", "--man=no", *(folder / name for name in names))
        mine = [line for line in (done.stdout + done.stderr).splitlines() if "dsmote" in line]
        return "\n".join(mine) + ("" if done.returncode == 0 else f"exit {done.returncode}")

    assert len(UNITS) == 6
    for folder in (CLUSTER / "systemd", SCHEDULE):
        units = tmp_path / folder.name
        units.mkdir()
        for file in (each for each in UNITS if each.parent == folder):
            # A program that is there, in place of one that is where dsmote is installed.
            text = re.sub(r"/opt/dsmote/bin/\w+", "/bin/true", file.read_text())
            (units / file.name).write_text(text)
        assert verified(units) == ""
    broken = units / "dsmote-nightly.service"
    broken.write_text(broken.read_text().replace("SuccessExitStatus=3", "SuccesExitStatus=3"))
    assert "SuccesExitStatus" in verified(units)


# --- What a nightly run does again


@pytest.mark.parametrize("folder", [CLUSTER / "systemd", SCHEDULE], ids=lambda path: path.name)
def test_nightly_unit_is_retried_only_where_that_can_help(folder):
    nightly = unit(folder / "dsmote-nightly.service")
    service = nightly["Service"]
    assert service["User"] == "dsmote"
    assert service["SuccessExitStatus"] == "3"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"].split() == ["2", "4", "5"]
    # However long each try takes, they end, and before the next night.
    tries = int(nightly["Unit"]["StartLimitBurst"])
    hours, interval = (
        int(section[name].removesuffix("h"))
        for section, name in (
            (service, "TimeoutStartSec"),
            (nightly["Unit"], "StartLimitIntervalSec"),
        )
    )
    assert tries > 1
    assert tries * (hours + 0.1) < interval < 24


def test_nightly_pod_is_retried_only_where_that_can_help():
    job = NIGHTLY["jobTemplate"]["spec"]
    assert NIGHTLY["concurrencyPolicy"] == "Forbid"
    # The API server takes a failure policy with this restart policy only.
    assert JOBS["dsmote"]["restartPolicy"] == "Never"
    # The lock of a pod that was killed keeps others out for so long.
    assert sum(10 * 2**tried for tried in range(job["backoffLimit"])) > STALE_SECONDS
    failing, disrupted = job["podFailurePolicy"]["rules"]
    assert (failing["action"], disrupted["action"]) == ("FailJob", "Ignore")
    assert failing["onExitCodes"] == {
        "containerName": JOBS["dsmote"]["containers"][0]["name"],
        "operator": "In",
        "values": [2, 4, 5],
    }
    assert disrupted["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


@pytest.mark.parametrize("source", ["docker", "kubernetes"])
def test_job_files_are_valid(source, tmp_path):
    file = tmp_path / "job.yaml"
    docker = (CLUSTER / "docker" / "job.yaml").read_text(encoding="utf-8")
    kubernetes = of_kind("ConfigMap")["dsmote-job"]["data"]["job.yaml"]
    file.write_text(docker if source == "docker" else kubernetes, encoding="utf-8")
    job = load_job(str(file))
    # A night without new data costs seconds; where it runs is for the environment to say.
    assert job.if_exists == "skip"
    assert job.cluster is None


# --- The image, and the containers


def test_image_is_pinned_and_holds_what_is_copied():
    text = DOCKERFILE.replace("\\\n", " ")
    assert int(USER) > 0
    assert not re.findall(r"^(RUN|COPY)", text.partition("\nUSER ")[2], flags=re.M)
    pins = dict(re.findall(r"^ARG (\w+)=\"?([^\s\"]+)", text, flags=re.M))
    assert set(re.findall(r"\$\{(\w+)\}", text)) == set(pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lower = dict(re.findall(r"'([\w-]+)(?:\[\w+\])?>=([\d.]+)'", str(project["dependencies"])))
    lower["python"] = project["requires-python"].removeprefix(">=")
    for name in pins.keys() - {"EXTRAS"}:
        least = lower[name.lower().replace("_", "-")]
        numbers = [[int(part) for part in each.split(".")] for each in (pins[name], least)]
        assert numbers[0] >= numbers[1], name
    sources = {s for line in re.findall(r"^COPY (.+) \S+$", text, flags=re.M) for s in line.split()}
    ignored = (CLUSTER / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == sources
    for source in sources:
        assert (ROOT / source).exists()
        assert os.access(ROOT / source, os.X_OK) or not source.endswith(".sh")


def test_compose_services_fit_together():
    document = compose(WORKERS="3", WORKER_MEMORY="8")
    services, volumes = document["services"], document["volumes"]
    for service in services.values():
        assert service["user"] == f"{USER}:{USER}"
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert set(service.get("depends_on", {})) <= set(services)
        for mount in service["volumes"]:
            assert mount.split(":")[0] in volumes or mount.startswith((".", "/")), mount
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        context = (CLUSTER / "docker" / service["build"]["context"]).resolve()
        assert context == ROOT
        assert (context / service["build"]["dockerfile"]).is_file()
    worker = services["worker"]
    assert (worker["deploy"]["replicas"], worker["mem_limit"]) == (3, "8g")
    assert "--memory-limit=8GB" in worker["command"]
    assert services["job"]["command"] == ["run-job.sh", "/etc/dsmote/job.yaml"]


@pytest.mark.parametrize("role", ["scheduler", "worker", "job"])
@pytest.mark.parametrize("name", CLUSTERS)
def test_pods_have_no_more_rights_than_they_need(name, role):
    pod = JOBS[name] if role == "job" else CLUSTERS[name][role]["spec"]
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, int(USER))
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    # Versions are compared before work: an image of another one would be refused.
    assert container["image"] == f"registry.example/dsmote:{dsmote.__version__}"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    resources = container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    assert {"configMapRef": {"name": "dsmote-settings"}} in container["envFrom"]


@pytest.mark.parametrize("name", CLUSTERS)
def test_names_and_ports_fit_together(name):
    spec = CLUSTERS[name]
    (scheduler,) = spec["scheduler"]["spec"]["containers"]
    (worker,) = spec["worker"]["spec"]["containers"]
    # The operator calls the service so, and knows its ports by these names.
    for container in (worker, *JOBS[name]["containers"]):
        env = {each["name"]: each for each in container["env"]}
        variable = env["DASK_SCHEDULER_ADDRESS"]
        given = variable.get("value") or SETTINGS[variable["valueFrom"]["configMapKeyRef"]["key"]]
        assert given == f"tls://{name}-scheduler:8786"
    assert spec["scheduler"]["service"]["selector"] == {
        "dask.org/cluster-name": name,
        "dask.org/component": "scheduler",
    }
    named = {port["name"]: port["containerPort"] for port in scheduler["ports"]}
    assert named == {"tcp-comm": 8786, "http-dashboard": 8787}
    assert {port["targetPort"] for port in spec["scheduler"]["service"]["ports"]} == set(named)
    assert {port["containerPort"] for port in worker["ports"]} == {40_000, 40_001}
    (limit,) = [each for each in worker["env"] if each["name"] == "MEMORY_LIMIT"]
    assert limit["valueFrom"]["resourceFieldRef"] == {
        "containerName": worker["name"],
        "resource": "limits.memory",
    }


# --- What they start, started here with other ports and folders


def started_by(source):
    """Command and environment of the scheduler, a worker and a client."""
    if source == "compose":
        services = compose()["services"]
        return {
            role: (services[role]["command"], services[role]["environment"])
            for role in ("scheduler", "worker", "job")
        }
    if source == "systemd":
        lines = (CLUSTER / "systemd" / "dask.env").read_text().splitlines()
        env = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        files = {"scheduler": "dsmote-scheduler.service", "worker": "dsmote-worker@.service"}
        commands = {
            role: unit(CLUSTER / "systemd" / file)["Service"]["ExecStart"].split()
            for role, file in files.items()
        }
    else:
        env = SETTINGS
        commands = {
            role: CLUSTERS["dsmote"][role]["spec"]["containers"][0]["args"]
            for role in ("scheduler", "worker")
        }
    return {role: (command, env) for role, command in (commands | {"job": []}).items()}


CONNECT = """
import dsmote, json
with dsmote.connect() as client:
    client.wait_for_workers(1, timeout=60)
    (one,) = client.scheduler_info()['workers'].values()
    print(json.dumps([client.scheduler.address, one['memory_limit'],
                      one['nthreads'], client.submit(sum, [1, 2]).result()]))
"""


@pytest.mark.parametrize(
    "source",
    ["kubernetes", *(pytest.param(s, marks=pytest.mark.slow) for s in ("compose", "systemd"))],
)
def test_what_is_started_there_works_here(source, certificates, tmp_path):
    port, health = free_port(), free_port()
    changes = {
        r"^/opt/dsmote/bin/": "",
        r"^/?(etc/dsmote/)?certificates/": f"{certificates}/",
        r"/(scratch|var/cache)\b.*": str(tmp_path / "scratch"),
        r"^(--port=|)8786$": rf"\g<1>{port}",
        r"^tls://[^:/]+:8786$": f"tls://127.0.0.1:{port}",
        r"^(--dashboard-address=|)(127\.0\.0\.1)?:8787$": rf"\g<1>127.0.0.1:{health}",
        r"^(--(?:worker|nanny)-port=)\d+$": r"\g<1>0",
        r"\$\(DASK_WORKER_NAME\)|^%H-%i$": "worker-1",
        r"\$\(MEMORY_LIMIT\)|\$\{MEMORY_LIMIT\}": "1073741824",
    }

    def here(text):
        changed = str(text)
        for pattern, replacement in changes.items():
            changed = re.sub(pattern, replacement, changed)
        return changed

    def command(role):
        args, env = started_by(source)[role]
        parts = [sys.executable, "-m", *map(here, args), "--host", "127.0.0.1"]
        return parts, {name: here(value) for name, value in env.items()}

    (args, env), log = command("scheduler"), tmp_path / "scheduler.log"
    with running(*args, log=log, env=env) as scheduler:

        def answers(path):
            assert scheduler.poll() is None, log.read_text()
            try:
                url = f"http://127.0.0.1:{health}/{path}"
                return urllib.request.urlopen(url, timeout=5).status == 200
            except OSError:
                return False

        wait_until(lambda: answers("health"), "the scheduler is healthy")
        assert source != "kubernetes" or answers("api/v1/check_idle")
        args, env = command("worker")
        with running(*args, log=tmp_path / "worker.log", env=env) as worker:
            _, env = command("job")
            asked = run(sys.executable, "-c", CONNECT, **env)
            assert asked.returncode == 0, asked.stderr + (tmp_path / "worker.log").read_text()
            assert worker.poll() is None
            limit = 4_000_000_000 if source == "compose" else 2**30
            assert json.loads(asked.stdout) == [f"tls://127.0.0.1:{port}", limit, 1, 3]
            if source == "compose":
                run_the_job_twice(tmp_path, env)


def run_the_job_twice(folder, env):
    """As the container of the job does; the second time there is nothing to do, which is good."""
    demo_chunk(0, 2000).to_parquet(folder / "train.parquet", index=False)
    scripts = Path(sys.executable).parent
    job = (
        *(CLUSTER / "docker" / "job.yaml", "--set", f"input={folder / 'train.parquet'}"),
        *("--set", f"output={folder / 'out'}", "--set", "params.carry=[id]"),
    )
    settings = {**env, "PATH": f"{scripts}:{os.environ['PATH']}"}
    manifests = []
    for _ in range(2):
        done = run(CLUSTER / "docker" / "run-job.sh", *job, **settings)
        assert done.returncode == 0, done.stderr
        manifests.append((folder / ".out.dsmote/manifest.json").read_text(encoding="utf-8"))
    assert manifests[0] == manifests[1]
    plain = run(scripts / "dsmote", "run", *job, **env)
    assert plain.returncode == 3, plain.stderr


# --- What cluster/README.md names exists


def test_readme():
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)\)", README)
    assert len(links) > 8
    assert [link for link in links if not (CLUSTER / link).exists()] == []
    folders = {file.name for file in CLUSTER.iterdir() if file.is_dir()}
    assert set(re.findall(r"^## (\w+)/$", README, flags=re.M)) == folders

    blocks = "".join(re.findall(r"^```\n(.*?)^```$", README, flags=re.M | re.S))
    lines = blocks.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines if line.strip()]
    words = {word for command in commands for word in command}
    named = {word for word in words if word.startswith("cluster/")}
    assert {"cluster/processes/run.sh", "cluster/docker/compose.yml"} <= named
    assert [name for name in named if not (ROOT / name).exists()] == []
    units = [word for command in commands if command[0] == "systemctl" for word in command[3:]]
    assert len(units) == 4
    for each in units:
        name = re.sub(r"@\d$", "@", each) + ("" if each.endswith(".timer") else ".service")
        assert (CLUSTER / "systemd" / name).is_file()
    shown = CliRunner().invoke(main, ["resample", "--help"]).output
    options = {
        word
        for command in commands
        if command[0] == "dsmote"
        for word in command
        if word.startswith("--")
    }
    assert len(options) > 5
    assert [option for option in options if option not in shown] == []
    files = [*(CLUSTER / "processes").glob("*.sh"), CLUSTER / "docker" / "compose.yml"]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    used = {word.partition("=")[0] for word in words if re.match(r"^[A-Z_]+=", word)}
    assert {"TLS", "MEMORY_LIMIT", "DATA", "JOB", "WORKERS"} <= used
    used |= {"HOST", "PORT", "SCHEDULER", "DAYS", "KEEP_CA_KEY"}
    assert [name for name in used if f"${{{name}:-" not in text] == []
