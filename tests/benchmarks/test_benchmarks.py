"""The benchmarks run, on little data, so that they cannot rot; their numbers are not looked at.

Those that start many processes, which is what takes their time however little the data are, are
slow tests.
"""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parent


def load(name: str) -> ModuleType:
    """Import a benchmark as it is when it is run: from its folder, which is not a package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        return importlib.import_module(name)


def test_in_memory(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ratio = load("in_memory").main(["--data", str(data_dir), "--rows", "5000", "--repeats", "1"])
    assert ratio > 0
    out = capsys.readouterr().out
    assert "5,000 rows x 14 columns" in out
    assert f"dsmote is {ratio:.1f} times as fast" in out


def test_tables(data_dir: Path, tmp_path: Path) -> None:
    harness = load("harness")
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


@pytest.mark.slow
@pytest.mark.parametrize("also", [[], ["--also=--sampler=adasyn"]])
def test_out_of_core(also: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = load("out_of_core").main(
        ["--rows", "20000", "--files", "4", "--repeats", "1", "--directory", str(tmp_path), *also]
    )
    assert result["ratio"] > 0
    assert result["rows"] > 30_000
    assert len(result["peaks"]) == 2 and all(peak > 0 for peak in result["peaks"])
    assert result["projected"] > 0
    out = capsys.readouterr().out
    assert "plain copy" in out and "MB/s" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_out_of_core_with_many_small_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ["--rows", "5000", "--files", "100", "--of-input", "--repeats", "1"]
    result = load("out_of_core").main([*how, "--directory", str(tmp_path)])
    assert result["ratio"] > 0 and result["files"] < 20
    assert "files: 100 in, 18 out, 100 of the plain copy" in capsys.readouterr().out


def test_neighbours(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = load("neighbours").main(["--scale", "0.01", "--repeats", "1"])
    assert list(numbers) == ["iid", "rank5", "fast", "mixed"]
    assert len(numbers["iid"]) == 4 and all(ratio > 0 for ratio in numbers["iid"].values())
    assert numbers["rank5"]["growth"] > 0
    assert 0 <= numbers["fast"]["recall"] <= 1
    assert list(numbers["mixed"]) == ["3 + 3", "3 + 10", "3 + 30", "10 + 3"]
    out = capsys.readouterr().out
    assert "auto takes brute because" in out and "auto takes tree because" in out


def test_in_memory_cases(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = load("in_memory_cases").main(
        ["--data", str(data_dir), "--rows", "2000", "--repeats", "1"]
    )
    assert list(numbers) == ["rank5", "tables", "smotenc"]
    assert len(numbers["tables"]["ratios"]) == 8
    assert 0 < numbers["tables"]["least"] <= numbers["tables"]["mean"]
    assert numbers["smotenc"]["ratio"] > 0
    assert "above the start" in capsys.readouterr().out


def test_never_slower(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--rows", "200", "--seconds", "0"]
    chosen = ["--sampler", "SMOTE", "--sampler", "SMOTENC", "--sampler", "RandomUnderSampler"]
    ratios = load("never_slower").main(["--data", str(data_dir), *few, *chosen])
    assert len(ratios) > 100 and all(ratio > 0 for ratio in ratios.values())
    out = capsys.readouterr().out
    assert f"{len(ratios)} tables and samplers" in out
    assert "made 200 x 50" in out and "mammography" in out


def test_fidelity(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["SMOTE", "RandomUnderSampler", "SMOTENC", "SMOTEN"]
    only = [word for name in chosen for word in ("--only", name)]
    numbers = load("fidelity").main(
        ["--data", str(data_dir), "--tables", "2", "--jobs", "1", *only]
    )
    assert len(numbers["lines"]) == 4 * 2 * 3
    line = numbers["lines"]["SMOTE", "logistic", "AP"]
    assert line["tables"] == 2 and 0 < line["dsmote"] < 1 and line["error"] > 0
    assert line["difference"] == pytest.approx(line["dsmote"] - line["theirs"])
    # One of the two tables has names.
    assert numbers["lines"]["SMOTEN", "tree", "F1"]["within"] is None
    assert numbers["left_out"]["SMOTE"]["of"] == 20
    out = capsys.readouterr().out
    assert "no minority class of 16 rows in glass5, zoo-3" in out
    assert "differences are within 2 standard errors" in out


def test_fidelity_leaves_out_what_one_side_refuses(data_dir: Path) -> None:
    benchmark = load("fidelity")
    benchmark.SAMPLERS["never"] = benchmark.Sampler("SMOTE", {"k_neighbors": 500})
    (task,) = benchmark.tasks(data_dir, 1)
    means, refused = benchmark.compared(task, "never")
    assert (means != means).all()
    assert refused["folds"] == 10 and sum(refused.values()) == 30


@pytest.mark.slow
def test_samplers_in_memory(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = ["borderline-2", "smoten-100k", "kdd"]
    only = [word for name in cases for word in ("--only", name)]
    numbers = load("in_memory_cases").main(
        ["--data", str(data_dir), "--rows", "2000", "--repeats", "1", *only]
    )
    assert list(numbers) == cases
    assert numbers["borderline-2"]["ratio"] > 0
    assert list(numbers["smoten-100k"]) == ["dsmote"]
    assert "on_small_class='copy'" in numbers["kdd"]["refusal"]
    assert set(numbers["kdd"]["after"].values()) == {2_000}
    assert "MiB above the start" in capsys.readouterr().out


def test_bounded_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep = tmp_path / "numbers.json"
    (tmp_path / "scratch").mkdir()
    how = ["--keep", str(keep), "--directory", str(tmp_path / "scratch")]
    first = load("bounded_memory").main(["--times", "0.005", *how])
    both = load("bounded_memory").main(["--times", "0.01", *how])
    assert [of["times"] for of in both["sizes"]] == [0.005, 0.01]
    assert both["sizes"][0] == first["sizes"][0]
    assert both["kept"] and both["restarts"] == 0
    for of in both["sizes"]:
        assert of["rows"] == int(of["times"] * 2 * of["limit"] / 129)
        assert of["written"] == of["rows"] - of["minority"] + (of["rows"] - of["minority"]) // 4
        assert len(of["peaks"]) == 2 and max(of["peaks"]) < of["limit"]
    assert both["flatness"] == pytest.approx(
        max(both["sizes"][1]["peaks"]) / max(both["sizes"][0]["peaks"])
    )
    assert "2 times the data" in capsys.readouterr().out
    assert list((tmp_path / "scratch").iterdir()) == []


def test_bounded_memory_of_wide_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = ["--wide", "300x200", "--directory", str(tmp_path)]
    numbers = load("bounded_memory").main(how)
    assert numbers["kept"] and numbers["restarts"] == 0 and "sizes" not in numbers
    (of,) = numbers["wide"]
    assert (of["rows"], of["columns"], of["written"]) == (300, 200, 540)
    assert len(of["peaks"]) == 1 and max(of["peaks"]) < of["limit"]
    assert "ratio" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_scaling(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = load("scaling").main(
        ["--partitions", "100", "--files", "20", "--run", "50", "--rows", "1000"]
    )
    (graph,), (files,), (run,), (sent,) = (
        numbers[name] for name in ("graph", "files", "run", "broadcast")
    )
    # Partitions are read, extracted from, named and written; blocks made, named and written.
    assert graph["tasks"] == 4 * 100 + 3 * 6 + 2
    assert run["tasks"] == 4 * 50 + 3 + 2
    assert files["tasks"] == 4 * 20 + 3 + 2 and files["footers"] > 0
    assert 100 < graph["bytes"] / 100 < 1_000
    assert min(graph["scheduler"], run["busy"], sent["seconds"]) > 0
    assert 1 < sent["bytes"] / sent["rows_bytes"] < 3
    paper = numbers["paper"]
    assert paper["partitions"] == 40_000
    assert paper["tasks"] == pytest.approx(400 * graph["tasks"] + 80_000)
    out = capsys.readouterr().out
    assert "on paper: 10,000,000,000 rows" in out and "so " in out.splitlines()[-1]


def test_bits_are_those_of_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert load("digests").main([]) == [], capsys.readouterr().out
