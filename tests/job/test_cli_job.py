"""The command line in this process, on the shared cluster: it uses the client that is active."""

import json
import os
from datetime import date, time
from decimal import Decimal
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from dsmote import SMOTENC, cli
from dsmote.cli import main
from dsmote.samplers import samplers
from tests.job.conftest import beside

pytestmark = pytest.mark.usefixtures("client")


def call(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def failed(result: Result, *parts: str, code: int = 5) -> None:
    """This exit code, exactly one message, no traceback, nothing on the standard output."""
    assert result.exit_code == code, result.output
    messages = [line for line in result.stderr.splitlines() if not line.endswith(" ...")]
    assert len(messages) == 1, result.stderr
    assert messages[0].startswith("Error: ")
    for part in parts:
        assert part in messages[0]
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_resample_shows_counts_place_and_time(numeric: Path, tmp_path: Path) -> None:
    result = call("resample", numeric, tmp_path / "out", "--target", "y", "--random-state", 0)
    assert result.exit_code == 0, result.output
    words = result.stdout.split()
    assert words[words.index("rare") :][:4] == ["rare", "25", "150", "175"]
    assert words[words.index("usual") :][:4] == ["usual", "175", "0", "175"]
    assert "350 rows in 3 part files, in total" in result.stdout
    assert str(tmp_path / "out") in result.stdout
    assert " s, SMOTE with seed" in result.stdout
    assert pd.read_parquet(tmp_path / "out")["y"].value_counts().to_dict() == {
        "usual": 175,
        "rare": 175,
    }


def test_progress_is_plain_lines_where_there_is_no_terminal(numeric: Path, tmp_path: Path) -> None:
    result = call("resample", numeric, tmp_path / "out", "--target", "y")
    assert "3 of 3 partitions, 350 of 350 rows" in result.stderr.splitlines()
    assert "\x1b" not in result.output


def test_progress_lines_tell_the_seconds_left(capsys: pytest.CaptureFixture[str]) -> None:
    lines = cli.Display()
    lines.start(4, 400)
    lines._began -= 10
    lines._last -= 10
    lines.advance(1, 100)
    lines.advance(1, 100)
    assert capsys.readouterr().err == "1 of 4 partitions, 100 of 400 rows, about 30 s left\n"


def test_progress_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    monkeypatch.setattr("rich.console.Console", lambda **options: console)
    monkeypatch.setattr("dsmote.cli._is_terminal", lambda: True)
    with cli.display(quiet=False) as bar:
        bar.stage("writing")
        bar.start(4, 4000)
        bar.advance(3, 3000)
        bar._bar.refresh()
    assert "3,000 rows, 3/4 partitions" in out.getvalue()


def test_json_is_one_document_and_nothing_else(numeric: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = call("resample", numeric, out, "--target", "y", "--json")
    assert json.loads(result.stdout) == json.loads(
        (out.parent / f".{out.name}.dsmote/manifest.json").read_text()
    )
    result = call("plan", numeric, "--target", "y", "--json", "--sampling-strategy", "0.5")
    plan = json.loads(result.stdout)
    assert plan["sampler"] == "SMOTE"
    assert [(c["label"], c["after"]) for c in plan["classes"]] == [("rare", 87), ("usual", 175)]


def test_quiet_says_nothing(numeric: Path, tmp_path: Path) -> None:
    for command in (["plan", numeric], ["resample", numeric, tmp_path / "out"]):
        result = call(*command, "--target", "y", "--quiet")
        assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_quiet_still_tells_errors(numeric: Path) -> None:
    failed(call("plan", numeric, "--target", "nope", "--quiet"), "no column 'nope'")


def test_plan_prints_counts_engine_and_memory(numeric: Path, tmp_path: Path) -> None:
    result = call("plan", numeric, "--target", "y")
    assert result.exit_code == 0
    for word in ("SMOTE", "engine", "rare", "175", "new rows", "memory"):
        assert word in result.stdout
    assert os.listdir(tmp_path) == ["numeric"]


def test_options_reach_the_sampler(mixed: Path, tmp_path: Path) -> None:
    result = call(
        *("resample", mixed, tmp_path / "out", "--target", "y", "--json"),
        *("--sampler", "smotenc", "--sampling-strategy", '{"1": 50}', "--k-neighbors", 3),
        *("--categorical", "i16", "--categorical", "big", "--carry", "id", "--carry", "note"),
        *("--missing", "skip", "--random-state", 7, "--neighbors", "brute"),
        *("--scale", "standard"),
    )
    assert result.exit_code == 0, result.output
    parameters = json.loads(result.stdout)["parameters"]
    seed = parameters.pop("seed")
    assert isinstance(seed, int)
    others = SMOTENC().get_params()
    assert parameters == {
        **others,
        "sampling_strategy": {"1": 50},
        "k_neighbors": 3,
        "categorical_features": ["i16", "big", "flag", "text", "cat"],
        "carry": ["id", "note"],
        "missing": "skip",
        "random_state": 7,
        "neighbors": "brute",
        "scale": "standard",
        "n_components": None,
    }
    after = pd.read_parquet(tmp_path / "out")
    assert after["y"].value_counts().to_dict() == {0: 270, 1: 50}


@pytest.mark.parametrize(("frame", "sampler"), [("numeric", "SMOTE"), ("mixed", "SMOTENC")])
def test_auto_takes_the_sampler_that_fits(
    frame: str, sampler: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(frame)
    args = ("plan", folder, "--target", "y", "--json")
    assert json.loads(call(*args).stdout)["sampler"] == sampler


GIVEN: dict[str, tuple] = {
    "borderline": ("--param", "kind=borderline-2", "--k-neighbors", 3),
    "adasyn": ("--k-neighbors", 4),
    "svm": ("--param", "max_fit_rows=100", "--param", "provenance=full"),
    "kmeans": ("--param", "cluster_balance_threshold=0.05", "--param", "kmeans_estimator=3"),
    "random": ("--param", "shrinkage=0.5"),
    "random-under": ("--param", "replacement=true"),
}


@pytest.mark.parametrize(
    ("name", "given"),
    [*((name, ()) for name in samplers()), *GIVEN.items()],
    ids=[*samplers(), *(f"{name}-given" for name in GIVEN)],
)
def test_every_sampler_from_files_to_files(name: str, given: tuple, tmp_path: Path) -> None:
    source, kinds = write_overlapping(tmp_path / "in", name), samplers()
    args = ("--target", "y", "--sampler", name, "--random-state", 1, *given)
    result = call("resample", source, tmp_path / "out", *args, "--json")
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / ".out.dsmote/manifest.json").read_text())
    assert manifest == json.loads(result.stdout)
    after, before = pd.read_parquet(tmp_path / "out"), pd.read_parquet(source)
    expected = {"u": 60, "v": 60} if name == "random-under" else {"u": 240, "v": 240}
    assert after["y"].value_counts().to_dict() == expected
    assert {one["label"]: one["after"] for one in manifest["classes"]} == expected
    assert manifest["rows"]["before"] == 300
    assert manifest["rows"]["after"] == len(after) == sum(expected.values())
    assert manifest["sampler"] == kinds[name].__name__
    assert manifest["parameters"].keys() == {*kinds[name]().get_params(), "seed"}
    assert manifest["job"]["sampler"] == name
    assert list(after.columns)[: len(before.columns)] == list(before.columns)
    plan = call("plan", source, *args, "--json")
    assert json.loads(plan.stdout)["classes"] == manifest["classes"]


def write_overlapping(folder: Path, name: str) -> Path:
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
    return folder


def test_a_lazy_report_is_in_the_manifest(tmp_path: Path) -> None:
    source = write_overlapping(tmp_path / "in", "adasyn")
    call("resample", source, tmp_path / "out", "--target", "y", "--sampler", "adasyn")
    (report,) = json.loads((tmp_path / ".out.dsmote/manifest.json").read_text())["neighbors"]
    assert report["label"] == "v"
    assert 0 < report["near_others"] <= 60


def test_provenance_adds_columns_to_the_output(tmp_path: Path) -> None:
    frame = pd.read_parquet(write_overlapping(tmp_path / "in", "smotenc"))
    frame["id"] = [f"row {i}" for i in range(300)]
    frame.to_parquet(tmp_path / "in.parquet", index=False)
    out = tmp_path / "out"
    args = ("--target", "y", "--carry", "id", "--param", "provenance=full")
    result = call("resample", tmp_path / "in.parquet", out, *args)
    assert result.exit_code == 0, result.output
    after = pd.read_parquet(out)
    made = after[after["synthetic"]]
    assert (len(made), made["id"].isna().all()) == (180, True)
    assert set(made["id_base"]) <= set(frame.loc[frame["y"] == "v", "id"])


def test_provenance_has_the_types_of_the_columns_it_comes_from(tmp_path: Path) -> None:
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
    table = pd.DataFrame({"x": rng.normal(size=n), "y": ["a"] * 45 + ["b"] * 15, **values})
    table.to_parquet(tmp_path / "in.parquet", index=False)
    args = ("--target", "y", "--param", "provenance=full", "--shuffle")
    args += tuple(chain(*(("--carry", name) for name in values)))
    result = call("resample", tmp_path / "in.parquet", tmp_path / "out", *args)
    assert result.exit_code == 0, result.output
    after = pq.read_table(tmp_path / "out").to_pandas()
    made = after[after["synthetic"]]
    assert len(made) == 30
    for name in values:
        known = dict(zip(table.index[45:], table[name].iloc[45:], strict=True))
        expected = [known[row] for row in made["base_row"]]
        if name != "none":
            assert made[f"{name}_base"].tolist() == expected


def test_under_sampling_keeps_rows_as_they_were(mixed: Path, tmp_path: Path) -> None:
    strategy = ("--sampling-strategy", '{"0": 100}')
    args = ("--target", "y", "--sampler", "random-under", *strategy, "--random-state", 0)
    result = call("plan", mixed, *args)
    words = result.stdout.split()
    assert words[words.index("dropped") :][:6] == ["dropped", "after", "0", "270", "170", "100"]
    result = call("resample", mixed, tmp_path / "out", *args)
    assert result.exit_code == 0, result.output
    words = result.stdout.split()
    assert words[words.index("dropped") :][:6] == ["dropped", "after", "0", "270", "170", "100"]
    assert "RandomUnderSampler with seed" in result.stdout
    assert "projected" not in result.stdout
    before, after = pd.read_parquet(mixed), pd.read_parquet(tmp_path / "out")
    kept = before[before["id"].isin(after["id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(after, kept)
    manifest = json.loads((tmp_path / ".out.dsmote/manifest.json").read_text())
    assert manifest["rows"] == {"before": 300, "new": 0, "dropped": 170, "after": 130}
    assert manifest["neighbors"] == []
    assert manifest["parameters"]["sampling_strategy"] == {"0": 100}


def test_under_sampling_keeps_the_index_that_pandas_stored(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(60.0), "y": np.repeat([0, 1], [45, 15])})
    frame.index = pd.Index(np.arange(60) * 1000, name="key")
    frame.to_parquet(tmp_path / "in.parquet")
    args = ("--target", "y", "--sampler", "random-under", "--quiet")
    assert call("resample", tmp_path / "in.parquet", tmp_path / "out", *args).exit_code == 0
    after = pd.read_parquet(tmp_path / "out")
    assert after["key"].tolist() == (after["x"] * 1000).astype(int).tolist()
    assert len(after) == 30


def test_glob_and_csv_and_format(numeric: Path, tmp_path: Path) -> None:
    pd.read_parquet(numeric).to_csv(tmp_path / "table.txt", index=False)
    for args in ([numeric / "*.parquet"], [tmp_path / "table.txt", "--format", "csv"]):
        result = call("plan", *args, "--target", "y", "--json")
        assert json.loads(result.stdout)["rows_before"] == 200


def test_existing_output_is_refused_unless_overwrite(numeric: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ("resample", numeric, out, "--target", "y", "--quiet")
    assert call(*args).exit_code == 0
    failed(call(*args), "out is there already", "--overwrite")
    assert call(*args, "--overwrite").exit_code == 0


def test_overwrite_keeps_the_old_when_the_new_fails(numeric: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ("resample", numeric, out, "--target", "y")
    assert call(*args).exit_code == 0
    before = (out.parent / f".{out.name}.dsmote/manifest.json").read_bytes()
    data = bytearray((numeric / "1.parquet").read_bytes())
    data[4:600] = b"\xff" * 596
    (numeric / "1.parquet").write_bytes(bytes(data))
    failed(call(*args, "--overwrite"), "1.parquet is corrupt")
    assert (out.parent / f".{out.name}.dsmote/manifest.json").read_bytes() == before
    assert beside(tmp_path) == ["numeric", "out"]


def test_overlap_is_refused(numeric: Path) -> None:
    for out in (numeric, numeric / "out", numeric.parent):
        result = call("resample", numeric, out, "--target", "y", "--overwrite")
        assert result.exit_code == 5
        assert "Traceback" not in result.output
    assert sorted(os.listdir(numeric)) == ["0.parquet", "1.parquet"]


def test_corrupt_file_is_named(numeric: Path, tmp_path: Path) -> None:
    (numeric / "1.parquet").write_bytes(b"no")
    result = call("resample", numeric, tmp_path / "out", "--target", "y")
    failed(result, "1.parquet is corrupt or not a Parquet file")


def test_no_permission_is_told(
    numeric: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, *mode: int) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("os.mkdir", refuse)
        result = call("resample", numeric, tmp_path / "out", "--target", "y")
    failed(result, "no permission to write", str(tmp_path / "out"), code=1)


def table(path: Path, **columns: object) -> Path:
    pd.DataFrame(columns).to_parquet(path / "t.parquet", index=False)
    return path / "t.parquet"


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
def test_bad_input_is_one_clear_message(name: str, tmp_path: Path) -> None:
    columns, options, parts = BAD[name]
    path = table(tmp_path, **columns)
    failed(call("resample", path, tmp_path / "out", "--target", "y", *options), *parts)
    assert os.listdir(tmp_path) == ["t.parquet"]
    # The plan ends as the run does, whether it was made or not.
    planned = call("plan", path, "--target", "y", *options)
    assert planned.exit_code == 5, planned.output
    said = " ".join(planned.stdout.split("cannot run: ")[1:]) if planned.stdout else planned.stderr
    assert all(part in said for part in parts)
    assert call("plan", path, "--target", "y", *options, "--quiet").stderr.startswith("Error: ")


@pytest.mark.parametrize("rows", [3, 1, 0])
def test_what_cannot_run_is_no_warning(rows: int, tmp_path: Path) -> None:
    """It stands apart from warnings, in the plan and in JSON; of 30 classes 20 are named."""
    labels = [0] * 100 + [label for label in range(1, 31) for _ in range(max(1, rows))]
    columns = {"x": np.where(rows or np.array(labels) == 0, np.arange(len(labels)) * 1.0, np.nan)}
    path = table(tmp_path, **columns, y=labels)
    args = ("plan", path, "--target", "y", "--missing", "skip")
    planned = call(*args)
    assert planned.exit_code == 5, planned.output
    (problem,) = planned.stdout.split("cannot run: ")[1:]
    assert problem.count("class ") >= 20 and "and 10 more" in problem
    plan = json.loads(call(*args, "--json").stdout)
    assert plan["problems"] == [problem.strip()]
    assert not any("needs at least" in line for line in plan["warnings"])


def test_options_and_what_is_set_of_one_key_are_refused(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("input: in\noutput: out\ntarget: y\n")
    given = ("--set", "if_exists=skip"), ("--if-exists", "replace")
    for pair in (given, given[::-1]):
        result = call("run", job, *pair[0], *pair[1])
        assert result.exit_code == 2
        assert "give the same key: give one of them" in result.stderr
    assert "[default: error]" not in call("run", "--help").output  # the file says it
    assert "[default: error]" in call("resample", "--help").output


def test_debug_shows_the_traceback(numeric: Path) -> None:
    result = call("plan", numeric, "--target", "nope", "--debug")
    assert result.exit_code == 5
    assert "Traceback (most recent call last)" in result.stderr
    assert "Error: there is no column 'nope'" in result.stderr


def test_demo_shows_counts_and_place(tmp_path: Path) -> None:
    result = call("demo", "--rows", 2000, "--output", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    words = result.stdout.split()
    assert words[words.index("fraud") :][:4] == ["fraud", "20", "1,960", "1,980"]
    assert words[words.index("genuine") :][:4] == ["genuine", "1,980", "0", "1,980"]
    assert str(tmp_path / "demo" / "balanced") in result.stdout
    assert beside(tmp_path / "demo") == ["balanced", "table"]
    again = call("demo", "--rows", 2000, "--output", tmp_path / "demo", "--json")
    assert json.loads(again.stdout)["rows"]["after"] == 3960
