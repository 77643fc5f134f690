"""`dsmote run`: a job file from its errors to its exit code."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dask
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result
from distributed import Client

import dsmote
from dsmote import JobFileError, JobResult, JobSpec, run_job
from dsmote.cli import main
from dsmote.job import api
from dsmote.job.spec import Split
from dsmote.plan import MemoryLimitError
from dsmote.samplers.registry import samplers

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def job(numeric: Path, client: Client) -> Path:
    """A job on the small table, in the working directory; the shared cluster is active."""
    file = Path("job.yaml")
    file.write_text("input: numeric\noutput: out\ntarget: y\nparams: {random_state: 0}\n")
    return file


def lines(result: Result) -> list[dict]:
    """The log as JSON: one object a line, and nothing else on the standard error."""
    return [json.loads(line) for line in result.stderr.splitlines()]


def test_run_writes_the_output_and_tells_what_it_did(job: Path, hashes: Callable) -> None:
    result = call("run", job)
    assert result.exit_code == 0, result.output
    assert "350 rows in 3 part files" in result.stdout
    assert pd.read_parquet("out")["y"].value_counts().to_dict() == {"usual": 175, "rare": 175}
    # The same as `resample` does with the same options.
    options = ("--target", "y", "--random-state", 0, "--quiet")
    assert call("resample", "numeric", "other", *options).exit_code == 0
    assert hashes(Path("out")) == hashes(Path("other"))


def test_relative_paths_are_of_the_working_directory(job: Path, tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    job.rename("jobs/job.yaml")
    assert call("run", "jobs/job.yaml", "--quiet").exit_code == 0
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_json_is_the_manifest_and_nothing_else(job: Path) -> None:
    result = call("run", job, "--json", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == json.loads(Path(".out.dsmote/manifest.json").read_text())


def test_dry_run_prints_the_plan_and_writes_nothing(job: Path, tmp_path: Path) -> None:
    before = sorted(os.listdir(tmp_path))
    result = call("run", job, "--dry-run")
    assert result.exit_code == 0
    for word in ("SMOTE", "engine", "rare", "175", "memory"):
        assert word in result.stdout
    plan = json.loads(call("run", job, "--dry-run", "--json").stdout)
    assert (plan["sampler"], plan["rows_after"]) == ("SMOTE", 350)
    assert sorted(os.listdir(tmp_path)) == before


def test_errors_exit_with_2_before_anything_runs(job: Path, tmp_path: Path) -> None:
    job.write_text(job.read_text() + "reprot: true\nsampler: smott\n")
    result = call("run", job, "--set", "mode=ful")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "Error: job.yaml has 3 errors:\n"
        "  job.yaml:5: reprot: there is no such key (did you mean 'report'?)\n"
        "  job.yaml:6: sampler: there is no sampler 'smott' (did you mean 'smote'?); the samplers "
        f"are: auto, {', '.join(samplers())}\n"
        "  --set mode: must be 'full' or 'synthetic', not 'ful' (did you mean 'full'?)\n"
    )
    assert not (tmp_path / "out").exists()
    # With the log as JSON, errors are JSON too.
    (line,) = lines(call("run", job, "--log-format", "json"))
    assert line["level"] == "ERROR"
    assert line["fields"]["errors"][0].startswith("job.yaml:5: reprot: ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["absent.yaml"], "does not exist"),
        ([], "Missing argument 'JOB.yaml'"),
        (["job.yaml", "--set", "target"], "is not KEY=VALUE"),
        (["job.yaml", "--if-exists", "perhaps"], "--if-exists"),
        (["job.yaml", "--log-format", "xml"], "--log-format"),
        (["job.yaml", "--set", "cluster.n_workers=0"], "--set cluster.n_workers: "),
    ],
)
def test_wrong_usage_exits_with_2(args: list[str], message: str, job: Path) -> None:
    result = call("run", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_failures_exit_with_1_or_5(job: Path) -> None:
    """1 where the next try may go well, such as when the input has come."""
    result = call("run", job, "--set", "input=absent")
    assert (result.exit_code, result.stdout) == (1, "")
    result = call("run", job, "--set", "target=nope")
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert "nope" in result.stderr
    assert "Traceback" not in result.stderr
    result = call("run", job, "--set", "target=nope", "--log-format", "json")
    assert result.exit_code == 5
    assert [line["level"] for line in lines(result)][-1] == "ERROR"


def test_what_memory_does_not_allow_exits_with_4(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsmote.plan import Limit

    small = Limit(50 * 2**20, 1, "the memory limit of a worker")
    monkeypatch.setattr("dsmote.execute.dask_table.memory_limit", lambda **_: small)
    result = call("run", job)
    assert (result.exit_code, result.stdout) == (4, ""), result.output
    assert "the memory limit of a worker" in result.stderr
    assert not Path("out").exists()
    with pytest.raises(MemoryLimitError):
        run_job(job)
    planned = call("run", job, "--dry-run")
    assert planned.exit_code == 4
    assert "cannot run: " in planned.stdout and " ERROR   cannot run: " in planned.stderr
    # Workers that could not hold a row are refused before they are started.
    result = call("run", job, "--set", "cluster.memory_limit=100MiB")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "100.0 MiB" in result.stderr


def test_skipped_exits_with_3(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("run", job, "--quiet").exit_code == 0
    before = Path(".out.dsmote/manifest.json").stat().st_mtime_ns
    result = call("run", job, "--if-exists", "skip")
    assert result.exit_code == 3, result.output
    assert result.stdout.startswith("Skipped: out ")
    assert Path(".out.dsmote/manifest.json").stat().st_mtime_ns == before
    result = call("run", job, "--if-exists", "skip", "--json", "--quiet")
    assert json.loads(result.stdout) == json.loads(Path(".out.dsmote/manifest.json").read_text())
    assert run_job(job, overrides={"if_exists": "skip"}).status == "skipped"


def test_an_output_that_is_there_is_refused_or_replaced(job: Path) -> None:
    assert call("run", job, "--quiet").exit_code == 0
    for args in ((), ("--dry-run",)):
        result = call("run", job, *args)
        assert result.exit_code == 5
        assert "is there already" in result.stderr
    assert call("run", job, "--if-exists", "replace", "--quiet").exit_code == 0


def test_interrupted_exits_with_130(numeric: Path, tmp_path: Path) -> None:
    text = "input: numeric\noutput: out\ntarget: y\ncluster: {n_workers: 1}\n"
    (tmp_path / "job.yaml").write_text(text)
    process = subprocess.Popen(
        [sys.executable, "-m", "dsmote", "run", "job.yaml", "--log-level", "debug"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "starting workers ..." in line:
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "Interrupted: nothing was written."
    assert sorted(os.listdir(tmp_path)) == ["job.yaml", "numeric"]


def test_help_and_readme_tell_the_exit_codes() -> None:
    text = call("run", "--help").output
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for code in (0, 1, 2, 3, 4, 5, 130):
        assert f"\n  {code:>5}  " in text
        assert f"\n| {code} | " in readme


def test_the_log_has_a_line_for_each_stage(job: Path) -> None:
    result = call("run", job)
    messages = [line.split(maxsplit=2) for line in result.stderr.splitlines()]
    assert all(time.endswith("Z") for time, _, _ in messages)
    warned = [text for _, level, text in messages if level != "INFO"]
    assert len(warned) == 1 and "column 'n' (in 1 of 1" in warned[0]
    said = [text.partition(":")[0] for _, _, text in messages]
    assert said[:1] == ["starting workers"]
    for stage in ("counting classes", "planned", "writing", "putting the output in place"):
        assert said.count(stage) == 1, said
    assert said[-1].startswith("done in ")
    text = result.stderr
    assert "SMOTE, engine" in text
    assert "200 rows become 350" in text
    assert "projected in one worker" in text
    assert "350 rows in 3 partitions" in text


def test_the_log_as_json(job: Path) -> None:
    result = call("run", job, "--log-format", "json")
    found = lines(result)
    for line in found:
        assert sorted(line) == ["fields", "level", "logger", "message", "stage", "time"]
        assert pd.Timestamp(line["time"]).tzname() == "UTC"
        assert line["logger"] == "dsmote.job"
    plan = next(line["fields"] for line in found if line["message"].startswith("planned"))
    # What was chosen to search with, and why, as in the plan.
    assert any("brute, because" in line["message"] for line in found)
    assert plan["classes"] == {"rare": [25, 175], "usual": [175, 175]}
    assert 0 < plan["worker_bytes"] < plan["allowed_bytes"]
    assert plan["engine"]
    writing = next(line for line in found if line["stage"] == "writing")
    assert (writing["fields"]["rows"], writing["fields"]["partitions"]) == (350, 3)
    assert writing["fields"]["seconds"] > 0
    assert found[-1]["fields"]["status"] == "done"


def test_levels_of_the_log(job: Path) -> None:
    warned = call("run", job, "--log-level", "warning").stderr.splitlines()
    assert len(warned) == 1 and "WARNING column 'n' (in 1 of 1" in warned[0]
    text = call("run", job, "--log-level", "debug", "--if-exists", "replace").stderr
    assert "DEBUG   writing ..." in text
    assert call("run", job, "--quiet", "--if-exists", "replace").output == ""


def test_warnings_of_the_plan_are_logged_as_warnings(job: Path) -> None:
    result = call("run", job, "--log-format", "json", "--set", "params.k_neighbors=1")
    plan = json.loads(Path(".out.dsmote/manifest.json").read_text())
    warned = [line["message"] for line in lines(result) if line["level"] == "WARNING"]
    assert warned == plan["warnings"]
    assert "Warning" not in result.stdout


def test_resample_logs_when_asked(job: Path) -> None:
    result = call("resample", "numeric", "a", "--target", "y", "--log-format", "json")
    assert {"counting classes", "writing", "done"} <= {line["stage"] for line in lines(result)}
    result = call("resample", "numeric", "b", "--target", "y", "--log-level", "info")
    assert "INFO    writing: 350 rows" in result.stderr
    assert "partitions, 350 of 350 rows" not in result.stderr


def test_a_bar_on_a_terminal_and_nothing_twice(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr("rich.console.Console", lambda **options: console)
    monkeypatch.setattr("dsmote.cli._is_terminal", lambda: True)
    result = call("run", job)
    assert result.exit_code == 0
    assert "350 rows, 3/3 partitions" in screen.getvalue()
    assert "INFO" not in result.stderr + screen.getvalue()
    # Asked for by name, the log is shown, and then there is no bar.
    screen.truncate(0)
    result = call("run", job, "--log-level", "info", "--if-exists", "replace")
    assert "INFO    writing" in result.stderr
    assert "partitions" not in screen.getvalue()


def test_a_library_call_configures_no_logging(
    job: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("dsmote")
    before = list(logger.handlers), logger.level, logger.propagate
    assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]
    with caplog.at_level(logging.INFO, "dsmote"):
        run_job(job)
    assert (list(logger.handlers), logger.level, logger.propagate) == before
    assert capfd.readouterr() == ("", "")
    stages = [getattr(record, "stage", None) for record in caplog.records]
    assert {"counting classes", "writing", "done"} <= set(stages)
    # A command puts everything back as well.
    call("run", job, "--if-exists", "replace")
    assert (list(logger.handlers), logger.level, logger.propagate) == before


SECRET = "hunter2-and-more"


def test_secrets_are_shown_nowhere(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the plan, the log, the result, the manifest, the report, and messages of failures."""
    frame = pd.read_parquet("numeric").assign(**{SECRET: 1})
    Path(SECRET).mkdir()
    frame.to_parquet(f"{SECRET}/in.parquet")
    monkeypatch.setenv("PASSWORD", SECRET)
    job.write_text(
        "input: ${PASSWORD}/in.parquet\noutput: ${PASSWORD}/out\ntarget: y\n"
        "params: {carry: ['${PASSWORD}']}\n"
    )
    results = [
        call("run", job, "--dry-run"),
        call("run", job, "--dry-run", "--json"),
        call("run", job, "--log-level", "debug"),
        call("run", job, "--debug"),  # the output is there: a failure that names it
        call("run", job, "--log-format", "json"),
        call("run", job, "--if-exists", "replace", "--json"),
        call("run", job, "--set", "input=${PASSWORD}/absent"),
        call("run", job, "--set", "target=${PASSWORD}", "--if-exists", "replace"),
        call("run", job, "--set", "mode=${PASSWORD}"),
    ]
    assert [result.exit_code for result in results] == [0, 0, 0, 5, 5, 0, 5, 2, 2]
    for result in results:
        assert SECRET not in result.output, result.output
        assert result.exception is None or SECRET not in repr(result.exception)
    assert "***" in results[3].stderr
    manifest = Path(SECRET, ".out.dsmote/manifest.json").read_text()
    assert SECRET not in manifest
    assert json.loads(manifest)["job"]["input"] == "***/in.parquet"
    # A column that is measured, and that the plan warns of: it is nominal.
    frame.assign(**{SECRET: "same"}).to_parquet(f"{SECRET}/in.parquet")
    nominal = ("--set", "params={categorical: ['${PASSWORD}']}", "--set", "report=true")
    assert SECRET not in call("run", job, "--if-exists", "replace", *nominal).output
    for file in ("manifest.json", "report.html"):
        assert SECRET not in Path(SECRET, ".out.dsmote", file).read_text()
    with pytest.raises(FileExistsError) as error:
        run_job(job)
    while error is not None:
        value = getattr(error, "value", error)
        assert SECRET not in f"{value} {value.args}"
        error = value.__cause__ or value.__context__


def test_secrets_in_a_query_are_shown_nowhere(numeric: Path, client: Client) -> None:
    """A folder is called so here: what has a query is known by its name, not by its store."""
    secret = "8f3c9d"
    source, out = f"in?X-Amz-Signature={secret}", f"out?page=1&sig={secret}"
    numeric.rename(source)
    write = ("resample", source, out, "--target", "y", "--report")
    results = [
        call("plan", source, "--target", "y"),
        call("plan", source, "--target", "y", "--json"),
        call(*write, "--log-level", "debug"),
        call(*write, "--debug"),  # the output is there: a failure that names it
        call(*write, "--overwrite", "--json", "--log-format", "json"),
        call("plan", f"absent?token={secret}", "--target", "y", "--debug"),
        call("plan", f"{source}/0.parquet?token={secret}", "--target", "y"),
        call("plan", source, "--target", "nope"),
    ]
    assert [result.exit_code for result in results] == [0, 0, 0, 5, 0, 1, 1, 5]
    for result in results:
        assert secret not in result.output, result.output
    for file in ("manifest.json", "report.html"):
        assert secret not in Path(f".{out}.dsmote", file).read_text()
    assert "sig=***" in Path(f".{out}.dsmote", "manifest.json").read_text()


def test_the_json_log_names_the_first_errors(job: Path) -> None:
    job.write_text(job.read_text() + "".join(f"key_{n}: 1\n" for n in range(4000)))
    result = call("run", job, "--log-format", "json")
    assert result.exit_code == 2
    (line,) = lines(result)
    assert (len(line["fields"]["errors"]), line["fields"]["errors"][-1]) == (
        21,
        "and 3,980 more",
    )
    assert len(result.output) < 20_000


def test_secrets_are_masked_in_the_log_of_the_workers(
    job: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker logs the error of a task, which names files; `--debug` shows that log."""
    secret = "correct-horse-battery"
    Path(secret).mkdir()
    pd.read_parquet("numeric").to_parquet(f"{secret}/a.parquet")
    data = Path(secret, "a.parquet").read_bytes()
    # The footer is whole, so that it is a worker that stumbles.
    pages = len(data) - 12 - int.from_bytes(data[-8:-4], "little")
    Path(secret, "a.parquet").write_bytes(data[:4] + b"\xff" * pages + data[4 + pages :])
    monkeypatch.setenv("PASSWORD", secret)
    overrides = {"input": "${PASSWORD}/a.parquet", "if_exists": "replace"}
    with pytest.raises(ValueError, match=r"\*\*\*/a.parquet is corrupt"):
        run_job(job, client=client, overrides=overrides)
    logged = str(client.get_worker_logs())
    assert "***/a.parquet is corrupt" in logged
    assert secret not in logged
    # Nothing stays behind: neither the plugin nor the filters.
    assert not client.run_on_scheduler(_masking_plugins)
    assert not any(client.run(_masking_filters).values())
    assert _masking_filters() == 0


def _masking_plugins(dask_scheduler=None) -> list[str]:
    return [name for name in dask_scheduler.worker_plugins if name.startswith("dsmote")]


def _masking_filters() -> int:
    known = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    handlers = [handler for logger in known for handler in logger.handlers]
    return sum("job.logs" in type(f).__module__ for each in handlers for f in each.filters)


def test_passwords_in_urls_are_shown_nowhere(client: Client) -> None:
    spec = JobSpec("sftp://me:topsecret@127.0.0.1:1/in.parquet", "y", output="out")
    assert "topsecret" not in repr(spec) + json.dumps(spec.shown())
    with pytest.raises(Exception, match=r".") as error:
        run_job(spec)
    assert "topsecret" not in str(error.value)
    result = call("resample", spec.input, "out", "--target", "y")
    assert result.exit_code in (1, 5)  # 5 where no library is there for it
    assert "topsecret" not in result.output


def test_the_scheduler_of_the_command_line_is_taken(job: Path, monkeypatch) -> None:
    asked: list[dict] = []

    def run_spec(spec: JobSpec, **options: object) -> JobResult:
        asked.append(spec.cluster.connection())
        return JobResult("planned", None, None, None, 0.0)

    monkeypatch.setattr("dsmote.job.run_spec", run_spec)
    job.write_text(job.read_text() + "cluster: {n_workers: 2, memory_limit: 2GiB}\n")
    assert call("run", job, "--quiet").exit_code == 0
    assert call("run", job, "--quiet", "--scheduler", "tcp://127.0.0.1:1").exit_code == 0
    assert asked == [{"n_workers": 2, "memory_limit": "2GiB"}, {"address": "tcp://127.0.0.1:1"}]


def test_a_cluster_of_the_file_is_used(job: Path) -> None:
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        result = call("run", job, "--set", "cluster.address=tcp://127.0.0.1:1")
    assert result.exit_code == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in result.stderr


def test_run_job_in_python(job: Path, client: Client, hashes: Callable) -> None:
    assert dsmote.run_job is run_job
    planned = run_job(job, dry_run=True)
    assert (planned.status, planned.exit_code, planned.manifest) == ("planned", 0, None)
    assert planned.plan.n_after == 350
    assert not Path("out").exists()
    few = run_job(job, dry_run=True, overrides={"params.k_neighbors": 50})
    assert (few.status, few.exit_code, len(few.plan.problems)) == ("planned", 5, 1)
    done = run_job(job)
    assert (done.status, done.exit_code, done.output) == ("done", 0, "out")
    assert done.manifest == json.loads(Path(".out.dsmote/manifest.json").read_text())
    assert done.plan.n_after == 350
    assert done.seconds > 0
    mapping = yaml.safe_load(job.read_text()) | {"output": "two"}
    assert run_job(mapping, client=client).status == "done"
    assert run_job(JobSpec("numeric", "y", output="three", random_state=0)).status == "done"
    run_job(job, overrides={"output": "four"})
    assert hashes(Path("out")) == hashes(Path("two")) == hashes(Path("three"))
    assert hashes(Path("out")) == hashes(Path("four"))
    with pytest.raises(JobFileError, match=r"overrides params\.k: "):
        run_job(job, overrides={"params.k": 1})
    with pytest.raises(ValueError, match=r"dataclasses\.replace"):
        run_job(JobSpec("numeric", "y", output="five"), overrides={"target": "a"})
    with pytest.raises(AttributeError):
        done.status = "skipped"  # type: ignore[misc]


def test_the_client_that_is_given_is_used(
    job: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(**options: object) -> None:
        raise AssertionError("a cluster was asked for")

    monkeypatch.setattr(api, "connect", never)
    assert run_job(job, client=client, overrides={"cluster": {"n_workers": 3}}).status == "done"


def test_schema_is_printed() -> None:
    printed = call("schema")
    assert printed.exit_code == 0
    assert json.loads(printed.stdout)["title"] == "dsmote job"


def test_options_of_resample_are_keys_of_a_job(job: Path, hashes: Callable) -> None:
    result = call(
        *("resample", "numeric", "a", "--target", "y", "--random-state", 0, "--quiet"),
        *("--test-fraction", 0.2, "--split-seed", 3, "--stratify", "--compression", "zstd"),
        *("--row-group-rows", 50, "--shuffle"),
    )
    assert result.exit_code == 0, result.output
    job.write_text(
        "input: numeric\noutput: b\ntarget: y\nparams: {random_state: 0}\n"
        "split: {test_fraction: 0.2, seed: 3, stratify: true}\ncompression: zstd\n"
        "row_group_rows: 50\nshuffle: true\n"
    )
    assert call("run", job, "--quiet").exit_code == 0
    for folder in ("train", "test"):
        assert hashes(Path("a", folder)) == hashes(Path("b", folder)) != {}


def test_options_of_resample_reach_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[JobSpec] = []

    def run_spec(spec: JobSpec, **options: object) -> JobResult:
        asked.append(spec)
        return JobResult("planned", None, None, None, 0.0)

    monkeypatch.setattr("dsmote.job.run_spec", run_spec)
    result = call(
        *("resample", "in", "out", "--target", "y", "--split-column", "n", "--quiet"),
        *("--train", 1, "--train", "a", "--train", '"2"', "--mode", "synthetic", "--overwrite"),
        *("--partition-by", "y", "--partition-by", "z", "--report", "--resume"),
    )
    assert result.exit_code == 0, result.output
    assert asked == [
        JobSpec(
            "in",
            "y",
            output="out",
            split=Split("n", (1, "a", "2")),
            mode="synthetic",
            if_exists="replace",
            partition_by=("y", "z"),
            report=True,
            resume=True,
        )
    ]
    assert call("resample", "in", "out", "--target", "y", "--if-exists", "skip").exit_code == 0
    assert asked[1] == JobSpec("in", "y", output="out", if_exists="skip")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train", "1"], "--train: give either column"),
        (["--split-seed", "1"], "--split-seed: give either column"),
        (["--test-fraction", "1.5"], "--test-fraction: must be less than 1, not 1.5"),
        (["--overwrite", "--if-exists", "skip"], "--overwrite"),
        (["--partition-by", "n", "--partition-by", "n"], "--partition-by: names column 'n', which"),
        (["--sampler", "random-under", "--shuffle"], "--shuffle: mixes"),
    ],
)
def test_wrong_usage_of_resample_names_options(options: list[str], message: str) -> None:
    result = call("resample", "numeric", "out", "--target", "y", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


@pytest.mark.parametrize(("command", "closed"), [("resample", "full"), ("resample --json", "pipe")])
def test_what_cannot_be_printed_after_the_commit_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, closed: str
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = pd.DataFrame({"x": [float(n) for n in range(40)], "y": [0, 0, 0, 1] * 10})
    rows.to_parquet("in.parquet", index=False)
    lines = [sys.executable, "-m", "dsmote", *command.split(), "in.parquet", "out", "--target", "y"]
    if closed == "full":
        output = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, output = os.pipe()
        os.close(reading)
    ended = subprocess.run(lines, stdout=output, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(output)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("Warning: the output is complete, but could not be described") == 1
    assert list(Path("out").rglob("_SUCCESS"))
