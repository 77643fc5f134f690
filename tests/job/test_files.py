"""Which files an input names, what is refused, and how small files share a partition."""

import json
import os

import fsspec
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dsmote.job import JobSpec, prepare, write_job
from dsmote.job.files import changed_files, check_apart, list_files
from dsmote.job.sources import FEWEST, open_source
from dsmote.job.spec import Split
from dsmote.job.storage import refuse_split
from tests.job.conftest import mixed_frame


def touch(*files):
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")


def names(folder, *args):
    return [os.path.relpath(file, folder) for file in list_files(*args).files]


def test_folder_is_searched_in_natural_order_without_hidden_files(tmp_path):
    touch(*(tmp_path / f"p{n}.parquet" for n in (10, 2, 1)), tmp_path / "sub" / "q.pq")
    touch(tmp_path / "_SUCCESS", tmp_path / ".hidden.parquet", tmp_path / "_old" / "z.parquet")
    touch(tmp_path / "notes.txt", tmp_path / "q1²3.parquet")  # a digit that is no number
    expected = ["p1.parquet", "p2.parquet", "p10.parquet", "q1²3.parquet", "sub/q.pq"]
    assert names(tmp_path, str(tmp_path)) == expected


LAKES = {
    "Delta": "_delta_log/00000000000000000000.json",
    "Iceberg": "metadata/v1.metadata.json",
    "Hudi": ".hoodie/hoodie.properties",
}


@pytest.mark.parametrize("given", ["", "data", "data/*.parquet", "data/a.parquet", ".."])
@pytest.mark.parametrize("kind", LAKES)
def test_tables_with_a_log_are_refused_by_name(tmp_path, kind, given):
    table = tmp_path / "lake" / "table"
    touch(table / LAKES[kind], table / "data" / "a.parquet")
    with pytest.raises(ValueError, match=rf"in the {kind} table {table}, .*Write the current"):
        list_files(str(table / given))


@pytest.mark.parametrize("given", ["", "*/*.parquet", "../*"])
def test_an_output_with_a_split_is_refused_as_an_input(tmp_path, given):
    out = tmp_path / "lake" / "out"
    touch(out / "train" / "a.parquet", out / "test" / "a.parquet")
    manifest = tmp_path / "lake" / ".out.dsmote" / "manifest.json"
    manifest.parent.mkdir()
    parts = [{"file": "train/a.parquet", "bytes": 1}, {"file": "test/a.parquet", "bytes": 1}]
    manifest.write_text(json.dumps({"job": {"split": {"column": "fold"}}, "parts": parts}))
    with pytest.raises(ValueError, match=r"test/ would be mixed .*: give .*/out/train"):
        open_source(str(out / given))
    refuse_split("train", list_files(str(out / "train")).files)
    assert names(out, str(out / "train")) == ["train/a.parquet"]
    both = list_files(str(out / given)).files
    (out / "test" / "a.parquet").write_text("another folder of that name")
    refuse_split("out", both)
    (out / "test" / "a.parquet").write_bytes(b"x")
    manifest.write_text(json.dumps({"job": {"split": None}, "parts": parts}))
    refuse_split("out", both)
    assert len(both) == 2


def test_linked_folder_is_part_of_the_table(tmp_path):
    """Left out, its rows would be missing, and nobody would be told."""
    touch(tmp_path / "in" / "a.parquet", tmp_path / "else" / "deep" / "b.parquet")
    (tmp_path / "in" / "sub").symlink_to(tmp_path / "else")
    whole = ["a.parquet", "sub/deep/b.parquet"]
    assert names(tmp_path / "in", str(tmp_path / "in" / "*")) == whole
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in")
    (tmp_path / "else" / "up").symlink_to(tmp_path)
    assert names(tmp_path / "in", str(tmp_path / "in")) == whole
    with pytest.raises(ValueError, match="overlaps the input"):
        check_apart(list_files(str(tmp_path / "in")), str(tmp_path / "else"))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("a*.parquet", ["a1.parquet", "a2.parquet"]),
        ("b.parquet", ["b.parquet"]),
        ("b[1].parquet", ["b[1].parquet"]),  # a name with wildcards that is there is a file
    ],
)
def test_file_glob_and_relative_path(tmp_path, monkeypatch, given, found):
    for name in ("a1", "a2", "b", "b1", "b[1]"):
        touch(tmp_path / f"{name}.parquet")
    assert names(tmp_path, str(tmp_path / given)) == found
    monkeypatch.chdir(tmp_path)
    assert names(tmp_path, given) == found


def test_format_comes_from_the_ending(tmp_path):
    touch(tmp_path / "a.csv", tmp_path / "b.CSV.GZ", tmp_path / "c.parquet", tmp_path / "d.dat")
    assert list_files(str(tmp_path / "a.csv")).format == "csv"
    assert list_files(str(tmp_path / "b.CSV.GZ")).format == "csv"
    assert list_files(str(tmp_path / "c.parquet")).format == "parquet"
    assert list_files(str(tmp_path / "d.dat"), "csv").format == "csv"
    with pytest.raises(ValueError, match=r"format of .*d\.dat by its name: give --format"):
        list_files(str(tmp_path / "d.dat"))
    with pytest.raises(ValueError, match="both Parquet and CSV"):
        list_files(str(tmp_path))
    assert names(tmp_path, str(tmp_path), "csv") == ["a.csv", "b.CSV.GZ"]
    touch(tmp_path / "e" / "part-0", tmp_path / "e" / "part-1")  # names that say nothing
    assert names(tmp_path / "e", str(tmp_path / "e"), "parquet") == ["part-0", "part-1"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("absent.parquet", FileNotFoundError, "absent.parquet"),
        ("absent/*.parquet", FileNotFoundError, r"absent/\*.parquet"),
        ("nothing-*", FileNotFoundError, r"nothing-\*"),
        ("empty", FileNotFoundError, "empty"),
        ("table", PermissionError, "no permission to read .*table/locked$"),
        ("table/locked", PermissionError, "no permission to read .*table/locked$"),
        ("hive", ValueError, r"folders of different columns: \[\] of .*b.parquet, \['year'\] of"),
        ("twice", ValueError, "two folders that name the same column"),
        ("nowhere://x", ValueError, "cannot open nowhere://x"),
    ],
)
def test_what_is_no_input_is_named(tmp_path, monkeypatch, given, error, message):
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "table" / "a.parquet", tmp_path / "table" / "locked" / "a.parquet")
    touch(tmp_path / "hive" / "year=2020" / "a.parquet", tmp_path / "hive" / "b.parquet")
    touch(tmp_path / "twice" / "year=2020" / "year=2021" / "a.parquet")
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("locked"))
    with pytest.raises(error, match=message):
        list_files(given if "://" in given else str(tmp_path / given))


@pytest.mark.parametrize("system", ["file", "memory"])
def test_stamp_changes_with_a_file(tmp_path, system):
    fs, folder = fsspec.filesystem(system), f"{tmp_path}/stamp"
    fs.makedirs(folder)
    fs.pipe(f"{folder}/a.parquet", b"old")
    before = list_files(f"{system}://{folder}")
    assert before.files == (("memory://" if system == "memory" else "") + f"{folder}/a.parquet",)
    assert list_files(f"{system}://{folder}").stamp == before.stamp
    fs.pipe(f"{folder}/a.parquet", b"new" if system == "memory" else b"longer")
    assert list_files(f"{system}://{folder}").stamp != before.stamp
    assert list(changed_files(before).values()) == ["changed"]
    fs.rm(folder, recursive=True)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("in", "in"),
        ("in", "in/out"),
        ("in", "in/sub/out"),
        ("in", "."),
        ("in/a.parquet", "in"),
        ("in/a.parquet", "in/a.parquet"),
        ("in/*.parquet", "in"),
        ("in/*.parquet", "in/out.parquet"),
        ("in/*", "in/out"),
        ("**/*.parquet", "in/out"),
        ("i*/*.parquet", "in/new.parquet"),
        ("link", "in/out"),
        ("in", "link"),
        ("link", "in"),
        ("link/*.parquet", "in"),
        ("in", "link/out"),
        ("in/../in", "in"),
        ("linked/l.parquet", "in"),
    ],
)
def test_overlap_is_refused(tmp_path, monkeypatch, source, output):
    touch(tmp_path / "in" / "a.parquet", tmp_path / "in" / "sub" / "b.parquet")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "l.parquet").symlink_to(tmp_path / "in" / "a.parquet")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="overlaps the input"):
        check_apart(list_files(source), output)


def test_neighbours_are_no_overlap(tmp_path, monkeypatch):
    touch(tmp_path / "in" / "a.parquet")
    monkeypatch.chdir(tmp_path)
    for source, output in (
        ("in", "out"),
        ("in", "in2"),
        ("in/a.parquet", "in/out"),
        ("in/*.parquet", "in/out"),
        ("in/a.parquet", "a.parquet"),
        ("in", "memory://in"),
    ):
        check_apart(list_files(source), output)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ConnectionResetError("gone")])
@pytest.mark.parametrize("ending", [".parquet", ".csv", ".csv.gz"])
def test_errors_of_the_storage_are_no_errors_of_the_file(tmp_path, monkeypatch, ending, error):
    """A retry may help: neither the header nor the rows are called corrupt."""
    file = tmp_path / f"a{ending}"
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    frame.to_parquet(file) if ending == ".parquet" else frame.to_csv(file, index=False)
    source = open_source(str(file))

    def fail(*args, **options):
        raise error

    frame = source.frame()

    def rows():
        frame.compute(scheduler="synchronous")

    rows()
    monkeypatch.setattr(pq, "ParquetFile", fail)
    monkeypatch.setattr(pd, "read_csv", fail)
    for read in (lambda: open_source(str(file)), rows):
        with pytest.raises(OSError, match=r"Input/output error|gone"):
            read()


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("t.tsv", r"read_csv(FILE, sep='\t')"),
        ("t.TXT", "read_csv(FILE, sep=None, engine='python')"),
        ("t.ndjson.zst", "read_json(FILE, lines=True)"),
        ("t.sas7bdat", "read_sas(FILE)"),
    ],
)
def test_other_formats_are_named_with_how_to_convert_them(tmp_path, name, reader):
    touch(tmp_path / "in" / name)
    for url in (tmp_path / "in", tmp_path / "in" / name):
        with pytest.raises(ValueError, match=rf"{name} looks like \.") as error:
            list_files(str(url))
        assert f"pandas.{reader}.to_parquet(NEW)" in str(error.value)
        assert hasattr(pd, reader.partition("(")[0])


# Many small files: several share a task and a part, and the rows are those of one file

FILES = 50
COLUMNS = ["id", "x", "f32", "i16", "flag", "text", "cat", "note", "y"]


def write(frame, folder, files, ending):
    """Write a table; of many files, the first and one in the middle have no rows."""
    folder.mkdir()
    empty = {0, files // 2} if files > 2 else set()
    done = 0
    for number in range(files):
        rows = 0 if number in empty else (len(frame) - done) // (files - number)
        rows = len(frame) - done if number == files - 1 else rows
        part, done = frame.iloc[done : done + rows], done + rows
        file = folder / f"{number}{ending}"
        part.to_parquet(file, index=False) if "parq" in ending else part.to_csv(file, index=False)
    return folder


@pytest.mark.parametrize(
    ("ending", "fields"),
    [
        (".csv.gz", {}),
        (".csv", {"split": Split(test_fraction=0.3, stratify=True)}),
        (".parquet", {"split": Split(column="text", train=("red", "green")), "shuffle": True}),
        (".parquet", {"sampler": "borderline", "carry": ("id", "flag", "text", "cat", "note")}),
    ],
    ids=["compressed", "split", "split by column, shuffled", "nearest of all"],
)
def test_rows_are_those_of_one_file(tmp_path, ending, fields):
    frame, manifests = mixed_frame(400)[COLUMNS], []
    for files in (1, FILES):
        source = str(write(frame, tmp_path / f"in-{files}", files, ending))
        job = {"carry": ("id", "note"), **fields, "output": str(tmp_path / f"out-{files}")}
        manifests.append(write_job(prepare(JobSpec(source, "y", random_state=0, **job))).manifest)
    for key in ("rows", "classes"):
        assert manifests[0][key] == manifests[1][key]
    for folder, of in manifests[1]["folders"].items():
        assert of["files"] <= FEWEST + 2
        one, many = (
            pd.read_parquet(tmp_path / f"out-{files}" / folder).astype({"cat": "str"})
            for files in (1, FILES)
        )
        pd.testing.assert_frame_equal(many, one)
