"""What the command line does before any work: options, help, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from dsmote import __version__
from dsmote.cli import guarded, main
from dsmote.job import JobFailed
from dsmote.job.spec import Params, job_schema, sections
from dsmote.plan import MemoryLimitError
from dsmote.samplers import samplers

SVM = ("--sampler", "svm")


def call(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_version_and_help() -> None:
    assert call("--version").output == f"dsmote, version {__version__}\n"
    assert {"demo", "plan", "resample", "samplers"} <= set(call("--help").output.split())
    options = call("resample", "--help").output
    for name in (
        *("--target", "--format", "--sampler", "--sampling-strategy", "--k-neighbors"),
        "--param",
        *("--categorical", "--carry", "--missing", "--random-state", "--scheduler"),
        *("--n-workers", "--threads-per-worker", "--memory-limit", "--overwrite", "--json"),
        *("--quiet", "--debug"),
    ):
        assert name in options


PLAN = ["plan", "in", "--target", "y"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["balance"], "No such command"),
        (["resample", "in", "out"], "Missing option '--target'"),
        (["resample", "in", "--target", "y"], "Missing argument 'OUTPUT'"),
        ([*PLAN, "--k-neighbors", "0"], "--k-neighbors: must be greater than or equal to 1, not 0"),
        ([*PLAN, "--random-state", "-1"], "--random-state: must be"),
        ([*PLAN, "--n-workers", "x"], "--n-workers: must be a valid integer, not 'x'"),
        ([*PLAN, "--missing", "drop"], "Invalid value for '--missing'"),
        ([*PLAN, "--sampling-strategy", "7"], "less than or equal to 1"),
        ([*PLAN, "--sampling-strategy", "{1:2}"], "must be a valid integer"),
        ([*PLAN, "--carry", "y"], "--carry: names the target column"),
        ([*PLAN, "--memory-limit", "much"], "must be a size above 0"),
        (
            [*PLAN, "--scheduler", "tcp://x:1", "--n-workers", "2"],
            "--n-workers: applies to local workers, but address names a running",
        ),
        ([*PLAN, "--sampler", "borderlin"], "did you mean 'borderline'?"),
        ([*PLAN, "--sampler", "smote", "--categorical", "c"], "(smotenc has it)"),
        ([*PLAN, *SVM, "--param", "kid=1"], "--param kid: SVMSMOTE has no parameter 'kid'"),
        ([*PLAN, *SVM, "--param", "kind"], "'kind' is not KEY=VALUE"),
        ([*PLAN, "--param", "a=1", "--param", "a=2"], "--param a and --param a give the same key"),
        (
            [*PLAN, *SVM, "--param", "k_neighbors=1", "--k-neighbors", "2"],
            "and --k-neighbors give the same key",
        ),
        ([*PLAN, "--sampler", "random", "--k-neighbors", "5"], "RandomOverSampler has no"),
    ],
)
def test_wrong_usage_exits_with_2(args: list[str], message: str) -> None:
    result = call(*args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_input_that_is_not_there_is_a_failure() -> None:
    result = call("plan", "no-such.parquet", "--target", "y")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert "no-such.parquet" in result.stderr


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
def test_failure_is_one_message(raised: Exception, message: str, code: int) -> None:
    @click.command()
    @click.option("--debug", is_flag=True)
    @guarded
    def fail() -> None:
        raise raised

    result = CliRunner().invoke(fail)
    assert (result.exit_code, result.stderr, result.stdout) == (code, message, "")
    assert "Traceback" in CliRunner().invoke(fail, ["--debug"]).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_is_130_and_a_second_one_does_not_disturb(number: int) -> None:
    cleaned = []

    @click.command()
    @click.option("--debug", is_flag=True)
    @guarded
    def wait() -> None:
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


def test_samplers_are_listed_one_a_line() -> None:
    lines = call("samplers").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(samplers())
    for line, (name, kind) in zip(lines, samplers().items(), strict=True):
        assert line.split(maxsplit=2) == [name, kind.__name__, kind._summary]


def test_samplers_are_listed_as_json() -> None:
    listed = json.loads(call("samplers", "--json").stdout)["samplers"]
    found = {one["name"]: one for one in listed}
    assert list(found) == list(samplers())
    assert found["kmeans"]["parameters"]["k_neighbors"] == 2
    assert found["random-under"]["kind"] == "under-sampling"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("kind=borderline-2", "borderline-2"),
        ("kind=0.5", 0.5),
        ('kind="5"', "5"),
        ("kind=[1, true]", [1, True]),
        ("kind=no", "no"),
        ("kind=a=b", "a=b"),
        ("kind=", None),
    ],
)
def test_value_of_a_parameter_is_yaml(
    text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list = []
    monkeypatch.setattr("dsmote.job.spec.check", lambda job, _: asked.append(job) or 1 / 0)
    call("plan", "in", "--target", "y", "--param", text)
    assert asked == [{"input": "in", "target": "y", "params": {"kind": value}}]


def test_every_key_of_a_job_is_an_option_of_resample_and_in_the_schema() -> None:
    """They are made from the fields: nothing else must know a new key."""
    command = main.commands["resample"]
    params = command.get_params(click.Context(command))
    found = {".".join(getattr(param, "path", (param.name,))) for param in params}
    schema = job_schema()
    known = {"": schema, "split": schema["$defs"]["Split"], "cluster": schema["$defs"]["Cluster"]}
    for above, names in {**sections(), "params": [*Params.model_fields]}.items():
        keys = {f"{above}.{name}".strip(".") for name in names}
        assert keys - {"split", "cluster", "cluster.security", "params"} <= found
        assert above not in known or set(names) == set(known[above]["properties"])


def test_name_of_a_parameter_may_be_written_as_an_option_is() -> None:
    result = call("plan", "no-such.parquet", "--target", "y", *SVM, "--param", "m-neighbors=3")
    assert "no-such.parquet" in result.stderr
    result = call("plan", "no-such.parquet", "--target", "y", *SVM, "--param", "m-neighbors=-3")
    assert "--param m-neighbors: must be greater than or equal to 1" in result.stderr


def test_environment_is_as_before() -> None:
    before = dict(os.environ)
    call("plan", "no-such.parquet", "--target", "y")
    assert dict(os.environ) == before


def run(*command: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).resolve().parents[2])
    paths = [path for path in [os.environ.get("PYTHONPATH")] if path]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *paths])},
    )


def test_help_needs_neither_pandas_nor_dask() -> None:
    code = (
        "import sys, dsmote.cli\n"
        "slow = {'pandas', 'dask', 'distributed', 'pyarrow', 'pydantic', 'rich', 'ruamel'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    assert run(sys.executable, "-c", code).stdout == "[]\n"


def test_python_m_dsmote() -> None:
    assert run(sys.executable, "-m", "dsmote", "--version").stdout.startswith("dsmote, version")


def test_dask_dsmote(tmp_path: Path) -> None:
    from importlib.metadata import entry_points

    if not any(point.name == "dsmote" for point in entry_points(group="dask_cli")):
        pytest.skip("the package is not installed, so that dask does not know of it")
    result = run(sys.executable, "-m", "dask", "dsmote", "--help")
    assert result.returncode == 0
    assert "resample" in result.stdout
    result = run(sys.executable, "-m", "dask", "dsmote", "plan", "absent", "--target", "y")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr


def test_group_is_what_dask_loads() -> None:
    assert isinstance(main, click.Group)
    assert main.name == "dsmote"
    assert (
        json.dumps(sorted(main.commands))
        == '["demo", "plan", "resample", "run", "samplers", "schema"]'
    )


def test_an_interrupt_that_python_dropped_ends_the_run_all_the_same(monkeypatch):
    import contextlib
    import signal

    from dsmote.cli import display, guarded

    went_on = []

    @guarded
    def command():
        with display(quiet=True) as progress:
            progress.advance(1, 1)
            with contextlib.suppress(KeyboardInterrupt):  # as the garbage collector would
                signal.raise_signal(signal.SIGINT)
            went_on.append("after the signal")
            progress.stage("putting the output in place")
            went_on.append("too far")

    with pytest.raises(SystemExit) as end:
        command(debug=False)
    assert end.value.code == 130
    assert went_on == ["after the signal"]


def test_scale_and_components_reach_the_job(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 3)) * [1, 100, 1e4], columns=list("abc"))
    frame["y"] = np.repeat([0, 1], [240, 60])
    frame.to_parquet(tmp_path / "in.parquet")
    made = CliRunner().invoke(
        main,
        [
            "plan",
            str(tmp_path / "in.parquet"),
            *["--target", "y", "--scale", "robust", "--n-components", "2"],
        ],
    )
    assert made.exit_code == 0, made.output
    assert "robust-scaled" in made.output and "n_components=2)" in " ".join(made.output.split())
    bad = CliRunner().invoke(
        main, ["plan", str(tmp_path / "in.parquet"), "--target", "y", "--n-components", "1.5"]
    )
    assert bad.exit_code != 0
    assert "--n-components: must be" in bad.output


def test_log_of_dasks_client_is_silenced_whenever_dask_is_imported() -> None:
    """It has a level of its own, given to it when it is imported, which is while a command runs."""
    code = """
import logging
from dsmote.cli import _without_logs_of_dask
with _without_logs_of_dask():
    import distributed
    logging.getLogger("distributed.client").error("while it runs")
logging.getLogger("distributed.client").error("afterwards")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "while it runs" not in done.stderr
    assert "afterwards" in done.stderr
