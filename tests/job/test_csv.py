"""CSV as pandas reads it whole: dtypes hold for all rows, and what is damaged is named."""

import gzip
import re
import zipfile

import numpy as np
import pandas as pd
import pytest

from dsmote.job import JobSpec, prepare, write_job
from dsmote.job.sources import open_source
from dsmote.job.verification import verify

LARGE = 2**53 + 1


def lazy(path, monkeypatch, block=32 * 2**20):
    monkeypatch.setattr("dsmote.job.sources.BLOCK_BYTES", block)
    return open_source(str(path)).frame()


def test_reads_as_pandas_does_in_blocks(tmp_path, monkeypatch):
    """Dtypes are those of all rows; but large integers with gaps do not become floats."""
    frame = pd.DataFrame({"i": range(1000), "gap": range(1000), "f": range(1000)}).astype(str)
    frame["word"], frame["id"] = frame["i"], [str(LARGE + n) for n in range(1000)]
    frame["b"], frame["text"] = [True, False] * 500, [f"word {n}" for n in range(1000)]
    frame.loc[900, "f"], frame.loc[950, "word"] = "0.1234567", "word"
    frame.loc[980, ["gap", "id"]] = ""
    frame.to_csv(tmp_path / "a.csv", index=False)
    found = lazy(tmp_path / "a.csv", monkeypatch, 4000)
    assert found.npartitions > 3
    got = found.compute(scheduler="synchronous").reset_index(drop=True)
    assert got.dtypes.equals(found.dtypes)
    assert got["id"].dropna().astype(str).tolist() == frame["id"].drop(980).tolist()
    expected = pd.read_csv(tmp_path / "a.csv", dtype={"word": str, "id": "Int64"})
    pd.testing.assert_frame_equal(got, expected)
    some = found[["text", "i"]].compute(scheduler="synchronous")
    assert some.columns.tolist() == ["text", "i"]


@pytest.mark.parametrize(
    ("blocks", "dtype"),
    [
        (["1", ""], "int64"),
        (["1", ","], "float64"),
        ([f"{2**64 - 1}"], "uint64"),
        ([f"{2**64 - 1}", "-1"], "str"),
        (["1", "0.5"], "float64"),
        ([",", ""], "float64"),
        (["True"], "bool"),
        (["True", "False|,"], "boolean"),
        (["True", ","], "boolean"),
        (["True", "1"], "str"),
        (["a", "0.5"], "str"),
        (["1", "2|,"], "float64"),
        ([f"{LARGE}", "1"], "int64"),
        ([f"{LARGE}", "1|,"], "Int64"),
        ([f"{LARGE}|,"], "Int64"),
        ([f"{LARGE}", "0.5"], "float64"),
        (["1e300|,"], "float64"),
    ],
)
def test_dtypes_of_a_column_hold_for_all_files(tmp_path, blocks, dtype):
    for number, rows in enumerate(blocks):
        lines = [f"{row.strip(',')},0" for row in rows.split("|") if row]
        (tmp_path / f"{number}.csv").write_text("\n".join(["x,y", *lines]) + "\n")
    frame = open_source(str(tmp_path)).frame()
    assert str(frame.dtypes["x"]) == dtype
    got = frame.compute(scheduler="synchronous")["x"]
    assert str(got.dtype) == dtype
    if dtype in ("int64", "Int64"):
        known = [row for rows in blocks for row in rows.split("|") if row.strip(",")]
        assert got.dropna().tolist() == list(map(int, known))


@pytest.mark.filterwarnings("ignore::pandas.errors.ParserWarning")  # as users have them
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.csv": b"x,y\n1,2\n", "b.csv": b"x,z\n1,2\n"}, r"b\.csv does not have the columns of"),
        ({"a.csv": b"x,x,y\n1,2,3\n"}, r"more than one column of the name \['x'\]"),
        ({"a.csv": b""}, r"a\.csv cannot be read as CSV"),
        ({"a.csv": b"x,y\n1,2\n1,2,3\n"}, r"a\.csv cannot be read as CSV"),
        ({"a.csv": b"x,y\n1,2,3\n1,2,3\n"}, r"a\.csv cannot be read as CSV"),
        ({"a.csv.gz": b"not gzip"}, r"a\.csv\.gz"),
        ({"a.csv.gz": gzip.compress(b"x,y\n1,2\n")[:-12] + b"x" * 12}, r"a\.csv\.gz cannot be"),
        ({"a.csv.bz2": b"x,y\n1,2\n"}, r"a\.csv\.bz2 cannot be"),
        ({"a.csv.xz": b"x,y\n1,2\n"}, r"a\.csv\.xz cannot be"),
        ({"a.csv.zst": b"x,y\n1,2\n"}, r"zst"),
    ],
)
def test_damaged_file_is_named(tmp_path, files, message):
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises((ValueError, OSError), match=message):
        open_source(str(tmp_path)).frame()


def test_file_cut_within_quotes_says_what_to_do(tmp_path, monkeypatch):
    text = "i,s\n" + "".join(f'{n},"two\nlines"\n' for n in range(50))
    (tmp_path / "a.csv").write_text(text)
    assert len(lazy(tmp_path / "a.csv", monkeypatch).compute(scheduler="synchronous")) == 50
    with pytest.raises(ValueError, match=r"a\.csv .* a line break within quotes may be the cause"):
        lazy(tmp_path / "a.csv", monkeypatch, 100)


def test_archive_of_several_files_is_refused(tmp_path):
    """Only the first had been read, and the rows of the others were missing in silence."""
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as archive:
        archive.writestr("one.csv", "x,y\n1,2\n")
    assert open_source(str(tmp_path / "a.csv.zip")).columns == ("x", "y")
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "a") as archive:
        archive.writestr("two.csv", "x,y\n1,2\n")
    with pytest.raises(ValueError, match=r"a\.csv\.zip holds 2 files"):
        open_source(str(tmp_path / "a.csv.zip"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *(
            (text, rf".* separated by {re.escape(repr(separator))}, .*give --delimiter")
            for separator, text in [
                (";", "a;b;z\n1,5;2;0\n"),
                (";", "a, in m;b;z\n1,5;2;0\n"),
                ("\t", "a\tb\tz\n1\t2\t0\n"),
                ("|", "a|b|z\n1|2|0\n"),
            ]
        ),
        ("a;b,c,z\n1,2,0\n", ".* its columns are: a;b, c, z$"),  # no separator
    ],
)
def test_another_separator_is_named(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=r"no column 'y' \(given as target\)" + message):
        prepare(JobSpec(str(tmp_path / "t.csv"), "y"))


@pytest.mark.parametrize(("encoding", "likely"), [("latin-1", "LATIN1"), ("utf-16", "UTF-16")])
@pytest.mark.parametrize("where", ["header", "rows"])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_text_that_is_not_utf8_is_named(tmp_path, encoding, likely, where, ending):
    column, value = ("größe", "a") if where == "header" else ("size", "Köln")
    file = tmp_path / f"t{ending}"
    rows = f"{column},y\n" + "a,0\n" * 5000 + f"{value},1\n"
    data = rows.encode(encoding)
    file.write_bytes(gzip.compress(data) if ending == ".csv.gz" else data)
    told = f"--encoding {likely} "
    said = rf"t\{ending} is not UTF-8 text \(it has the byte 0x.*give its encoding, such as {told}"
    with pytest.raises(ValueError, match=said):
        open_source(str(file)).frame()


WRITTEN = {
    "delimiter": ({"sep": ";"}, {"delimiter": ";"}),
    "tab": ({"sep": "\t"}, {"delimiter": "\t"}),
    "decimal": ({"sep": ";", "decimal": ","}, {"delimiter": ";", "decimal": ","}),
    "latin-1": ({"encoding": "latin-1"}, {"encoding": "latin-1"}),
    "utf-16": ({"encoding": "utf-16"}, {"encoding": "utf-16"}),
    "byte order mark": ({"encoding": "utf-8-sig"}, {"encoding": "utf-8-sig"}),
    "line breaks": ({}, {"quoted_newlines": True}),
}


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
@pytest.mark.parametrize("kind", WRITTEN)
def test_rows_are_those_that_were_written(kind, ending, tmp_path, monkeypatch):
    """However a file is written, and wherever it is cut."""
    monkeypatch.setattr("dsmote.job.sources.BLOCK_BYTES", 600)
    written, told = WRITTEN[kind]
    texts = ["größe", "a\nb\n\nc", "d"] if kind == "line breaks" else ["größe", "ü", "d"]
    frame = pd.DataFrame({"ö": np.arange(120) / 4, "n": np.arange(120) - 2, "text": texts * 40})
    frame.to_csv(tmp_path / f"t{ending}", index=False, **written)
    job = JobSpec(str(tmp_path / f"t{ending}"), "n", csv=told)
    source = open_source(job.input, reading=job.reading)
    cut = ending == ".csv" and kind not in ("utf-16", "byte order mark", "line breaks")
    assert (len(source.partitions) > 1) == cut
    pd.testing.assert_frame_equal(source.frame().compute().reset_index(drop=True), frame)


def test_options_of_csv_reach_the_job_and_its_verification(tmp_path):
    frame = pd.DataFrame({"x": np.arange(60) / 8, "y": (np.arange(60) % 5 == 0).astype(int)})
    frame.to_csv(tmp_path / "t.csv", index=False, sep=";", decimal=",")
    told = {"delimiter": ";", "decimal": ","}
    job = JobSpec(str(tmp_path / "t.csv"), "y", output=str(tmp_path / "out"), csv=told)
    assert write_job(prepare(job)).manifest["job"]["csv"] == told
    assert {check.passed for check in verify(str(tmp_path / "out")).checks} == {True, None}
    assert pd.read_parquet(tmp_path / "out")["x"].isin(frame["x"]).sum() >= 60


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"delimiter": ";;"}, "csv.delimiter: "),
        ({"encoding": "nope"}, "csv.encoding: there is no encoding 'nope'"),
        ({"seperator": ";"}, "csv.seperator: there is no such key"),
    ],
)
def test_options_of_csv_that_cannot_be(told, message):
    with pytest.raises(ValueError, match=message):
        JobSpec("t.csv", "y", csv=told)
