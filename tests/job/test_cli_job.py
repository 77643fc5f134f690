"""The commands from files to files: what they print, log and hide, and how they end."""

import gc
import json
import logging
import os
import subprocess
import sys
from datetime import date, time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

import dsmote
from dsmote import JobFileError, JobSpec, run_job
from dsmote.cli import main
from dsmote.plan import Limit, MemoryLimitError
from dsmote.samplers.registry import parameters_of, samplers
from tests.job.conftest import beside

TARGET = ("--target", "y")
MANIFEST = Path(".out.dsmote/manifest.json")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def failed(result, *parts, code=5):
    """This exit code, exactly one message, no traceback, nothing on the standard output."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    messages = [line for line in result.stderr.splitlines() if not line.endswith(" ...")]
    assert len(messages) == 1, result.stderr
    assert messages[0].startswith("Error: ")
    for part in parts:
        assert part in messages[0]


def lines(result):
    """The log as JSON: one object a line, and nothing else on the standard error."""
    return [json.loads(line) for line in result.stderr.splitlines()]


@pytest.fixture
def job(numeric):
    """A job on the small table, in the working directory."""
    file = Path("job.yaml")
    file.write_text("input: numeric\noutput: out\ntarget: y\nparams: {random_state: 0}\n")
    return file


def damage(file):
    """Damage the pages of a Parquet file; its footer stays whole, so that it is known late."""
    data = file.read_bytes()
    pages = len(data) - 12 - int.from_bytes(data[-8:-4], "little")
    file.write_bytes(data[:4] + b"\xff" * pages + data[4 + pages :])


# --- What is printed


def test_resample_shows_counts_place_and_time(numeric):
    result = call("resample", "numeric", "out", *TARGET, "--random-state", 0)
    assert result.exit_code == 0, result.output
    words = result.stdout.split()
    assert words[words.index("rare") :][:4] == ["rare", "25", "150", "175"]
    assert words[words.index("usual") :][:4] == ["usual", "175", "0", "175"]
    assert "350 rows in 3 part files, in total" in result.stdout
    assert " s, SMOTE with seed" in result.stdout
    assert ": out\n" in result.stdout
    assert pd.read_parquet("out")["y"].value_counts().to_dict() == {"usual": 175, "rare": 175}
    assert "3 of 3 partitions, 350 of 350 rows" in result.stderr.splitlines()
    assert "\x1b" not in result.output


def test_cells_on_the_command_line(numeric):
    """The same files as by broadcast; scratch files are gone, beside the output or elsewhere."""
    Path("scratch").mkdir()
    ways = {"one": [], "two": ["--route", "cells"]}
    ways["three"] = [*ways["two"], "--scratch", "scratch"]
    for out, how in ways.items():
        assert call("resample", "numeric", out, *TARGET, "--random-state", 0, *how).exit_code == 0
    gc.collect()
    assert not list(Path("scratch").iterdir())
    assert set(ways) <= set(beside(Path()))
    files = [{f.name: f.read_bytes() for f in Path(out).iterdir()} for out in ways]
    assert files[0] == files[1] == files[2]
    nowhere = ("--route", "cells", "--scratch", "nowhere")
    failed(call("resample", "numeric", "four", *TARGET, *nowhere), "nowhere", "not there", code=1)
    assert not Path("four").exists()


def test_json_is_one_document_and_quiet_says_nothing(job):
    result = call("run", job, "--json", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == json.loads(MANIFEST.read_text())
    result = call("plan", "numeric", *TARGET, "--json", "--sampling-strategy", "0.5")
    plan = json.loads(result.stdout)
    assert plan["sampler"] == "SMOTE"
    assert [(c["label"], c["after"]) for c in plan["classes"]] == [("rare", 87), ("usual", 175)]
    for command in (("plan", "numeric"), ("resample", "numeric", "other")):
        result = call(*command, *TARGET, "--quiet")
        assert (result.exit_code, result.output) == (0, "")
    failed(call("plan", "numeric", "--target", "nope", "--quiet"), "no column 'nope'")


def test_plan_and_dry_run_show_counts_engine_and_memory_and_write_nothing(job):
    before = sorted(os.listdir())
    for command in (("plan", "numeric", *TARGET), ("run", job, "--dry-run")):
        result = call(*command)
        assert result.exit_code == 0
        for word in ("SMOTE", "engine", "rare", "175", "new rows", "memory"):
            assert word in result.stdout
    plan = json.loads(call("run", job, "--dry-run", "--json").stdout)
    assert (plan["sampler"], plan["rows_after"]) == ("SMOTE", 350)
    assert sorted(os.listdir()) == before


def test_what_cannot_be_printed_after_the_commit_fails_nothing(numeric):
    command = [sys.executable, "-m", "dsmote", "resample", "--json", "numeric", "out", *TARGET]
    reading, output = os.pipe()
    os.close(reading)
    ended = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(output)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("Warning: the output is complete, but could not be described") == 1
    assert Path("out/_SUCCESS").exists()


# --- The log


def test_the_log_has_a_line_for_each_stage(job, client):
    result = call("run", job)
    messages = [line.split(maxsplit=2) for line in result.stderr.splitlines()]
    assert all(time.endswith("Z") for time, _, _ in messages)
    warned = [text for _, level, text in messages if level != "INFO"]
    assert len(warned) == 1 and "column 'n' (in 1 of 1" in warned[0]
    assert "Warning" not in result.stdout
    said = [text.partition(":")[0] for _, _, text in messages]
    assert said[:1] == ["starting workers"]
    for stage in ("counting classes", "planned", "writing", "putting the output in place"):
        assert said.count(stage) == 1, said
    assert said[-1].startswith("done in ")
    for text in (
        *("SMOTE, engine", "200 rows become 350", "projected in one worker"),
        "350 rows in 3 partitions",
    ):
        assert text in result.stderr
    again = ("run", job, "--if-exists", "replace")
    warned = call(*again, "--log-level", "warning").stderr.splitlines()
    assert len(warned) == 1 and "WARNING column 'n' (in 1 of 1" in warned[0]
    assert "DEBUG   writing ..." in call(*again, "--log-level", "debug").stderr
    assert call(*again, "--quiet").output == ""


def test_the_log_as_json(job):
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
    warned = [line["message"] for line in found if line["level"] == "WARNING"]
    assert warned == json.loads(MANIFEST.read_text())["warnings"]


def test_a_library_call_configures_no_logging(job, capfd, caplog):
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


# --- How a command ends


def test_errors_exit_with_2_before_anything_runs(job):
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
    assert not Path("out").exists()
    # With the log as JSON, errors are JSON too: the first of them.
    job.write_text(job.read_text() + "".join(f"key_{n}: 1\n" for n in range(4000)))
    result = call("run", job, "--log-format", "json")
    (line,) = lines(result)
    assert (result.exit_code, line["level"]) == (2, "ERROR")
    assert line["fields"]["errors"][0].startswith("job.yaml:5: reprot: ")
    assert (len(line["fields"]["errors"]), line["fields"]["errors"][-1]) == (21, "and 3,982 more")
    assert len(result.output) < 20_000


def test_failures_exit_with_1_or_5(job):
    """1 where the next try may go well, such as when the input has come."""
    result = call("run", job, "--set", "input=absent")
    assert (result.exit_code, result.stdout) == (1, "")
    result = call("run", job, "--set", "target=nope", "--log-format", "json")
    assert (result.exit_code, result.stdout) == (5, "")
    assert [line["level"] for line in lines(result)][-1] == "ERROR"
    result = call("plan", "numeric", "--target", "nope", "--debug")
    assert result.exit_code == 5
    assert "Traceback (most recent call last)" in result.stderr
    assert "Error: there is no column 'nope'" in result.stderr


def test_what_memory_does_not_allow_exits_with_4(job, monkeypatch):
    small = Limit(50 * 2**20, 1, "the memory limit of a worker")
    monkeypatch.setattr("dsmote.samplers.base.memory_limit", lambda **_: small)
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


def test_an_output_that_is_there(job):
    assert call("run", job, "--quiet").exit_code == 0
    before = MANIFEST.stat().st_mtime_ns
    result = call("run", job, "--if-exists", "skip")
    assert result.exit_code == 3, result.output
    assert result.stdout.startswith("Skipped: out ")
    result = call("run", job, "--if-exists", "skip", "--json", "--quiet")
    assert json.loads(result.stdout) == json.loads(MANIFEST.read_text())
    assert run_job(job, overrides={"if_exists": "skip"}).status == "skipped"
    result = call("run", job, "--dry-run")
    assert result.exit_code == 5
    assert "is there already" in result.stderr
    again = ("resample", "numeric", "out", *TARGET)
    failed(call(*again, "--quiet"), "out is there already", "--overwrite")
    assert MANIFEST.stat().st_mtime_ns == before
    # The old one stays when the new one fails.
    damage(Path("numeric/1.parquet"))
    failed(call(*again, "--overwrite"), "1.parquet is corrupt")
    assert MANIFEST.stat().st_mtime_ns == before
    Path("numeric/1.parquet").unlink()
    assert call(*again, "--overwrite").exit_code == 0
    assert MANIFEST.stat().st_mtime_ns != before
    assert beside(Path()) == ["job.yaml", "numeric", "out"]


def table(**columns):
    pd.DataFrame(columns).to_parquet("t.parquet", index=False)
    return "t.parquet"


X = np.arange(40.0)
Y = [0, 0, 0, 1] * 10
BAD = {
    "too few": ({"x": X, "y": [1] * 3 + [0] * 37}, [], ["class 1", "3 rows", "k_neighbors=5"]),
    "unknown label": ({"x": X, "y": Y}, ["--sampling-strategy", '{"9": 50}'], ["'9'", "0, 1"]),
    "nan": ({"x": np.where(X < 3, np.nan, X), "y": Y}, [], ["'x'", "3"]),
    "missing labels": ({"x": X, "y": [None, *map(float, Y[1:])]}, [], ["missing in 1 row"]),
    "strings": ({"x": X, "s": ["u"] * 40, "y": Y}, ["--sampler", "smote"], ["'s'", "SMOTENC"]),
    "all nominal": ({"s": ["u"] * 40, "y": Y}, [], ["SMOTEN"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_message(name):
    columns, options, parts = BAD[name]
    path = table(**columns)
    failed(call("resample", path, "out", *TARGET, *options), *parts)
    assert os.listdir() == ["t.parquet"]
    # The plan ends as the run does, whether it was made or not.
    planned = call("plan", path, *TARGET, *options)
    assert planned.exit_code == 5, planned.output
    said = " ".join(planned.stdout.split("cannot run: ")[1:]) if planned.stdout else planned.stderr
    assert all(part in said for part in parts)
    assert call("plan", path, *TARGET, *options, "--quiet").stderr.startswith("Error: ")


@pytest.mark.parametrize("rows", [3, 1, 0])
def test_what_cannot_run_is_no_warning(rows):
    """It stands apart from warnings, in the plan and in JSON; of 30 classes 20 are named."""
    labels = [0] * 100 + [label for label in range(1, 31) for _ in range(max(1, rows))]
    columns = {"x": np.where(rows or np.array(labels) == 0, np.arange(len(labels)) * 1.0, np.nan)}
    args = ("plan", table(**columns, y=labels), *TARGET, "--missing", "skip")
    planned = call(*args)
    assert planned.exit_code == 5, planned.output
    (problem,) = planned.stdout.split("cannot run: ")[1:]
    assert problem.count("class ") >= 20 and "and 10 more" in problem
    plan = json.loads(call(*args, "--json").stdout)
    assert plan["problems"] == [problem.strip()]
    assert not any("needs at least" in line for line in plan["warnings"])


# --- What must not be shown

SECRET = "hunter2-and-more"


def test_secrets_are_shown_nowhere(job, monkeypatch):
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


def test_secrets_in_a_query_are_shown_nowhere(numeric):
    """A folder is called so here: what has a query is known by its name, not by its store."""
    secret = "8f3c9d"
    source, out = f"in?X-Amz-Signature={secret}", f"out?page=1&sig={secret}"
    numeric.rename(source)
    write = ("resample", source, out, *TARGET, "--report")
    results = [
        call("plan", source, *TARGET),
        call("plan", source, *TARGET, "--json"),
        call(*write, "--log-level", "debug"),
        call(*write, "--debug"),  # the output is there: a failure that names it
        call(*write, "--overwrite", "--json", "--log-format", "json"),
        call("plan", f"absent?token={secret}", *TARGET, "--debug"),
        call("plan", f"{source}/0.parquet?token={secret}", *TARGET),
        call("plan", source, "--target", "nope"),
    ]
    assert [result.exit_code for result in results] == [0, 0, 0, 5, 0, 1, 1, 5]
    for result in results:
        assert secret not in result.output, result.output
    for file in ("manifest.json", "report.html"):
        assert secret not in Path(f".{out}.dsmote", file).read_text()
    assert "sig=***" in Path(f".{out}.dsmote", "manifest.json").read_text()


def test_secrets_are_masked_in_the_log_of_the_workers(job, client, monkeypatch):
    """A worker logs the error of a task, which names files; `--debug` shows that log."""
    secret = "correct-horse-battery"
    Path(secret).mkdir()
    pd.read_parquet("numeric").to_parquet(f"{secret}/a.parquet")
    damage(Path(secret, "a.parquet"))
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


def _masking_plugins(dask_scheduler=None):
    return [name for name in dask_scheduler.worker_plugins if name.startswith("dsmote")]


def _masking_filters():
    known = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    handlers = [handler for logger in known for handler in logger.handlers]
    return sum("job.logs" in type(f).__module__ for each in handlers for f in each.filters)


# --- Jobs from a file, and from Python


def test_a_job_file_is_what_resample_does_with_the_same_options(job, hashes):
    """Relative paths are those of the working directory."""
    result = call(
        *("resample", "numeric", "a", *TARGET, "--random-state", 0, "--quiet"),
        *("--test-fraction", 0.2, "--split-seed", 3, "--stratify", "--compression", "zstd"),
        *("--row-group-rows", 50, "--shuffle"),
    )
    assert result.exit_code == 0, result.output
    Path("jobs").mkdir()
    Path("jobs/job.yaml").write_text(
        job.read_text() + "split: {test_fraction: 0.2, seed: 3, stratify: true}\n"
        "compression: zstd\nrow_group_rows: 50\nshuffle: true\n"
    )
    assert call("run", "jobs/job.yaml", "--quiet").exit_code == 0
    for folder in ("train", "test"):
        assert hashes(Path("a", folder)) == hashes(Path("out", folder)) != {}


def test_run_job_in_python(job, client, hashes, monkeypatch):
    assert dsmote.run_job is run_job
    planned = run_job(job, dry_run=True)
    assert (planned.status, planned.exit_code, planned.manifest) == ("planned", 0, None)
    assert planned.plan.n_after == 350
    assert not Path("out").exists()
    few = run_job(job, dry_run=True, overrides={"params.k_neighbors": 50})
    assert (few.status, few.exit_code, len(few.plan.problems)) == ("planned", 5, 1)
    done = run_job(job)
    assert (done.status, done.exit_code, done.output) == ("done", 0, "out")
    assert done.manifest == json.loads(MANIFEST.read_text())
    assert done.plan.n_after == 350
    assert done.seconds > 0
    mapping = yaml.safe_load(job.read_text()) | {"output": "two", "cluster": {"n_workers": 3}}
    with monkeypatch.context() as patch:
        patch.setattr("dsmote.cluster.connect", lambda **_: pytest.fail("a cluster was asked for"))
        assert run_job(mapping, client=client).status == "done"
    assert run_job(JobSpec("numeric", "y", output="three", random_state=0)).status == "done"
    assert hashes(Path("out")) == hashes(Path("two")) == hashes(Path("three"))
    with pytest.raises(JobFileError, match=r"overrides params\.k: "):
        run_job(job, overrides={"params.k": 1})
    with pytest.raises(ValueError, match=r"dataclasses\.replace"):
        run_job(JobSpec("numeric", "y", output="five"), overrides={"target": "a"})
    with pytest.raises(AttributeError):
        done.status = "skipped"


# --- Every sampler, and what it writes

GIVEN = {
    "borderline": ("--param", "kind=borderline-2", "--k-neighbors", 3),
    "adasyn": ("--k-neighbors", 4),
    "svm": ("--param", "max_fit_rows=100", "--param", "provenance=full"),
    "kmeans": ("--param", "cluster_balance_threshold=0.05", "--param", "kmeans_estimator=3"),
    "random": ("--param", "shrinkage=0.5"),
    "random-under": ("--param", "replacement=true"),
}


@pytest.mark.parametrize("name", samplers())
def test_every_sampler_from_files_to_files(name):
    write_overlapping(Path("in"), name)
    kind = samplers()[name]
    seed = {"random_state": 1} if "random_state" in parameters_of(kind) else {}
    args = (
        *TARGET,
        "--sampler",
        name,
        *GIVEN.get(name, ()),
        *(["--random-state", 1] if seed else []),
    )
    result = call("resample", "in", "out", *args, "--json")
    assert result.exit_code == 0, result.output
    manifest = json.loads(MANIFEST.read_text())
    assert manifest == json.loads(result.stdout)
    after, before = pd.read_parquet("out"), pd.read_parquet("in")
    under = kind._sampling_type == "under-sampling"
    expected = {"u": 60, "v": 60} if under else {"u": 240, "v": 240}
    if kind._sampling_type in ("clean-sampling", "combination"):
        expected = kind(**seed).resample(before, target="y")["y"].value_counts().to_dict()
    assert after["y"].value_counts().to_dict() == expected
    assert {one["label"]: one["after"] for one in manifest["classes"]} == expected
    assert manifest["rows"]["before"] == 300
    assert manifest["rows"]["after"] == len(after) == sum(expected.values())
    assert manifest["sampler"] == kind.__name__
    assert manifest["parameters"].keys() == {*kind().get_params(), "seed"}
    assert manifest["job"]["sampler"] == name
    assert list(after.columns)[: len(before.columns)] == list(before.columns)
    if name == "adasyn":  # known when the output is written only
        (report,) = manifest["neighbors"]
        assert (report["label"], 0 < report["near_others"] <= 60) == ("v", True)
    plan = json.loads(call("plan", "in", *args, "--json").stdout)
    if "at_most" not in plan:
        assert plan["classes"] == manifest["classes"]
    assert sum(expected.values()) <= plan["rows_after"]


def write_overlapping(folder, name):
    """Two clouds that touch: numbers, or names, or both, as the sampler is for; 60 of 300 rare."""
    rng, rare = np.random.default_rng(0), np.arange(300) % 5 == 0
    numbers = {c: rng.normal(size=300) + 1.2 * rare for c in "ab"}
    names = {c: rng.choice([*"pqr"], 300, p=[0.2, 0.3, 0.5]) for c in "st"}
    columns = {"smoten": names, "smotenc": {**numbers, **names}}.get(name, numbers)
    frame = pd.DataFrame({**columns, "y": np.where(rare, "v", "u")})
    folder.mkdir()
    for first in (0, 90, 200):
        rows = frame.iloc[first : {0: 90, 90: 200}.get(first)]
        rows.to_parquet(folder / f"{first:03}.parquet", index=False)


def test_provenance_has_the_types_of_the_columns_it_comes_from():
    rng, n = np.random.default_rng(0), 60
    values = {
        "day": [date(2024, 1, 1 + i % 28) for i in range(n)],
        "price": [Decimal(i) / 100 for i in range(n)],
        "time": [time(i % 24) for i in range(n)],
        "raw": [bytes([i]) for i in range(n)],
        "code": pd.Categorical(np.arange(n) % 5),
        "text": pd.Categorical(list("ab") * (n // 2)),
        "none": [None] * n,
    }
    before = pd.DataFrame({"x": rng.normal(size=n), "y": ["a"] * 45 + ["b"] * 15, **values})
    before.to_parquet("in.parquet", index=False)
    carried = [word for name in values for word in ("--carry", name)]
    args = (*TARGET, "--param", "provenance=full", "--shuffle", *carried)
    result = call("resample", "in.parquet", "out", *args)
    assert result.exit_code == 0, result.output
    after = pq.read_table("out").to_pandas()
    made = after[after["synthetic"]]
    assert len(made) == 30
    for name in values:
        known = dict(zip(before.index[45:], before[name].iloc[45:], strict=True))
        assert made[name].isna().all()
        if name != "none":
            assert made[f"{name}_base"].tolist() == [known[row] for row in made["base_row"]]


def test_demo_shows_counts_and_place():
    result = call("demo", "--rows", 2000, "--output", "demo")
    assert result.exit_code == 0, result.output
    words = result.stdout.split()
    assert words[words.index("fraud") :][:4] == ["fraud", "20", "1,960", "1,980"]
    assert words[words.index("genuine") :][:4] == ["genuine", "1,980", "0", "1,980"]
    assert "demo/balanced" in result.stdout
    assert beside(Path("demo")) == ["balanced", "table"]
    again = call("demo", "--rows", 2000, "--output", "demo", "--json")
    assert json.loads(again.stdout)["rows"]["after"] == 3960
