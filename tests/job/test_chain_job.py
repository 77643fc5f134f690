"""Chains and cleaning methods in jobs: the command line, job files, manifests, resuming."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import dsmote.job.run
from dsmote import SMOTE, Chain, RandomUnderSampler, TomekLinks, run_job
from dsmote.cli import main
from dsmote.job import load_job
from tests.job.conftest import write_files

ROWS, FEW = 300, 30
STEPS = [{"smote": {"sampling_strategy": 0.5}}, {"random-under": {"sampling_strategy": 0.8}}]
CHAIN = Chain(
    [SMOTE(sampling_strategy=0.5), RandomUnderSampler(sampling_strategy=0.8)], random_state=0
)


def frame():
    rng = np.random.default_rng(0)
    y = (np.arange(ROWS) % (ROWS // FEW) == 3).astype(int)
    X = rng.normal(size=(ROWS, 3)) + y[:, None]
    fold = np.where(np.arange(ROWS) % 5, "train", "test")
    return pd.DataFrame(X, columns=["a", "b", "c"]).assign(fold=fold, y=y)


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of three files, `in` in the working directory, and as a frame."""
    monkeypatch.chdir(tmp_path)
    made = frame().drop(columns="fold")
    write_files(made, tmp_path / "in", 3)
    return made


def call(*args):
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    return result


def manifest(name="out"):
    return dict(json.loads(Path(f".{name}.dsmote/manifest.json").read_text()))


def run(output, **keys):
    given = {"input": "in", "target": "y", "output": output}
    return dict(run_job({**given, **keys}).manifest or {})


def written(name="out"):
    return pd.read_parquet(name)


def counts(name="out"):
    return dict(written(name)["y"].value_counts())


def after(made):
    return {one["label"]: one["after"] for one in made["classes"]}


# --- A chain


def test_command_line_job_file_and_python_make_the_same_table(table):
    then = ("--then", "random-under: {sampling_strategy: 0.8}")
    first = ("--sampler", "smote", "--sampling-strategy", 0.5, "--random-state", 0)
    said = call("resample", "in", "out", "--target", "y", *first, *then)
    made = manifest()
    assert [line.split() for line in said.stdout.splitlines()[:3]] == [
        ["class", "before", "new", "dropped", "after"],
        ["0", "270", "0", "102", "168"],
        ["1", "30", "105", "0", "135"],
    ]
    Path("job.yaml").write_text(
        "input: in\noutput: file\ntarget: y\nparams: {random_state: 0}\nsampler:\n"
        "  - smote: {sampling_strategy: 0.5}\n  - random-under: {sampling_strategy: 0.8}\n"
    )
    call("run", "job.yaml")
    expected = CHAIN.resample(table, target="y").reset_index(drop=True)
    for name in ("out", "file"):
        pd.testing.assert_frame_equal(written(name), expected)
    assert made["rows"] == {"before": 300, "new": 105, "dropped": 102, "after": 303}
    assert after(made) == counts()
    assert made["parameters"]["seed"] == 0
    assert [list(step) for step in made["parameters"]["steps"]] == [["smote"], ["random-under"]]
    steps = [(one["sampler"], one["seed"], after(one)) for one in made["steps"]]
    seeds = [step.random_state for step in CHAIN.steps_]
    assert steps == [
        ("SMOTE", seeds[0], {0: 270, 1: 135}),
        ("RandomUnderSampler", seeds[1], {0: 168, 1: 135}),
    ]


def test_parameters_are_shared_but_for_the_strategy():
    job = {"input": "in", "target": "y", "sampler": ["smote", {"tomek": {"carry": ["b"]}}]}
    params = {"carry": ["a"], "sampling_strategy": 0.5, "missing": "skip", "random_state": 3}
    (one, first), (other, second) = load_job({**job, "params": params}, needs_output=False).steps
    assert (one, other) == ("smote", "tomek")
    assert first == {"carry": ["a"], "sampling_strategy": 0.5, "missing": "skip"}
    assert second == {"carry": ["a", "b"], "missing": "skip"}


def test_provenance_before_another_step_is_refused(table):
    steps = [{"smote": {"provenance": "flag"}}, "tomek"]
    with pytest.raises(ValueError, match=r"provenance='flag' of SMOTE, step 1 of 2.*last step"):
        run("out", sampler=steps)
    assert not Path("out").exists()
    made = run("flag", sampler=[{"smote": {"provenance": "flag"}}, "random-under"])
    assert written("flag")["synthetic"].sum() == made["rows"]["new"] == 240


@pytest.mark.parametrize(
    ("cleans", "keys"),
    [
        (False, {"partition_by": ["y"]}),
        (True, {"partition_by": ["y"], "row_group_rows": 10}),
        (False, {"split": {"test_fraction": 0.2}}),
        (True, {"split": {"test_fraction": 0.2}}),
        (False, {"split": {"column": "fold", "train": ["train"]}}),
        (True, {"split": {"column": "fold", "train": ["train"]}}),
        (False, {"shuffle": True}),
        (True, {"report": True}),
    ],
    ids=str,
)
def test_layouts(keys, cleans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(frame(), tmp_path / "in", 3)
    steps = [STEPS[0], {"tomek": {"sampling_strategy": "all"}}] if cleans else STEPS
    # The column of a split is no feature, in any step; otherwise that must be said.
    carry = {} if "column" in keys.get("split", {}) else {"carry": ["fold"]}
    made = run("out", sampler=steps, params={"random_state": 0, **carry}, **keys)
    inside = "out/train" if "split" in keys else "out"
    assert after(made) == counts(inside)
    assert made["rows"]["dropped"] > 0
    assert sum(part["rows"] for part in made["parts"]) == made["rows"]["after"] + made["rows"].get(
        "test", 0
    )
    if "split" in keys:
        assert len(written("out/test")) == made["rows"]["test"] > 0
    if "report" in keys:
        page = Path(".out.dsmote/report.html").read_text()
        rows = made["rows"]
        assert f"{rows['dropped']:,} dropped, {rows['new']:,} new, " in page


def test_only_new_rows_of_a_chain_that_only_makes_some(table):
    steps = [STEPS[0], {"smote": {}}]
    run("full", sampler=steps, params={"random_state": 0})
    made = run("new", sampler=steps, params={"random_state": 0}, mode="synthetic")
    assert made["rows"] == {"before": 300, "new": 240, "dropped": 0, "after": 540}
    pd.testing.assert_frame_equal(written("new"), written("full").iloc[300:].reset_index(drop=True))


# --- Cleaning methods


def test_a_cleaning_method_writes_what_it_leaves_and_says_so(table):
    planned = call("plan", "in", "--target", "y", "--sampler", "tomek")
    assert "rows after are upper bounds" in planned.stdout
    assert call("plan", "in", "--target", "y", "--sampler", "tomek", "--json").stdout.count(
        '"at_most": true'
    )
    more = ("--log-format", "text", "--param", "sampling_strategy=all")
    said = call("resample", "in", "out", "--target", "y", "--sampler", "tomek", *more)
    assert "300 rows become at most 300" in said.stderr
    expected = TomekLinks(sampling_strategy="all").resample(table, target="y")
    pd.testing.assert_frame_equal(written(), expected.reset_index(drop=True))
    made = manifest()
    assert 0 < made["rows"]["dropped"] == 300 - len(expected)
    assert after(made) == counts()
    assert {one["targeted"] for one in made["classes"]} == {True}
    assert "random_state" not in made["parameters"]
    progress = call("resample", "in", "other", "--target", "y", "--sampler", "tomek")
    assert "of at most 300 rows" in progress.stderr


def test_rows_are_marked_in_place_of_left_out(table):
    flagged = {"provenance": "flag"}
    for name, sampler, params in (
        ("alone", "tomek", flagged),
        ("chain", ["smote", {"tomek": flagged}], {"random_state": 0}),
    ):
        made = run(name, sampler=sampler, params=params)
        assert written(name)["removed"].any()
        assert made["rows"]["dropped"] == 0
        assert after(made) == counts(name)


def test_a_step_after_a_cleaning_method(table):
    steps = [{"tomek": {"sampling_strategy": "all"}}, "smote", "random-under"]
    made = run("out", sampler=steps, params={"random_state": 0})
    of_steps = [after(one) for one in made["steps"]]
    first = TomekLinks(sampling_strategy="all").resample(table, target="y")["y"].value_counts()
    assert of_steps[0] == dict(first)
    assert after(made) == counts() == of_steps[2]
    assert made["rows"]["before"] == 300


# --- Again, and after a failure


@pytest.mark.parametrize(
    "sampler", [STEPS, ["smote", "tomek"], ["tomek", "smote"], "tomek", "smote-tomek"], ids=str
)
def test_resumed_and_skipped(sampler, table, monkeypatch):
    """No seed is given: that of the run that died is kept."""
    written_parts = []
    note = dsmote.job.run._note

    def dies(log, peaks, part):
        note(log, peaks, part)
        written_parts.append(part.number)
        if len(written_parts) == 2:
            raise OSError("the machine is gone")

    monkeypatch.setattr(dsmote.job.run, "_note", dies)
    with pytest.raises(OSError, match="the machine is gone"):
        run("out", sampler=sampler, resume=True)
    assert not Path("out").exists()
    stamps = {p: p.stat().st_mtime_ns for p in Path(".out.dsmote").rglob("part*.parquet")}
    assert stamps
    made = run("out", sampler=sampler, resume=True)
    kept = {p.name for p in Path("out").iterdir() if p.stat().st_mtime_ns in stamps.values()}
    assert kept >= {p.name for p in stamps}
    seed = {} if sampler == "tomek" else {"params": {"random_state": made["parameters"]["seed"]}}
    again = run("again", sampler=sampler, **seed)
    pd.testing.assert_frame_equal(written(), written("again"))
    assert after(made) == after(again) == counts()
    result = run_job(
        {"input": "in", "target": "y", "output": "out", "sampler": sampler, "if_exists": "skip"}
    )
    assert result.status == "skipped"
