"""`dsmote advise`: files in, advice out, and a job that runs."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.naive_bayes import GaussianNB

from dsmote import advise
from dsmote.advice import screen
from dsmote.cli import main

FAST = ("--learner", "GaussianNB", "--n-jobs", "1")


def call(*args, code=0):
    result = CliRunner().invoke(main, ["advise", *map(str, args)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    rare = np.arange(600) % 6 == 0
    names = rng.choice(["red", "green"], 600)
    x = rng.normal(size=600) + rare
    return pd.DataFrame({"id": range(600), "x": x, "c": names, "y": np.where(rare, "b", "a")})


@pytest.fixture(autouse=True)
def _few_candidates(monkeypatch):
    monkeypatch.setattr(screen, "RATIOS", (0.5,))


@pytest.fixture
def helped(monkeypatch):
    """One candidate ranks the held-out rows better than the others do."""
    own = screen.fit_scores

    def fit_scores(candidate, learners, rows, held, seed):
        scores = own(candidate, learners, rows, held, seed)
        if (candidate.method, candidate.ratio) == ("smote", 0.5):
            return scores
        noise = np.random.default_rng(0).random(len(held))
        return {name: 0.5 * of + noise for name, of in scores.items()}

    monkeypatch.setattr(screen, "fit_scores", fit_scores)


def test_files_of_any_format_give_the_advice_of_the_frame(frame, tmp_path):
    ours = advise(frame, target="y", learners=GaussianNB(), carry=["id"], rows=300, n_jobs=1)
    folder = tmp_path / "in"
    folder.mkdir()
    for i, part in enumerate(np.array_split(np.arange(600), 3)):
        frame.iloc[part].to_parquet(folder / f"{i}.parquet", index=False)
        frame.iloc[part].to_csv(tmp_path / f"{i}.csv", index=False)
    frame.set_index("id").to_parquet(tmp_path / "indexed.parquet")
    for given in (folder, tmp_path / "*.csv", f"file://{tmp_path}/indexed.parquet"):
        carry = [] if "indexed" in str(given) else ["--carry", "id"]
        result = call(given, "--target", "y", "--rows", 300, *carry, *FAST, "--json")
        assert json.loads(result.stdout) == {**ours.to_dict(), "job": None}


def test_what_is_named_is_printed_and_written_as_a_job(frame, helped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TABLE_TOKEN", "5ecret")
    frame.rename(columns={"id": "${id}"}).to_csv("5ecret.csv", index=False)
    options = ("--target", "y", "--carry", "$${id}", "--random-state", 3, *FAST)
    printed = call("${TABLE_TOKEN}.csv", *options).stdout
    job = printed.partition("\njob.yaml:\n")[2]
    assert "input: ${TABLE_TOKEN}.csv" in job and "5ecret" not in printed
    assert job.startswith("# GaussianNB, ") and " over nothing, with the threshold 0." in job
    call("${TABLE_TOKEN}.csv", *options, "--job", "job.yaml", "--figure", "gains.png")
    assert (tmp_path / "job.yaml").read_text() == job.rstrip("\n") + "\n"
    assert (tmp_path / "gains.png").read_bytes().startswith(b"\x89PNG")
    done = CliRunner().invoke(main, ["run", "job.yaml", "--quiet"])
    assert done.exit_code == 0, done.output
    made = pd.read_parquet("TABLE_TOKEN-resampled")
    assert made["y"].value_counts().to_dict() == {"a": 500, "b": 250}
    assert made["${id}"].isna().sum() == 150


def test_a_job_of_many_classes_names_any_label(frame, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = screen.fit_scores

    def fit_scores(candidate, learners, rows, held, seed):
        scores = own(candidate, learners, rows, held, seed)
        if (candidate.method, candidate.ratio) == ("random under", 0.5):
            return scores
        noise = np.random.default_rng(0).random(len(held))
        return {name: 0.5 * of + noise for name, of in scores.items()}

    monkeypatch.setattr(screen, "fit_scores", fit_scores)
    labels = np.where(frame["y"] == "b", "${rare}", np.where(frame["id"] % 2, "$${a}", "${b:-c}"))
    frame.assign(y=labels).to_parquet("in.parquet")
    given = ("in.parquet", "--target", "y", "--carry", "id", *FAST, "--job", "job.yaml")
    assert "job.yaml is ready" in call(*given).stdout
    done = CliRunner().invoke(main, ["run", "job.yaml", "--quiet"])
    assert done.exit_code == 0, done.output
    made = pd.read_parquet("in-resampled")["y"].value_counts()
    assert made["${rare}"] == 100 and made.sum() in (299, 300)


def test_nothing_is_written_where_nothing_is_named(frame, tmp_path):
    frame.to_parquet(tmp_path / "t.parquet")
    found = call(tmp_path / "t.parquet", "--target", "y", *FAST, "--job", tmp_path / "job.yaml")
    assert "nothing is as good; threshold" in found.stdout
    assert "job.yaml was not written: nothing is named that needs a job" in found.stdout
    assert "resamplings" in found.stderr
    assert not (tmp_path / "job.yaml").exists()


@pytest.mark.parametrize(
    ("more", "code", "error"),
    [
        (("--target", "z"), 5, "there is no column 'z' (given as target)"),
        (("--target", "y", "--carry", "q"), 5, "there is no column 'q' (given as carry)"),
        (("--target", "y", "--rows", 99), 2, "99 is not in the range x>=100"),
        (("--target", "y", "--job", "in/0.parquet"), 5, "exists: remove it, or give another name"),
        (("--target", "y", "--figure", "f.txt"), 5, "ends in none of .png, .svg, .pdf"),
        (("--target", "y", "--learner", "GausianNB"), 5, "did you mean 'GaussianNB'"),
        (("--target", "y", "--random-state", "x"), 2, "--random-state: must be a valid integer"),
        ((), 2, "Missing option '--target'"),
    ],
)
def test_errors_come_before_work(more, code, error, frame, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    frame.to_parquet("in/0.parquet")
    monkeypatch.setattr("dsmote.job.advise.advise_on", None)
    assert error in call("in", *more, code=code).output


@pytest.mark.parametrize("given", ["nowhere.csv", "nowhere/", "nowhere/*.parquet"])
def test_an_input_that_is_not_there_is_the_users_error(given, tmp_path):
    assert "nowhere" in call(tmp_path / given, "--target", "y", code=5).output


def test_a_figure_that_cannot_be_drawn_is_refused_before_work(tmp_path, monkeypatch):
    monkeypatch.setattr("dsmote.advice.result.find_spec", lambda name: None)
    found = call("nowhere", "--target", "y", "--figure", tmp_path / "f.png", code=5)
    assert "the figure needs matplotlib, which is not installed" in found.output
