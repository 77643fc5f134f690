import gzip
import re
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from distributed import Client

from dsmote.job import JobSpec, prepare
from dsmote.job.sources import open_source


def test_reads_as_pandas_does_in_blocks(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame(
        {"i": range(500), "f": [n / 7 for n in range(500)], "s": [f"word {n}" for n in range(500)]}
    )
    frame["gap"] = [1.0, None] * 250
    frame["b"] = [True, False] * 250
    frame.to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.setattr("dsmote.job.sources.BLOCK_BYTES", 4000)
    lazy = open_source(str(tmp_path / "a.csv")).frame()
    assert lazy.npartitions > 3
    got = lazy.compute().reset_index(drop=True)
    pd.testing.assert_frame_equal(got, pd.read_csv(tmp_path / "a.csv"))
    assert lazy[["s", "i"]].compute().columns.tolist() == ["s", "i"]


def test_dtype_holds_for_all_rows(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{n},{n},{n}" for n in range(1000)]
    rows[900], rows[950], rows[980] = "900,0.5,900", "950,950,word", ",980,980"
    (tmp_path / "a.csv").write_text("gap,fraction,word\n" + "\n".join(rows) + "\n")
    monkeypatch.setattr("dsmote.job.sources.BLOCK_BYTES", 1000)
    lazy = open_source(str(tmp_path / "a.csv")).frame()
    assert lazy.dtypes.astype(str).tolist() == ["float64", "float64", "str"]
    pd.testing.assert_frame_equal(
        lazy.compute().reset_index(drop=True), pd.read_csv(tmp_path / "a.csv", dtype={"word": str})
    )


def test_compressed_file_is_one_block(tmp_path: Path, client: Client) -> None:
    with gzip.open(tmp_path / "a.csv.gz", "wt") as handle:
        handle.write("x,y\n1,a\n2,b\n")
    frame = open_source(str(tmp_path / "a.csv.gz")).frame()
    assert frame.npartitions == 1
    assert frame.compute()["x"].tolist() == [1, 2]


LARGE = 2**53 + 1


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
def test_dtypes_of_a_column_hold_for_all_files(
    tmp_path: Path, client: Client, blocks: list[str], dtype: str
) -> None:
    for number, rows in enumerate(blocks):
        lines = [f"{row.strip(',')},0" for row in rows.split("|") if row]
        (tmp_path / f"{number}.csv").write_text("\n".join(["x,y", *lines]) + "\n")
    frame = open_source(str(tmp_path)).frame()
    assert str(frame.dtypes["x"]) == dtype
    got = frame.compute()["x"]
    assert str(got.dtype) == dtype
    if dtype in ("int64", "Int64"):
        known = [row for rows in blocks for row in rows.split("|") if row.strip(",")]
        assert got.dropna().tolist() == list(map(int, known))


def test_header_that_differs_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    with pytest.raises(ValueError, match=r"b\.csv does not have the columns of .*a\.csv"):
        open_source(str(tmp_path))


def test_duplicate_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,x,y\n1,2,3\n")
    with pytest.raises(ValueError, match=r"more than one column of the name \['x'\]"):
        open_source(str(tmp_path / "a.csv"))


def test_file_that_is_no_csv_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.csv cannot be read as CSV"):
        open_source(str(tmp_path / "a.csv"))


@pytest.mark.parametrize("row", ["1,2,3", "1,2,3,4"])
def test_row_with_too_many_fields_is_an_error(tmp_path: Path, client: Client, row: str) -> None:
    (tmp_path / "a.csv").write_text(f"x,y\n1,2\n{row}\n")
    with pytest.raises(ValueError, match=r"a\.csv cannot be read as CSV"):
        open_source(str(tmp_path / "a.csv")).frame()


def test_broken_compression_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(b"not gzip")
    with pytest.raises((ValueError, OSError), match=r"a\.csv\.gz"):
        open_source(str(tmp_path / "a.csv.gz"))


def test_file_cut_within_quotes_says_what_to_do(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "i,s\n" + "".join(f'{n},"two\nlines"\n' for n in range(50))
    (tmp_path / "a.csv").write_text(text)
    assert len(open_source(str(tmp_path / "a.csv")).frame().compute()) == 50
    monkeypatch.setattr("dsmote.job.sources.BLOCK_BYTES", 100)
    with pytest.raises(ValueError, match=r"a\.csv .* a line break within quotes may be the cause"):
        open_source(str(tmp_path / "a.csv")).frame()


def test_large_whole_numbers_with_gaps_stay_exact(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As floats, which pandas makes of them, two ids could become one."""
    large = 2**53 + 1
    rows = [f"{large + n},{n},1.5e300" for n in range(60)]
    rows[3], rows[50] = ",,", f"{large},3,"
    (tmp_path / "a.csv").write_text("id,n,f\n" + "\n".join(rows) + "\n")
    monkeypatch.setattr("dsmote.job.sources.BLOCK_BYTES", 600)
    got = open_source(str(tmp_path / "a.csv")).frame().compute()
    assert got.dtypes.astype(str).tolist() == ["Int64", "float64", "float64"]
    assert got["id"].dropna().tolist() == [int(i) for row in rows if (i := row.split(",")[0])]


def test_archive_of_several_files_is_refused(tmp_path: Path) -> None:
    """Only the first had been read, and the rows of the others were missing in silence."""
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as archive:
        archive.writestr("one.csv", "x,y\n1,2\n")
    assert open_source(str(tmp_path / "a.csv.zip")).columns == ("x", "y")
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "a") as archive:
        archive.writestr("two.csv", "x,y\n1,2\n")
    with pytest.raises(ValueError, match=r"a\.csv\.zip holds 2 files"):
        open_source(str(tmp_path / "a.csv.zip"))


@pytest.mark.parametrize(
    ("separator", "text"),
    [
        (";", "a;b;y\n1,5;2;0\n"),
        (";", "a, in m;b;y\n1,5;2;0\n"),
        ("\t", "a\tb\ty\n1\t2\t0\n"),
        ("|", "a|b|y\n1|2|0\n"),
    ],
)
def test_another_separator_is_named(tmp_path: Path, separator: str, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    spec = JobSpec(str(tmp_path / "t.csv"), "y")
    said = (
        rf"no column 'y' \(given as target\) .* separated by {re.escape(repr(separator))}, .*sep="
    )
    with pytest.raises(ValueError, match=said):
        prepare(spec)


def test_a_column_that_is_not_there_is_no_separator(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a;b,c,y\n1,2,0\n")
    with pytest.raises(ValueError, match=r"no column 'z' .* its columns are: a;b, c, y$"):
        prepare(JobSpec(str(tmp_path / "t.csv"), "z"))


@pytest.mark.parametrize(
    ("encoding", "likely"), [("latin-1", "LATIN1"), ("cp1252", "LATIN1"), ("utf-16", "UTF-16")]
)
@pytest.mark.parametrize("where", ["header", "rows"])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_text_that_is_not_utf8_is_named(
    tmp_path: Path, client: Client, encoding: str, likely: str, where: str, ending: str
) -> None:
    column, value = ("größe", "a") if where == "header" else ("size", "Köln")
    file = tmp_path / f"t{ending}"
    rows = f"{column},y\n" + "a,0\n" * 5000 + f"{value},1\n"
    data = rows.encode(encoding)
    file.write_bytes(gzip.compress(data) if ending == ".csv.gz" else data)
    said = rf"t\{ending} is not UTF-8 text \(it has the byte 0x.*iconv -f {likely} -t UTF-8"
    with pytest.raises(ValueError, match=said):
        open_source(str(file)).frame()
