"""`dsmote verify`: what is right passes, and each kind of wrong is found by the check for it.

Forged files have their checksums put into the manifest, so that these are not what finds them.
"""

import datetime
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import dsmote
from dsmote import Verification, run_job, verify
from dsmote.cli import main
from dsmote.samplers.registry import samplers
from tests.job.conftest import mixed_frame, numeric_frame, write_files
from tests.samplers import VARIANTS, table_of
from tests.tables import naive_neighbours

CARRIED = {"random_state": 0, "carry": ["id", "note"]}
FULL = {"random_state": 0, "provenance": "full"}
RANDOM_UNDER = {"sampler": "random-under", "params": {"random_state": 0}}
SMOTE_THEN_UNDER = [
    {"smote": {"sampling_strategy": 0.5, "provenance": "full"}},
    {"random-under": {"sampling_strategy": 0.8}},
]
SMOTE_THEN_ENN = ["smote", {"enn": {"provenance": "flag"}}]
UNDER_THEN_SMOTE = [{"random-under": {"sampling_strategy": 0.5}}, {"smote": {"provenance": "full"}}]
MIXED = {"input": "mixed", "params": {**CARRIED, "provenance": "full"}}
SPLIT = {"test_fraction": 0.2, "stratify": True}
FOLD = {"column": "fold", "train": ["a"]}
#: Jobs, and the checks that they cannot have.
JOBS = {
    "plain": ({}, {"new rows"}),
    "numbers": ({"params": FULL}, set()),
    "mixed": (MIXED, set()),
    "csv": ({**MIXED, "input": "table.csv"}, set()),
    "new rows only": ({**MIXED, "mode": "synthetic"}, {"originals"}),
    "mixed up": ({**MIXED, "shuffle": True}, set()),
    "mixed up, unmarked": (
        {"params": {"random_state": 0}, "shuffle": True},
        {"originals", "new rows"},
    ),
    "by folders": ({**MIXED, "partition_by": ["text", "flag"]}, set()),
    "by class": ({"params": FULL, "partition_by": ["y"]}, set()),
    "split by chance": ({"params": FULL, "split": SPLIT}, set()),
    "split by a column": ({"input": "folds", "params": FULL, "split": FOLD}, set()),
    "split, mixed up": ({"params": FULL, "split": SPLIT, "shuffle": True}, set()),
    "cleaned": ({"sampler": "tomek"}, set()),
    "flagged": ({"sampler": "enn", "params": {"provenance": "flag"}}, set()),
    "fewer": ({**RANDOM_UNDER, "input": "mixed"}, set()),
    "fewer, repeated": (
        {**RANDOM_UNDER, "params": {"random_state": 0, "replacement": True}},
        set(),
    ),
    "fewer, by folders": ({**RANDOM_UNDER, "input": "mixed", "partition_by": ["text"]}, set()),
    "fewer, split": ({**RANDOM_UNDER, "split": SPLIT}, set()),
    "centres": ({"sampler": "cluster-centroids"}, {"originals"}),
    "centres, hard": ({"sampler": "cluster-centroids", "params": {"voting": "hard"}}, set()),
    "more, then fewer": ({"sampler": SMOTE_THEN_UNDER, "params": {"random_state": 0}}, set()),
    "fewer, then more": ({"sampler": UNDER_THEN_SMOTE, "params": {"random_state": 0}}, set()),
    "more, then cleaned": ({"sampler": ["smote", "tomek"]}, {"new rows"}),
    "more, then more": (
        {
            "sampler": [
                {"smote": {"sampling_strategy": 0.5}},
                {"random": {"provenance": "full"}},
            ]
        },
        {"new rows"},
    ),
    "smote-enn": ({"sampler": "smote-enn"}, {"new rows"}),
    "scaled": ({"params": {**FULL, "scale": "standard"}}, set()),
    "scaled, mixed": ({**MIXED, "params": {**MIXED["params"], "scale": "robust"}}, set()),
    "approximate": ({"params": {**FULL, "n_components": 1}}, {"neighbours"}),
    "missing values": ({"input": "gaps", "params": {**FULL, "missing": "skip"}}, set()),
    "few rows": (
        {"params": {**FULL, "k_neighbors": 40, "on_small_class": "copy"}, "sampler": "smote"},
        set(),
    ),
    "no rows dropped": (
        {"sampler": "random-under", "params": {"sampling_strategy": {"usual": 175}}},
        set(),
    ),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the inputs, and outputs once they were asked for."""
    folder = tmp_path_factory.mktemp("verify")
    write_files(mixed_frame(), folder / "mixed", 3)
    write_files(numeric_frame(), folder / "in", 2)
    mixed_frame().to_csv(folder / "table.csv", index=False)
    numeric = numeric_frame()
    fold = np.where(np.arange(len(numeric)) % 5, "a", "b")
    write_files(numeric.assign(fold=fold), folder / "folds", 2)
    gaps = np.arange(len(numeric)) % 11 == 0
    write_files(numeric.assign(a=numeric["a"].mask(gaps)), folder / "gaps", 2)
    return folder


@pytest.fixture
def made(home, tmp_path):
    """Return a copy of the output of a job, which is run once."""

    def of(name):
        job, _ = JOBS[name]
        output = home / "outputs" / name
        if not output.exists():
            given = {"input": "in", "target": "y", **job, "output": str(output)}
            run_job({**given, "input": str(home / given["input"])})
        for folder in (output, output.parent / f".{name}.dsmote"):
            shutil.copytree(folder, tmp_path / folder.name)
        return tmp_path / name

    return of


def manifest_of(output):
    return output.parent / f".{output.name}.dsmote" / "manifest.json"


def change_manifest(output, change):
    manifest = json.loads(manifest_of(output).read_text())
    change(manifest)
    manifest_of(output).write_text(json.dumps(manifest))


def forge(output, change, new=True, at=None):
    """Change the frame of a part, and have its size and checksum right in the manifest."""
    manifest = json.loads(manifest_of(output).read_text())
    parts = [part for part in manifest["parts"] if part.get("new", new) == new]
    part = parts[0] if at is None else next(p for p in manifest["parts"] if at in p["file"])
    path = output / part["file"]
    # Not by its path, in which columns may be.
    table = pq.ParquetFile(path).read()
    forged = change(table.to_pandas())
    if isinstance(forged, pd.DataFrame):
        forged = pa.Table.from_pandas(forged, table.schema, preserve_index=False)
    pq.write_table(forged, path)
    for one in manifest["parts"]:
        if one["file"] == part["file"]:
            one["bytes"], one["rows"] = path.stat().st_size, forged.num_rows
            one["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest_of(output).write_text(json.dumps(manifest))


def failed(found):
    return {check.name: check.detail for check in found.checks if check.passed is False}


def setting(column, value, row=0):
    def change(frame):
        frame.loc[row, column] = value
        return frame

    return change


# --- What is right


@pytest.mark.parametrize("name", JOBS)
def test_an_output_as_it_was_written(made, name):
    found = verify(made(name))
    assert found.ok, found
    lacking = {check.name for check in found.checks if check.passed is None}
    assert lacking == JOBS[name][1]
    names = [check.name for check in found.checks]
    assert names[:6] == ["files", "contents", "schema", "input", "counts", "originals"]
    if "full" in str(JOBS[name]) and "new rows" not in lacking:
        assert "places" in names


OVER = {
    variant: (name, params)
    for name, kind in samplers().items()
    if kind._sampling_type == "over-sampling"
    for variant, params in VARIANTS.get(name, {name: {}}).items()
}


@pytest.mark.parametrize("variant", OVER)
def test_new_rows_of_every_over_sampler(tmp_path, variant):
    name, params = OVER[variant]
    params = {"categorical": ["c"]} if variant == "smotenc" else params
    table_of(variant, 200, 60).to_parquet(tmp_path / "in.parquet", index=False)
    job = {"input": str(tmp_path / "in.parquet"), "target": "y", "sampler": name}
    run_job({**job, "output": str(tmp_path / "out"), "params": {**params, **FULL}})
    found = verify(tmp_path / "out")
    told = {check.name: check.passed for check in found.checks[6:]}
    # Clusters are not kept, so neighbours in them are not looked for.
    expected = {"places": True, "neighbours": None if name == "kmeans" else True}
    if name in ("smoten", "random", "polynom-fit", "random-smote", "mdo", "mgs", "distance-smote"):
        del expected["neighbours"]
    if name in ("mdo", "mgs", "distance-smote"):  # where these put rows is not looked into
        expected["places"] = None
    if name in ("smoten", "smotenc"):
        expected["categories"] = True
    if name in ("adasyn", "borderline", "svm", "safe-level", "mdo"):
        expected["bases"] = True
    assert told == expected, found


@pytest.mark.parametrize("name", ["mixed", "numbers", "fewer, by folders"])
def test_in_small_pieces(made, monkeypatch, name):
    """Rows are read again where they cannot be held, and compared some at a time."""
    monkeypatch.setattr("dsmote.job.truth.HELD_BYTES", 0)
    monkeypatch.setattr("dsmote.job.truth.BLOCK", 7)
    monkeypatch.setattr("dsmote.job.truth.GROUPS", 1)
    monkeypatch.setattr("dsmote.job.verification.AT_ONCE", 7)
    monkeypatch.setattr("dsmote.job.sources.PIECE_ROWS", 16)
    found = verify(made(name), rows=50, seed=3)
    assert found.ok, found
    assert all(check.passed for check in found.checks)


# --- Files


def test_files_that_are_missing_cut_or_foreign(made):
    output = made("numbers")
    (output / "part-00001.parquet").unlink()
    found = verify(output)
    assert failed(found) == {"files": "part-00001.parquet is missing"}
    assert [check.name for check in found.checks if check.passed is None][-1] == "new rows"
    output = made("plain")
    part = output / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-3])
    shutil.copy(output / "part-00001.parquet", output / "mine.parquet")
    (output / "_SUCCESS").unlink()
    (output / "_notes").write_text("readers leave it out")
    told = failed(verify(output))
    assert "part-00000.parquet has" in told["files"]
    assert "mine.parquet is not of this table" in told["files"]
    assert "_SUCCESS is missing" in told["files"]
    assert "_notes" not in told["files"]
    assert "part-00000.parquet" in told["contents"]
    assert "corrupt" in told["schema"]


def test_a_byte_that_changed(made):
    output = made("plain")
    part = output / "part-00002.parquet"
    data = bytearray(part.read_bytes())
    data[40] ^= 1
    part.write_bytes(data)
    assert failed(verify(output))["contents"] == "not as written: part-00002.parquet"


def test_columns_that_are_not_as_recorded(made):
    output = made("numbers")
    forge(
        output,
        lambda frame: pa.Table.from_pandas(frame.astype({"n": "int32"}), preserve_index=False),
    )
    assert "part-00002.parquet: 'n' is int32, not int64" in failed(verify(output))["schema"]
    change_manifest(output, lambda m: m["parts"][0].update(rows=7))
    assert "has 100 rows, not 7" in failed(verify(output))["schema"]


# --- Counts


def test_a_wrong_count(made):
    output = made("numbers")
    forge(output, setting("y", "usual"))
    told = failed(verify(output))["counts"]
    assert "class rare has 174 rows, not 175" in told
    assert "class usual has 1 rows that are new, not 0" in told
    output = made("cleaned")
    change_manifest(output, lambda m: m["classes"][1].update(after=1))
    assert "not 1" in failed(verify(output))["counts"]
    output = made("split by chance")
    change_manifest(output, lambda m: m["test"][0].update(rows=1))
    assert "held back, not 1" in failed(verify(output))["counts"]


def test_a_row_that_is_not_marked_as_it_should_be(made):
    output = made("numbers")
    forge(output, setting("synthetic", True), new=False)
    assert "1 rows are marked as new among original" in failed(verify(output))["counts"]


# --- Original rows


def swapped(frame):
    return frame.iloc[[1, 0, *range(2, len(frame))]]


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("plain", "a", 0.5),
        ("mixed", "text", "purple"),
        ("mixed", "flag", None),
        ("csv", "id", 7),
        ("mixed up", "f32", 0.25),
        ("by folders", "x", 0.5),
        ("split by chance", "b", -1.0),
        ("cleaned", "n", 77),
        ("flagged", "b", 1e-300),
        ("fewer", "i16", -1),
        ("fewer, repeated", "a", 0.5),
        ("fewer, by folders", "x", 0.5),
        ("more, then fewer", "a", 0.5),
    ],
)
def test_an_original_row_that_was_changed(made, name, column, value):
    output = made(name)
    row = 0
    if name == "mixed up":
        frame = pq.ParquetFile(output / "part-00000.parquet").read().to_pandas()
        row = int(np.flatnonzero(~frame["synthetic"])[3])
    change = setting(column, value, row)
    if value is None:
        change = lambda f: f.assign(flag=f["flag"] ^ (np.arange(len(f)) == 4))  # noqa: E731
    forge(output, change, new=False)
    told = failed(verify(output))
    assert "originals" in told, told
    if name in ("plain", "cleaned", "fewer"):
        assert "original row 0 (counted from 0) is not in the input" in told["originals"]


@pytest.mark.parametrize(
    ("name", "noticed"),
    [("plain", True), ("cleaned", True), ("split by chance", True), ("by folders", False)],
)
def test_the_order_of_original_rows(made, name, noticed):
    output = made(name)
    forge(output, swapped, new=False)
    assert ("originals" in failed(verify(output))) == noticed


def test_rows_that_were_held_back(made):
    for name in ("split by chance", "split, mixed up", "fewer, split"):
        output = made(name)
        forge(output, setting("a", 0.5), at="test/")
        assert "originals" in failed(verify(output)), name


def test_a_row_that_stands_twice(made):
    output = made("fewer")
    forge(output, lambda f: f.iloc[[0, 0, *range(2, len(f))]], new=False)
    assert "originals" in failed(verify(output))
    output = made("fewer, by folders")
    forge(output, lambda f: f.iloc[[0, 0, *range(2, len(f))]], new=False)
    assert "1 different original rows are not in the input" in failed(verify(output))["originals"]


# --- New rows


def far_neighbour(frame):
    """Have the first row made toward the row of its class that is furthest from its base."""
    table = numeric_frame()
    base = table.loc[int(frame.loc[0, "base_row"])]
    rare = table[table["y"] == "rare"]
    steps = rare[["a", "b", "n"]] - base[["a", "b", "n"]].astype(float)
    far = rare.loc[(steps**2).sum(axis=1).idxmax()]
    frame.loc[0, "neighbour_row"] = far.name
    for column in "ab":
        step = frame.loc[0, "gap"] * (far[column] - base[column])
        frame.loc[0, column] = base[column] + step
    frame.loc[0, "n"] = base["n"] + np.rint(frame.loc[0, "gap"] * (far["n"] - base["n"]))
    return frame


def test_a_swapped_neighbour(made):
    output = made("numbers")
    forge(output, far_neighbour)
    told = failed(verify(output))
    assert [*told] == ["neighbours"]
    assert (
        "1 of 150 new rows have a neighbour that is not among the 5 nearest of the class"
        in (told["neighbours"])
    )
    for name in ("scaled", "mixed"):
        output = made(name)
        row = 3  # of another class than the new rows, and in the mixed table of none
        forge(output, setting("neighbour_row", row + 1))
        assert "places" in failed(verify(output))


def test_a_base_row_that_the_sampler_does_not_choose(tmp_path):
    table = table_of("borderline", 200, 60)
    table.to_parquet(tmp_path / "in.parquet", index=False)
    job = {"input": str(tmp_path / "in.parquet"), "target": "y", "sampler": "borderline"}
    run_job({**job, "output": str(tmp_path / "out"), "params": FULL})
    X, y = table[["a", "b", "c"]].to_numpy(), table["y"].to_numpy()
    few = np.flatnonzero(y)
    _, around = naive_neighbours(X, 10)
    safe = few[int((y[around[few]] == 0).sum(axis=1).argmin())]
    _, near = naive_neighbours(X[few], 1)
    neighbour = few[near[few == safe][0, 0]]

    def change(frame):
        frame.loc[0, ["base_row", "neighbour_row"]] = safe, neighbour
        gap = frame.loc[0, "gap"]
        frame.loc[0, ["a", "b", "c"]] = X[safe] + gap * (X[neighbour] - X[safe])
        return frame

    forge(tmp_path / "out", change)
    told = failed(verify(tmp_path / "out"))
    assert [*told] == ["bases"]
    assert "1 of 80 new rows have a base row that BorderlineSMOTE does not choose" in told["bases"]


@pytest.mark.parametrize(
    ("name", "column", "value", "check", "says"),
    [
        ("numbers", "a", 0.5, "places", "do not lie at base + gap"),
        ("numbers", "n", 999, "places", "do not lie at base + gap"),
        ("numbers", "gap", 1.5, "places", "gap that the sampler does not make"),
        ("numbers", "gap", None, "places", "do not say between which rows"),
        ("numbers", "neighbour_row", None, "places", "do not say between which rows"),
        ("numbers", "base_row", 1, "places", "another class"),
        ("numbers", "base_row", 1000, "places", "rows that the table does not have"),
        ("mixed", "id_base", 1, "places", "another value than their base row"),
        ("mixed", "f32", 0.125, "places", "do not lie at"),
        ("mixed", "text", "purple", "categories", "that the class has not"),
        ("mixed up", "big", 100, "places", "do not lie at"),
        ("few rows", "b", 0.5, "places", "another value than their base row"),
        ("split by a column", "fold", "b", "places", "another value than their base row"),
        ("new rows only", "x", 0.5, "places", "do not lie at"),
        ("fewer, then more", "a", 0.5, "places", "do not lie at"),
    ],
)
def test_a_new_row_that_was_changed(made, name, column, value, check, says):
    output, row = made(name), 0
    if name == "mixed up":
        frame = pq.ParquetFile(output / "part-00000.parquet").read().to_pandas()
        row = int(np.flatnonzero(frame["synthetic"])[0])
    forge(output, setting(column, value, row))
    told = failed(verify(output))
    assert says in told.get(check, ""), told


def test_a_value_that_fewer_neighbours_have(made):
    output = made("mixed")

    def change(frame):
        # None of the three has all votes everywhere, so in some row the change is a wrong one.
        return frame.assign(
            text=frame["text"].map({"red": "blue", "blue": "green", "green": "red"})
        )

    forge(output, change)
    assert "hold a value that fewer voters have" in failed(verify(output))["categories"]


@pytest.mark.parametrize(
    ("sampler", "params", "change", "says"),
    [
        ("random", {}, setting("a", 0.5), "another value than their base row"),
        ("random", {"shrinkage": 0.3}, setting("a", 1e3), "further from their base row"),
        (
            "random",
            {"shrinkage": 0.3},
            lambda f: f.assign(a=f["a"] + 0.3),
            "times the variance",
        ),
        ("polynom-fit", {}, setting("a", 0.5), "do not lie at"),
        ("adoms", {}, setting("a", 0.5), "not as far from their base row as gap says"),
        ("geometric", {}, setting("gap", 0.5), "not as far from their base row as gap says"),
        ("gsmote", {}, setting("a", 9.5), "do not lie in the box between"),
        ("random-smote", {}, setting("a", 9.5), "a value that no row of their class reaches"),
        ("svm", {}, setting("gap", -0.75), "gap that the sampler does not make"),
        (
            "borderline",
            {},
            setting("neighbour_row", int(table_of("", 200, 60)["y"].argmin())),
            "gap that the sampler does not make",
        ),
    ],
)
def test_rows_of_other_kinds_that_were_changed(tmp_path, sampler, params, change, says):
    table_of(sampler, 200, 60).to_parquet(tmp_path / "in.parquet", index=False)
    job = {"input": str(tmp_path / "in.parquet"), "target": "y", "sampler": sampler}
    run_job({**job, "output": str(tmp_path / "out"), "params": {**params, **FULL}})
    forge(tmp_path / "out", change)
    assert says in failed(verify(tmp_path / "out"))["places"]


@pytest.mark.parametrize("foreign", [False, True])
def test_a_neighbour_that_is_the_nearest_of_neither(foreign, tmp_path):
    """GeometricSMOTE goes toward the k nearest of the class, or the nearest of other classes."""
    table = table_of("geometric", 200, 60)
    table.to_parquet(tmp_path / "in.parquet", index=False)
    job = {"input": str(tmp_path / "in.parquet"), "target": "y", "sampler": "geometric"}
    run_job({**job, "output": str(tmp_path / "out"), "params": FULL})
    X, among = table[["a", "b", "c"]].to_numpy(), table["y"].to_numpy() != foreign

    def change(frame):
        base = X[int(frame.loc[0, "base_row"])]
        far = np.where(among, ((X - base) ** 2).sum(axis=1), -1).argmax()
        new = frame.loc[0, ["a", "b", "c"]].to_numpy(float)
        frame.loc[0, "neighbour_row"] = far
        frame.loc[0, "gap"] = np.linalg.norm(new - base) / np.linalg.norm(X[far] - base)
        return frame

    forge(tmp_path / "out", change)
    told = failed(verify(tmp_path / "out"))
    assert [*told] == ["neighbours"]
    assert "1 of 80 new rows have a neighbour that is not among" in told["neighbours"]


def test_which_rows_are_drawn_depends_on_the_seed(made):
    output = made("numbers")
    forge(output, setting("a", 0.5, 75))
    found = [verify(output, rows=75, seed=seed).ok for seed in range(8)]
    assert set(found) == {True, False}
    assert found == [verify(output, rows=75, seed=seed).ok for seed in range(8)]


# --- The input, and how a command ends


def call(*args):
    return CliRunner().invoke(main, ["verify", *map(str, args)])


def test_an_input_that_was_moved_or_changed(made, home, tmp_path):
    output, moved = made("numbers"), tmp_path / "moved"
    change_manifest(output, lambda m: m["job"].update(input=str(tmp_path / "gone")))
    result = call(output)
    assert result.exit_code == 0, result.output
    assert "gone" in result.output
    assert "say where it is now (--input)" in result.output
    # Neighbours are looked for among the originals that the output holds.
    assert "neighbours  ok" in result.output
    shutil.copytree(home / "in", moved)
    found = verify(output, input=moved)
    assert found.ok
    assert {c.name: c.passed for c in found.checks}["input"] is None
    frame = pd.read_parquet(moved / "0.parquet")
    for change in (frame.iloc[1:], frame.assign(a=frame["a"] + 1), frame.drop(columns="b")):
        change.to_parquet(moved / "0.parquet", index=False)
        found = failed(verify(output, input=moved)) if "b" in change else None
        assert found is None or "originals" in found


def test_new_rows_only_need_the_input(made):
    output = made("new rows only")
    change_manifest(output, lambda m: m["job"].update(input="gone"))
    found = {check.name: check for check in verify(output).checks}
    assert found["new rows"].passed is None
    assert "the input is not there" in found["new rows"].detail


def test_the_command_line(made):
    output = made("numbers")
    result = call(output)
    assert result.exit_code == 0
    assert result.stdout == f"{verify(output)}\n"
    assert "neighbours  ok: 150 of 150 are among the 5 nearest of the class" in result.stdout
    forge(output, setting("a", 0.5))
    result = call(output, "--json", "--rows", 150)
    told = json.loads(result.stdout)
    assert (result.exit_code, told["ok"]) == (1, False)
    assert told["checks"][0] == {
        "name": "files",
        "passed": True,
        "detail": "3 files of " + (told["checks"][0]["detail"].removeprefix("3 files of ")),
    }
    assert "FAILED: 1 of 150 new rows" in call(output).stdout


def test_what_cannot_be_verified(made, tmp_path):
    result = call(tmp_path / "absent")
    assert result.exit_code == 5
    assert "there is no output" in result.stderr
    output = made("plain")
    result = call(output, "--input", tmp_path / "absent")
    assert result.exit_code == 5
    assert "absent" in result.stderr
    assert call(output, "--rows", 0).exit_code == 2
    assert call().exit_code == 2
    manifest_of(output).unlink()
    result = call(output)
    assert result.exit_code == 5
    assert "manifest.json, which says how it was made, is not" in result.stderr
    with pytest.raises(ValueError, match="must be copied or moved along"):
        dsmote.verify(output)


def test_a_manifest_of_an_earlier_version(made):
    output = made("plain")

    def older(manifest):
        del manifest["schema"]
        for part in manifest["parts"]:
            del part["sha256"], part["new"]

    change_manifest(output, older)
    found = verify(output)
    assert isinstance(found, Verification)
    told = {check.name: check.passed for check in found.checks}
    assert found.ok
    assert [name for name, passed in told.items() if passed is None] == [
        *("contents", "schema", "originals", "new rows"),
    ]
    assert Path(found.output) == output


def test_names_that_the_manifest_does_not_have(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PASSWORD", "hunter2-and-more")
    numeric_frame().assign(**{"hunter2-and-more": 1}).to_parquet("in.parquet")
    Path("job.yaml").write_text(
        "input: in.parquet\noutput: out\ntarget: y\nparams: {carry: ['${PASSWORD}']}\n"
    )
    run_job("job.yaml")
    found = verify("out")
    told = {check.name: check.passed for check in found.checks}
    assert told == {
        **dict.fromkeys(("files", "contents"), True),
        **dict.fromkeys(("schema", "counts", "originals", "new rows")),
    }
    assert found.ok
    assert "names and values that came from variables" in str(found)


def test_rows_are_counted_where_another_column_cannot_be_read(made):
    output = made("numbers")
    (part, *_) = sorted(Path(output).glob("*.parquet"))
    place = pq.ParquetFile(part).metadata.row_group(0).column(0)  # "n", of numbers
    content = bytearray(part.read_bytes())
    first = place.dictionary_page_offset or place.data_page_offset
    content[first : first + 8] = b"\xff" * 8
    part.write_bytes(content)
    told = {check.name: check for check in verify(output).checks}
    assert told["contents"].passed is False
    assert told["counts"].passed
    assert told["originals"].passed is False


def test_an_input_without_columns_of_the_output(made, home, tmp_path):
    output = made("numbers")
    pd.read_parquet(home / "in")[["y"]].to_parquet(tmp_path / "y.parquet")
    found = verify(output, input=str(tmp_path / "y.parquet"))
    told = {check.name: check.detail for check in found.checks if check.passed is False}
    assert "columns of the output are not in the input" in told["originals"]


def test_as_many_rows_drawn_with_replacement(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"a": np.arange(200.0), "y": np.arange(200) % 2}).to_parquet("even.parquet")
    params = {"replacement": True, "sampling_strategy": "all", "random_state": 0}
    job = {"input": "even.parquet", "output": "out", "target": "y", "sampler": "random-under"}
    run_job({**job, "params": params})
    assert verify("out").ok


@pytest.mark.parametrize("values", [np.arange(200) % 4, np.arange(200) % 4 / 2, ["a", "b"] * 100])
def test_categories_of_any_kind(values, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numeric_frame().assign(c=pd.Categorical(values)).to_parquet("in.parquet")
    run_job({"input": "in.parquet", "output": "out", "target": "y", "params": FULL})
    found = verify("out")
    assert found.ok, str(found)
    assert {check.name for check in found.checks if check.passed} > {"schema", "originals"}


# --- Columns of any type, name and size


def verified(table, tmp_path, before=lambda: {}, **job):
    """Run a job on a table, and verify what it wrote; `before` changes what is there."""
    pq.write_table(table, tmp_path / "in.parquet")
    given = {"input": str(tmp_path / "in.parquet"), "output": str(tmp_path / "out"), "target": "y"}
    run_job({**given, "params": FULL, **job})
    return verify(tmp_path / "out", **before())


def with_column(name, values):
    return pa.Table.from_pandas(numeric_frame()).append_column(name, values)


TEXTS = ["a/b", "%20"] * 100
BYTES = [b"a", b"bb", None, b""] * 50
TIMES = [datetime.time(hour % 3, 5, 7, 9000) for hour in range(200)]
COLUMNS = {
    **{str(of): (BYTES, of) for of in (pa.binary(), pa.large_binary(), pa.binary_view())},
    **{str(of): (TEXTS, of) for of in (pa.string(), pa.large_string(), pa.string_view())},
    "time64": (TIMES, pa.time64("us")),
    "time32": (TIMES, pa.time32("ms")),
    "date32": ([datetime.date(2020, 1, 1 + day % 3) for day in range(200)], pa.date32()),
}


@pytest.mark.parametrize("of", COLUMNS)
def test_columns_of_any_type(of, tmp_path):
    found = verified(
        with_column("c", pa.array(*COLUMNS[of])), tmp_path, params={**FULL, "carry": ["c"]}
    )
    assert found.ok, found
    assert all(check.passed for check in found.checks), found
    change = setting("c", b"other" if "binary" in of else None)
    forge(tmp_path / "out", change, new=False)
    assert "original row 0" in failed(verify(tmp_path / "out"))["originals"]


@pytest.mark.parametrize("of", [of for of in COLUMNS if "binary" not in of])
def test_folders_of_any_type(of, tmp_path):
    found = verified(with_column("c", pa.array(*COLUMNS[of])), tmp_path, partition_by=["c"])
    assert found.ok, found
    assert all(check.passed for check in found.checks), found


@pytest.mark.parametrize(
    ("labels", "of"), [([1, 0], pa.int64()), ([True, False], pa.bool_()), (["1", "0"], pa.string())]
)
def test_labels_that_are_missing_in_rows_held_back(labels, of, tmp_path):
    frame = numeric_frame()
    fold = np.where(np.arange(200) % 5, "a", "b")
    y = [None if f == "b" else labels[n != "rare"] for f, n in zip(fold, frame["y"], strict=True)]
    table = pa.table({"a": frame["a"], "b": frame["b"], "fold": fold, "y": pa.array(y, of)})
    found = verified(table, tmp_path, split=FOLD)
    assert found.ok, found
    assert "(missing)" not in found.checks[4].detail
    assert "40 held back" in found.checks[4].detail


@pytest.mark.parametrize(
    ("name", "job"),
    [
        ("removed", {"params": FULL}),
        ("removed", {"sampler": SMOTE_THEN_UNDER, "params": {"random_state": 0}}),
        ("removed", {"sampler": UNDER_THEN_SMOTE, "params": {"random_state": 0}}),
        ("base_row", {"params": {"provenance": "flag", "random_state": 0}}),
        ("id_base", {"params": {"provenance": "flag", "carry": ["id"], "random_state": 0}}),
        ("synthetic", {"sampler": "enn", "params": {"provenance": "flag"}}),
        ("synthetic", {"sampler": SMOTE_THEN_ENN, "params": {"random_state": 0}}),
    ],
)
def test_features_that_are_called_as_provenance_is(name, job, tmp_path):
    """Those that this sampler's provenance does not add are features as others are."""
    table = with_column(name, pa.array(numeric_frame()["a"] * 2))
    table = table.append_column("id", pa.array(range(200)))
    found = verified(table, tmp_path, **job)
    assert found.ok, found
    assert {check.name: check.passed for check in found.checks}["originals"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda frame: frame.assign(more=1.5), "columns of the input are not in the output: more"),
        (lambda frame: frame.drop(columns="b"), "columns of the output are not in the input: b"),
        (lambda frame: frame.astype({"a": "str"}), "column 'a' is double, in the input large"),
    ],
)
def test_an_input_of_other_columns_does_not_tell_where_new_rows_are_from(
    change, says, made, home, tmp_path
):
    change(pd.read_parquet(home / "in")).to_parquet(tmp_path / "other.parquet")
    found = verify(made("numbers"), input=tmp_path / "other.parquet")
    assert {*failed(found)} == {"originals"}
    assert says in failed(found)["originals"]
    assert {"places", "neighbours"} <= {check.name for check in found.checks if check.passed}
    found = verify(made("new rows only"), input=tmp_path / "other.parquet")
    assert "has other columns than the output" in found.checks[-1].detail


@pytest.mark.filterwarnings("ignore:overflow encountered in square")  # of SMOTENC's weight
@pytest.mark.parametrize("size", [1e160, 1e300, 1e-200, 1e-310])
@pytest.mark.parametrize("kind", ["smote", "smotenc", "adasyn", "borderline", "random", "mean"])
def test_values_whose_squares_are_no_numbers(size, kind, tmp_path):
    frame = numeric_frame()
    frame = frame.assign(a=frame["a"] * size, b=frame["b"] * size, n=1.0)
    params = {"shrinkage": 0.3} if kind == "random" else {}
    sampler = "polynom-fit" if kind == "mean" else kind
    if kind == "smotenc":
        frame["c"] = np.random.default_rng(0).choice(["x", "y", "z"], 200)
    table = pa.Table.from_pandas(frame)
    found = verified(table, tmp_path, sampler=sampler, params={**FULL, **params})
    assert found.ok, found
    forge(tmp_path / "out", setting("a", 9 * size))
    assert "places" in failed(verify(tmp_path / "out"))


@pytest.mark.parametrize("kind", ["random", "polynom-fit", "smote"])
def test_numbers_of_16_bits(kind, tmp_path):
    """Their last digit is a thousandth of them."""
    frame = numeric_frame()
    frame = frame.assign(a=frame["a"] * 10 + 500, n=1.0)
    frame = frame.astype({"a": "float16", "b": "float16"})
    params = {"shrinkage": 1e-4} if kind == "random" else {}
    table = pa.Table.from_pandas(frame)
    found = verified(table, tmp_path, sampler=kind, params={**FULL, **params})
    assert found.ok, found
    forge(tmp_path / "out", setting("a", np.float16(600)))
    assert "places" in failed(verify(tmp_path / "out"))


@pytest.mark.parametrize("shuffle", [False, True])
def test_new_rows_without_a_recorded_schema(made, shuffle):
    output = made("mixed up" if shuffle else "numbers")
    change_manifest(output, lambda manifest: manifest.pop("schema"))
    told = {check.name: check.passed for check in verify(output).checks}
    assert {name for name, passed in told.items() if not passed} == {"schema"}
    assert told["places"] and told["counts"]


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"rows": -1}, {"rows": 1.5}, {"seed": -1}])
def test_numbers_that_cannot_be(made, wrong):
    with pytest.raises(ValueError, match=r"(rows|seed) is a whole number from [01] on, not"):
        verify(made("plain"), **wrong)


@pytest.mark.parametrize("given", ["output", "input"])
def test_passwords_are_not_in_errors(given, made):
    url = "ftp://me:hunter2@localhost:9/x"
    how = {"output": url} if given == "output" else {"output": made("plain"), "input": url}
    with pytest.raises(Exception, match="localhost") as caught:
        verify(**how)
    error = caught.value
    while error is not None:
        assert "hunter2" not in repr(error)
        error = error.__cause__ or error.__context__


def test_a_wrong_row_is_named_by_its_file(made):
    output = made("numbers")
    forge(output, setting("a", 0.5, 7))
    told = failed(verify(output))["places"]
    part = next(p for p in json.loads(manifest_of(output).read_text())["parts"] if p["new"])
    assert f"row 7 of {part['file']}, of base_row " in told
    frame = pd.read_parquet(output / part["file"])
    assert told.endswith(f"base_row {frame['base_row'][7]:,}; rows count from 0)")
