"""The benchmarks run, on little data, so that they cannot rot; their numbers are not looked at.

Those that start many processes, which is what takes their time however little the data are, are
slow tests.
"""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE
from dsmote.plan import plan

CELLS_ESTIMATED = ("kdd_smtp", "satimage")


def test_tables(data_dir: Path, tmp_path: Path) -> None:
    harness = import_module("harness")
    X, y = harness.insurance(data_dir, rows=2_000)
    assert X.shape == (2_000, 14)
    assert X.min() == 0 and X.max() == 1
    assert set(y) == {0, 1}
    harness.write_table(tmp_path / "in", rows=10_001, files=4, one_in=50)
    frames = [pd.read_parquet(part) for part in sorted((tmp_path / "in").glob("*.parquet"))]
    assert [len(frame) for frame in frames] == [2_500, 2_500, 2_500, 2_501]
    table = pd.concat(frames)
    assert table.shape == (10_001, 21)
    assert table["label"].mean() == pytest.approx(0.02, abs=0.001)
    spread = np.linalg.svd(table.drop(columns="label").to_numpy(), compute_uv=False)
    assert spread[4] > 5 * spread[5]


def test_advise(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = import_module("advise")
    monkeypatch = pytest.MonkeyPatch()
    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "TRAIN", 300)
        patch.setattr(benchmark.screen, "RATIOS", (1.0,))
        few = ["--data", str(data_dir), "--results", str(tmp_path / "results"), "--jobs", "1"]
        tables = ["--table", "keel/glass2.csv.gz", "--table", "phoneme.parquet"]
        how = ["--splits", "2", "--iterations", "2", *few, *tables]
        benchmark.main(["collect", *how])
        before = (tmp_path / "results").read_text()
        benchmark.main(["collect", *how])  # nothing is left to do
        assert (tmp_path / "results").read_text() == before
        assert len(before.splitlines()) == 4
        rates = benchmark.main(["report", *few])
    assert rates["AP", "all"]["cases"] == 4 and rates["F1", "< 20"]["cases"] == 2
    # Where advice is refused, nothing is as good as nothing.
    assert rates["AP", "< 20"]["below"] == 0
    assert "tuned threshold against 0.5" in capsys.readouterr().out


def test_advice_is_not_judged_by_the_luckiest_alone() -> None:
    """Of candidates that differ by chance one is best; on other splits it is as others are."""
    benchmark, rng = import_module("advise"), np.random.default_rng(0)
    chance = rng.normal(0.5, 0.02, size=(200, 6, 20))
    others = [benchmark.picked_elsewhere(out.T) - out[:, 0] for out in chance]
    luckiest = [out.T[out.mean(axis=0).argmax()] - out[:, 0] for out in chance]
    assert abs(np.mean(others)) < 0.002 < 0.01 < np.mean(luckiest)
    assert np.mean([benchmark.is_near(of) for of in others]) > 0.9
    assert np.mean([benchmark.is_near(of) for of in luckiest]) < 0.8


@pytest.mark.slow
def test_out_of_core(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = ["--rows", "20000", "--files", "100", "--repeats", "1", "--directory", str(tmp_path)]
    also = ["--also=--sampler=tomek", "--of-input", "--features=5", "--one-in=9"]
    result = import_module("out_of_core").main([*how, *also])
    assert result["ratio"] > 0 and result["projected"] > 0
    assert result["rows"] > 15_000
    assert len(result["peaks"]) == 2 and all(peak > 0 for peak in result["peaks"])
    out = capsys.readouterr().out
    assert "files: 100 in, " in out and "MB/s" in out
    assert list(tmp_path.iterdir()) == []


def test_in_memory(
    data_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = import_module("in_memory")
    few = ["--data", str(data_dir), "--rows", "2000", "--repeats", "1"]
    cases = ["smotenc", "smoten-100k"]
    # The last one in a process of its own; to start one for each side takes most of the time.
    own = benchmark.child

    def called(function: Callable[..., Any], name: str, *more: object) -> Any:
        call = own if name == cases[-1] else lambda function, *args: function(*args)
        return call(function, name, *more)

    monkeypatch.setattr(benchmark, "child", called)
    only = [word for name in ["smote", *cases] for word in ("--only", name)]
    numbers = benchmark.main([*few, *only])
    assert list(numbers) == ["smote", *cases]
    assert list(numbers.pop("smoten-100k")) == ["dsmote"]
    assert all(of["ratio"] > 0 for of in numbers.values())
    assert numbers["smote"]["dsmote"]["given"] == 2_000
    assert numbers["smote"]["dsmote"]["rows"] > 3_000
    out = capsys.readouterr().out
    assert f"dsmote is {numbers['smote']['ratio']:.1f} times as fast" in out
    assert "MiB above the start" in out


def test_never_slower(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--rows", "200", "--seconds", "0", "--sampler", "SMOTE"]
    ratios = import_module("never_slower").main(["--data", str(data_dir), *few])
    assert len(ratios) > 40 and all(ratio > 0 for ratio in ratios.values())
    out = capsys.readouterr().out
    assert f"{len(ratios)} tables and samplers" in out
    assert "made 200 x 50" in out and "mammography" in out


def test_cleaning(
    data_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = import_module("cleaning")
    monkeypatch.setattr(benchmark, "child", lambda function, *args: function(*args))
    assert {"EditedNearestNeighbours", "TomekLinks"} <= set(benchmark.compared())
    few = ["--data", str(data_dir), "--rows", "500", "--table", "insurance"]
    numbers = benchmark.main([*few, "--sampler", "EditedNearestNeighbours"])
    found = numbers["EditedNearestNeighbours", "insurance"]
    assert found["differ"] == 0
    for side in ("dsmote", "imbalanced-learn"):
        assert found[side]["rows"] == 500
        assert found[side]["seconds"] > 0 and found[side]["cpu"] > 0
    out = capsys.readouterr().out
    assert "imblearn MiB" in out and "yes" in out
    del found["imbalanced-learn"]
    assert benchmark.line("ENN", "insurance", found | {"differ": None}, "cpu")["ratio"] == ""


def test_fidelity(
    data_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = import_module("fidelity")
    monkeypatch.setattr(benchmark, "REPEATS", 1)
    monkeypatch.setattr(benchmark, "ITERATIONS", 5)
    chosen = ["SMOTE", "RandomUnderSampler", "SMOTENC", "SMOTEN", "nothing", "class weights", "MGS"]
    only = [word for name in chosen for word in ("--only", name)]
    numbers = benchmark.main(["--data", str(data_dir), "--tables", "2", "--jobs", "1", *only])
    assert len(numbers["lines"]) == 7 * 3 * 3
    line = numbers["lines"]["SMOTE", "logistic", "AP"]
    assert line["tables"] == 2 and 0 < line["dsmote"] < 1 and line["error"] > 0
    assert line["difference"] == pytest.approx(line["dsmote"] - line["theirs"])
    # Where there is no other side there is no difference, and a weight is another model.
    for name in ("nothing", "class weights", "MGS"):
        line = numbers["lines"][name, "boosting", "AP"]
        assert 0 < line["dsmote"] < 1 and line["within"] is None
        assert np.isnan([line["theirs"], line["difference"]]).all()
    nothing, weights = (numbers["lines"][n, "logistic", "F1"] for n in ("nothing", "class weights"))
    assert nothing["dsmote"] != weights["dsmote"]
    # One of the two tables has names.
    assert numbers["lines"]["SMOTEN", "tree", "F1"]["within"] is None
    assert numbers["left_out"]["SMOTE"]["of"] == 4
    out = capsys.readouterr().out
    assert "no minority class of 16 rows in glass5, zoo-3" in out
    assert "differences are within 2 standard errors" in out
    # What one side refuses is left out on both.
    impossible = benchmark.Sampler("SMOTE", {"k_neighbors": 500})
    monkeypatch.setitem(benchmark.SAMPLERS, "never", impossible)
    (task,) = benchmark.tasks(data_dir, 1)
    means, refused = benchmark.compared(task, "never")
    assert (means != means).all()
    assert refused["folds"] == 2 and sum(refused.values()) == 6


def test_copying(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--rows", "300", "600", "--new", "200"]
    only = [word for name in ("SMOTE, k 5", "RandomSMOTE", "ROSE") for word in ("--only", name)]
    benchmark = import_module("copying")
    found = benchmark.main([*few, *only])
    assert len(found) == 6 and all(of["distance"] > 0 for of in found.values())
    # Toward its 5 nearest a row stays nearer than toward any row of the class.
    for n in (300, 600):
        assert 0.1 < found["SMOTE, k 5", n]["ratio"] < 0.5 < found["RandomSMOTE", n]["ratio"] < 0.9
        assert 0.9 < found["ROSE", n]["ratio"] < 1.2
    assert "RandomSMOTE" in capsys.readouterr().out
    for name in benchmark.SAMPLERS:
        assert benchmark.measured(name, 100, 50)["ratio"] > 0


@pytest.mark.slow
def test_bounded_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep, scratch = tmp_path / "numbers.json", tmp_path / "scratch"
    scratch.mkdir()
    before = {"times": 0.0025, "rows": 9, "bytes": 9, "minority": 1, "written": 9, "seconds": 1.0}
    before |= {"peaks": [2], "projected": 3, "limit": 4, "workers": 2, "restarts": 0, "spilled": 0}
    keep.write_text(json.dumps([before]))
    numbers = import_module("bounded_memory").main(
        ["--times", "0.005", "--wide", "300x200", "--keep", str(keep), "--directory", str(scratch)]
    )
    assert numbers["kept"] and numbers["restarts"] == 0
    assert numbers["sizes"] == json.loads(keep.read_text())
    first, of = numbers["sizes"]
    assert first == before
    assert of["rows"] == int(0.005 * 2 * of["limit"] / 129)
    assert of["written"] == of["rows"] - of["minority"] + (of["rows"] - of["minority"]) // 4
    assert len(of["peaks"]) == 2 and max(of["peaks"]) < of["limit"]
    assert numbers["flatness"] == max(of["peaks"]) / 2
    (wide,) = numbers["wide"]
    assert (wide["rows"], wide["columns"], wide["written"]) == (300, 200, 540)
    assert len(wide["peaks"]) == 1 and max(wide["peaks"]) < wide["limit"]
    out = capsys.readouterr().out
    assert "times the data" in out and "ratio" in out
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_scaling(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = import_module("scaling").main(
        ["--partitions", "100", "--run", "50", "--rows", "1000"]
    )
    (graph,), (run,), (sent,) = (numbers[name] for name in ("graph", "run", "broadcast"))
    # Partitions are read, extracted from, named and written; blocks made, named and written.
    assert graph["tasks"] == 4 * 100 + 3 * 6 + 2
    assert run["tasks"] == 4 * 50 + 3 + 2
    assert 100 < graph["bytes"] / 100 < 1_000
    assert graph["scheduler"] >= 0  # less what the client took at the same time
    assert min(run["busy"], sent["seconds"]) > 0
    assert 1 < sent["bytes"] / sent["rows_bytes"] < 3
    paper = numbers["paper"]
    assert paper["partitions"] == 40_000
    assert paper["tasks"] == pytest.approx(400 * graph["tasks"] + 80_000)
    out = capsys.readouterr().out
    assert "on paper: 10,000,000,000 rows" in out and "so " in out.splitlines()[-1]


def test_bits_are_those_of_before(capsys: pytest.CaptureFixture[str]) -> None:
    """Of all tables in memory: tests/property has them from the other containers, too."""
    benchmark = import_module("digests")
    given = ["--container", benchmark.IN_MEMORY[-1]]
    assert benchmark.main(given) == [], capsys.readouterr().out


@pytest.mark.slow
def test_bits_on_dask_and_of_jobs_are_those_of_before(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = import_module("digests")
    given = ["--container", benchmark.ON_DASK[0], "--container", benchmark.JOB, "--table", "mixed"]
    assert benchmark.main(given) == [], capsys.readouterr().out


@pytest.mark.slow
def test_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--rows", "20000", "--features", "6", "--route", "cells", "--directory", str(tmp_path)]
    numbers = import_module("cells").main([*few, "--categories", "1"])
    assert numbers["same"] and numbers["ratio"] > 0
    assert numbers["runs"][0]["cells"] >= 1
    assert all(max(of["peaks"]) <= of["projected"] for of in numbers["runs"])
    assert "the same files" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_search_in_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--alone", "--rows", "20000", "--features", "4", "--directory", str(tmp_path)]
    of = import_module("cells").main([*few, "--check", "20"])
    assert of["right"] == 20 and of["cells"] > 1 and of["forwarded"] > 0
    assert max(of["peaks"]) <= of["projected"]
    assert "forwarded" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "n_cells"),
    [
        ("phoneme", 4),
        ("mammography", 16),  # a third of its rows are equal
        *(pytest.param(name, 16, marks=pytest.mark.slow) for name in CELLS_ESTIMATED),
    ],
)
def test_estimates_of_cells(name: str, n_cells: int, data_dir: Path) -> None:
    benchmark = import_module("cells")
    of = benchmark.estimate(benchmark.real(name, data_dir), n_cells)
    assert f"is cut into {n_cells} cells" in of["note"]
    assert abs(of["estimate"] / of["true"] - 1.0) < 0.2, of
    assert of["least"] <= of["estimate"] <= of["most"]


def test_pairs_of_independent_features() -> None:
    benchmark = import_module("cells")
    of = benchmark.estimate(benchmark.independent(4_000), 4)
    assert 1 / 1.5 < of["expected pairs"] / of["pairs"] < 1.5, of


def test_the_site_has_what_the_plan_says_of_a_large_class() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
    assert import_module("cells").on_paper() in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(("parts", "n_cells"), [(10, 2), (30, 8)])
def test_tasks_of_cells(parts: int, n_cells: int, tmp_path: Path) -> None:
    benchmark = import_module("cells")
    table = benchmark.independent(2_000, 3)
    with patch.object(plan, "CELL_ROWS", 2_000 // n_cells), patch.object(plan, "BLOCK_ROWS", 700):
        how = SMOTE(route="cells", sampling_strategy={1: 4_000}, scratch=str(tmp_path))
        frame = dd.from_pandas(table, npartitions=parts, sort=False)
        made = how.resample(frame, target="label")
    n_blocks = len(how.plan_.blocks)
    assert n_blocks == 3
    tasks = len(made.optimize().__dask_graph__())
    assert tasks == benchmark.n_tasks(parts, n_cells, n_blocks)


def test_sparse_matrices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = import_module("sparse_matrices")
    monkeypatch.setattr(benchmark, "child", lambda function, *args: function(*args))
    numbers = benchmark.main(["--rows", "800", "--repeats", "1"])
    assert {*numbers} == {*benchmark.CASES}
    assert numbers["texts"]["dsmote"]["rows"] > 1_500
    assert numbers["tomek"]["ratio"] > 0
    assert "TomekLinks" in capsys.readouterr().out
