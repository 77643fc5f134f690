"""What the command line does before any work: options, help, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dsmote import JobResult, JobSpec, __version__
from dsmote.cli import JobCommand, main
from dsmote.job import JobFailed
from dsmote.job.spec import PARAMS, Split, job_schema
from dsmote.plan import MemoryLimitError
from dsmote.samplers import samplers

ROOT = Path(__file__).resolve().parents[2]
JOB = "input: in\noutput: out\ntarget: y\n"


def call(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def ending(function):
    """A command of dsmote's that does nothing else."""
    debug = click.option("--debug", is_flag=True)
    return click.command(cls=JobCommand, keys=())(debug(function))


def run(*command):
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=env)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_text(JOB)


@pytest.fixture
def asked(monkeypatch):
    """The jobs that commands would run."""
    found = []

    def run_spec(spec, **options):
        found.append(spec)
        return JobResult("planned", None, None, None, 0.0)

    monkeypatch.setattr("dsmote.job.run.run_spec", run_spec)
    return found


def test_version_and_help():
    assert call("--version").output == f"dsmote, version {__version__}\n"
    commands = {"advise", "demo", "plan", "resample", "run", "samplers", "schema", "verify"}
    assert set(main.commands) == commands <= set(call("--help").output.split())
    assert "[default: error]" in call("resample", "--help").output
    text = call("run", "--help").output
    guide = (ROOT / "docs/guide/scheduling.md").read_text(encoding="utf-8")
    assert "[default: error]" not in text  # the file says it
    for code in (0, 1, 2, 3, 4, 5, 130):
        assert f"\n  {code:>5}  " in text
        assert f"\n| {code} | " in guide


def test_every_key_of_a_job_is_an_option_of_resample():
    """They are made from the fields: nothing else must know a new key."""
    command = main.commands["resample"]
    params = command.get_params(click.Context(command))
    found = {".".join(getattr(param, "path", (param.name,))) for param in params}
    schema = job_schema()
    keys = {*schema["properties"], *(f"params.{name}" for name in PARAMS)}
    for name, above in (
        ("CSV", "csv"),
        ("Split", "split"),
        ("Cluster", "cluster"),
        ("Security", "cluster.security"),
    ):
        keys |= {f"{above}.{key}" for key in schema["$defs"][name]["properties"]}
    assert keys - {"csv", "split", "cluster", "cluster.security", "params"} <= found


RESAMPLE = ("resample", "in", "out", "--target", "y")
SVM = ("--sampler", "svm", "--param")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (
            (
                *("--split-column", "n", "--train", 1, "--train", "a", "--train", '"2"'),
                *("--mode", "synthetic", "--overwrite", "--report", "--resume", "--row-group-rows"),
                *(50, "--partition-by", "y", "--partition-by", "z", "--compression", "zstd"),
            ),
            {
                "split": Split("n", (1, "a", "2")),
                "mode": "synthetic",
                "if_exists": "replace",
                "report": True,
                "resume": True,
                "row_group_rows": 50,
                "partition_by": ("y", "z"),
                "compression": "zstd",
            },
        ),
        (
            ("--test-fraction", 0.2, "--split-seed", 3, "--stratify", "--shuffle"),
            {"split": Split(test_fraction=0.2, seed=3, stratify=True), "shuffle": True},
        ),
        (("--if-exists", "skip", "--format", "csv"), {"if_exists": "skip", "format": "csv"}),
        (
            (
                *("--sampling-strategy", '{"1": 50}', "--k-neighbors", 3, "--carry", "01"),
                *("--categorical", "a", "--categorical", "b", "--missing", "skip", "--scale"),
                *("robust", "--n-components", 0.9, "--random-state", 7, "--neighbors", "brute"),
            ),
            {
                "params": {
                    "sampling_strategy": {"1": 50},
                    "k_neighbors": 3,
                    "carry": ["01"],
                    "categorical": ["a", "b"],
                    "missing": "skip",
                    "scale": "robust",
                    "n_components": 0.9,
                    "random_state": 7,
                    "neighbors": "brute",
                }
            },
        ),
        ((*SVM, "m-neighbors=3"), {"sampler": "svm", "params": {"m_neighbors": 3}}),
        ((*SVM, "max_fit_rows="), {"sampler": "svm", "params": {"max_fit_rows": None}}),
        ((*SVM, "carry=[a, 'b=1']"), {"sampler": "svm", "params": {"carry": ["a", "b=1"]}}),
    ],
)
def test_options_reach_the_job(args, expected, asked):
    result = call(*RESAMPLE, "--quiet", *args)
    assert result.exit_code == 0, result.output
    assert asked == [JobSpec("in", "y", output="out", **expected)]


def test_the_scheduler_of_the_command_line_is_taken(asked):
    tls = "security: {tls_ca_file: a, tls_client_cert: b, tls_client_key: c}"
    Path("job.yaml").write_text(f"{JOB}cluster: {{n_workers: 2, memory_limit: 2GiB, {tls}}}\n")
    security = {"tls_ca_file": "a", "tls_client_cert": "b", "tls_client_key": "c"}
    for option in ((), ("--scheduler", "tls://127.0.0.1:1"), ("--scheduler-file", "f")):
        assert call("run", "job.yaml", "--quiet", *option).exit_code == 0
    assert [spec.cluster.connection() for spec in asked] == [
        {"n_workers": 2, "memory_limit": "2GiB", "security": security},
        {"address": "tls://127.0.0.1:1", "security": security},
        {"scheduler_file": "f", "security": security},
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("balance",), "No such command"),
        (("resample", "in", "out"), "Missing option '--target'"),
        (("resample", "in", "--target", "y"), "Missing argument 'OUTPUT'"),
        (("run",), "Missing argument 'JOB.yaml'"),
        (("run", "absent.yaml"), "does not exist"),
        (("run", "job.yaml", "--log-format", "xml"), "--log-format"),
        (("run", "job.yaml", "--if-exists", "perhaps"), "--if-exists"),
        (("run", "job.yaml", "--set", "target"), "is not KEY=VALUE, such as params."),
        (("run", "job.yaml", "--set", "cluster.n_workers=0"), "--set cluster.n_workers: must be"),
        (
            ("run", "job.yaml", "--set", "if_exists=skip", "--if-exists", "replace"),
            "give the same key: give one of them",
        ),
        ((*RESAMPLE, "--overwrite", "--if-exists", "skip"), "--overwrite"),
        (
            (*RESAMPLE, "--k-neighbors", 0),
            "--k-neighbors: must be greater than or equal to 1, not 0",
        ),
        ((*RESAMPLE, "--sampling-strategy", "{1:2}"), "must be a valid integer"),
        ((*RESAMPLE, "--carry", "y"), "--carry: names the target column"),
        ((*RESAMPLE, "--partition-by", "n", "--partition-by", "n"), "--partition-by: names column"),
        ((*RESAMPLE, "--sampler", "smote", "--categorical", "c"), "(smotenc, "),
        (
            (*RESAMPLE, "--scheduler", "tcp://x:1", "--n-workers", 2),
            "--n-workers: applies to local workers, but address names a running",
        ),
        ((*RESAMPLE, *SVM, "kid=1"), "--param kid: SVMSMOTE has no parameter 'kid'"),
        ((*RESAMPLE, *SVM, "kind"), "'kind' is not KEY=VALUE, such as k_neighbors=7"),
        ((*RESAMPLE, *SVM, "m-neighbors=-3"), "--param m-neighbors: must be greater than"),
        ((*RESAMPLE, *SVM, "k_neighbors=1", "--k-neighbors", 2), "and --k-neighbors give the same"),
    ],
)
def test_wrong_usage_exits_with_2(args, message):
    result = call(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("raised", "message", "code"),
    [
        (ValueError("the column x"), "Error: the column x\n", 5),
        (TypeError("a tuple"), "Error: a tuple\n", 5),
        (ImportError("no faiss"), "Error: ImportError: no faiss\n", 5),
        (FileExistsError("it is there"), "Error: it is there\n", 5),
        (MemoryLimitError("2 GiB"), "Error: 2 GiB\n", 4),
        (JobFailed("a worker died"), "Error: a worker died\n", 1),
        (OSError(5, "reset"), "Error: [Errno 5] reset\n", 1),
        (FileNotFoundError("not yet"), "Error: not yet\n", 1),
        (KeyError("x"), "Error: KeyError: 'x'\n", 1),
        (MemoryError(), "Error: MemoryError: \n", 1),
    ],
)
def test_failure_is_one_message(raised, message, code):
    @ending
    def fail():
        raise raised

    before = dict(os.environ)
    result = CliRunner().invoke(fail)
    assert (result.exit_code, result.stderr, result.stdout) == (code, message, "")
    assert dict(os.environ) == before
    assert "Traceback" in CliRunner().invoke(fail, ["--debug"]).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_is_130_and_a_second_one_does_not_disturb(number):
    cleaned = []

    @ending
    def wait():
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)
            cleaned.append(True)

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    result = CliRunner().invoke(wait)
    assert (result.exit_code, cleaned) == (130, [True])
    assert "Interrupted" in result.stderr
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_samplers_are_listed():
    shown, title = {}, ""
    for line in call("samplers").stdout.splitlines():
        if not line.startswith(" "):
            title = line
            continue
        name, *told = line.split(maxsplit=2)
        shown[name] = [title, *told]
    titles = {"over-sampling": "over:", "under-sampling": "under:", "clean-sampling": "clean:"}
    titles["combination"] = "combine:"
    assert shown == {
        name: [titles[kind._sampling_type], kind.__name__, kind._summary]
        for name, kind in samplers().items()
    }
    assert list(dict.fromkeys(told[0] for told in shown.values())) == list(titles.values())
    listed = json.loads(call("samplers", "--json").stdout)["samplers"]
    found = {one["name"]: one for one in listed}
    assert list(found) == list(samplers())
    assert found["kmeans"]["parameters"]["k_neighbors"] == 2
    assert found["random-under"]["kind"] == "under-sampling"


def test_help_needs_neither_pandas_nor_dask():
    code = (
        "import sys, click, dsmote.cli\n"
        "slow = {'pandas', 'dask', 'distributed', 'pyarrow', 'rich', 'ruamel'}\n"
        "assert not {'pydantic', *slow} & set(sys.modules)\n"
        "command = dsmote.cli.main.commands['resample']\n"
        "command.get_params(click.Context(command))\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    assert run(sys.executable, "-c", code).stdout == "[]\n"


def test_the_commands_by_which_it_is_started():
    for module in ("dsmote", "dsmote.cli"):
        assert run(sys.executable, "-m", module, "--version").stdout.startswith("dsmote, version")
    if not any(point.name == "dsmote" for point in entry_points(group="dask_cli")):
        pytest.skip("the package is not installed, so that dask does not know of it")
    result = run(sys.executable, "-m", "dask", "dsmote", "plan", "absent", "--target", "y")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
