from datetime import datetime, timedelta
from decimal import Decimal

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from dsmote.job import run_job
from dsmote.job.outputs import Outputs
from dsmote.job.runner import Threads
from dsmote.job.sources import open_source
from dsmote.job.spec import JobSpec
from dsmote.plan import Limit, MemoryLimitError
from dsmote.plan.memory import PROCESS_BYTES, reading_bytes


def read_all(path):
    frame = open_source(str(path)).frame()
    return frame.compute(scheduler="synchronous").reset_index(drop=True)


def write(folder, *frames):
    folder.mkdir(exist_ok=True)
    for number, frame in enumerate(frames):
        frame.to_parquet(folder / f"{number}.parquet", index=False)
    return folder


def test_reads_as_pandas_does(mixed, monkeypatch):
    """With the same dtypes in every partition, and of each file no more than is asked for."""
    whole = pd.concat([pd.read_parquet(file) for file in sorted(mixed.iterdir())])
    pd.testing.assert_frame_equal(read_all(mixed), whole.reset_index(drop=True))
    frame = open_source(str(mixed)).frame()
    assert not frame["cat"].cat.known
    parts = dask.compute(*frame.to_delayed(optimize_graph=False), scheduler="synchronous")
    assert len(parts) == 3
    for part in parts:
        assert part.drop(columns="cat").dtypes.equals(frame._meta.drop(columns="cat").dtypes)
    asked = []
    original = pq.ParquetFile.read_row_groups

    def spy(self, groups, columns, **options):
        asked.append(columns)
        return original(self, groups, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", spy)
    frame[["y"]].compute(scheduler="synchronous")
    assert asked == [["y"]] * 3


def all_kinds(n):
    rng = np.random.default_rng(0)
    whole = pd.array(rng.integers(0, 2**62, n), dtype="Int64")
    whole[::7] = pd.NA
    return pd.DataFrame(
        {
            "single": rng.normal(size=n).astype("f4"),
            "double": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "whole": whole,
            "flag": rng.random(n) < 0.5,
            "text": [f"text {i}" if i % 9 else None for i in range(n)],
            "level": pd.Categorical.from_codes(rng.integers(-1, 3, n), ["b", "a", "c"]),
            "ordered": pd.Categorical.from_codes(rng.integers(0, 3, n), ["b", "a", "c"], True),
            "when": pd.date_range("2026-01-01", periods=n, freq="s").tz_localize("UTC"),
            "price": pd.array(
                [Decimal(i).scaleb(-2) for i in range(n)], dtype=pd.ArrowDtype(pa.decimal128(9, 2))
            ),
            "y": (rng.random(n) < 0.2).astype("i1"),
        }
    )


@pytest.mark.parametrize(
    ("rows", "group", "sizes"),
    [
        (1_000, 100, [300, 300, 300, 100]),  # none is cut
        (1_000, 400, [200, 200, 200, 200, 200]),  # the last has 200
        (700, 350, [175] * 4),
        (301, 301, [151, 150]),
        (350, 100, [300, 50]),
        (1_000, 1_000, [250] * 4),
        (6_000, 6_000, [375] * 16),  # few cuts: those before one are decoded on the way to it
    ],
)
def test_whole_row_groups_go_together_and_large_ones_are_cut(
    tmp_path, rows, group, sizes, monkeypatch
):
    monkeypatch.setattr("dsmote.job.sources.PIECE_ROWS", 300)
    monkeypatch.setattr("dsmote.job.sources.TOGETHER_BYTES", 3_000)
    frame = all_kinds(rows)
    frame.to_parquet(tmp_path / "a.parquet", index=False, row_group_size=group)
    source = open_source(str(tmp_path / "a.parquet"))
    lazy = source.frame()
    assert lazy.map_partitions(len).compute(scheduler="synchronous").tolist() == sizes
    assert list(source.partition_rows or ()) == sizes
    pd.testing.assert_frame_equal(read_all(tmp_path / "a.parquet"), frame)
    some = lazy[["y", "level"]].compute(scheduler="synchronous").reset_index(drop=True)
    pd.testing.assert_frame_equal(some, frame[["y", "level"]])


def test_what_cannot_be_read_is_refused_before_anything_is(tmp_path, monkeypatch):
    frame = pd.DataFrame(np.zeros((4_000, 50), dtype="f4")).add_prefix("x").assign(y=0)
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    source = open_source(str(tmp_path / "a.parquet"))
    size = source.largest_partition
    assert size >= 4_000 * 50 * 4
    needed = PROCESS_BYTES + reading_bytes(size, 2, 51)

    def planned(limit):
        tight = Limit(limit, 2, "the memory limit of a worker")
        monkeypatch.setattr("dsmote.job.outputs.memory_limit", lambda **_: tight)
        monkeypatch.setattr(Threads, "process_bytes", lambda _: PROCESS_BYTES)
        monkeypatch.setattr(type(source), "frame", not_read)
        Outputs(JobSpec(str(tmp_path), target="y"), source, Threads())

    def not_read(*_):
        raise RuntimeError("it was read")

    with pytest.raises(MemoryLimitError, match=r"with smaller row groups") as refused:
        planned(needed * 5 // 4 - 2)
    assert f"{needed:,} bytes" in str(refused.value)
    assert f"{(needed * 5 // 4 - 2) * 4 // 5:,} bytes" in str(refused.value)
    with pytest.raises(RuntimeError, match="it was read"):
        planned(-(-needed * 5 // 4))


def test_whole_numbers_with_gaps_stay_exact(tmp_path):
    frame = pd.DataFrame({"n": [2**53 + 1, 2], "b": [True, False], "m": [1, 2]})
    gaps = frame.astype({"n": "Int64", "b": "boolean"})
    gaps.loc[0, ["n", "b"]] = pd.NA
    found = read_all(write(tmp_path / "t", frame, gaps))
    assert found.dtypes.astype(str).to_dict() == {"n": "Int64", "b": "boolean", "m": "int64"}
    assert found["n"].tolist() == [2**53 + 1, 2, pd.NA, 2]


def test_named_index_is_a_column_and_nameless_one_is_dropped(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=pd.Index([7, 9], name="key"))
    frame.to_parquet(tmp_path / "named.parquet")
    assert open_source(str(tmp_path / "named.parquet")).columns == ("x", "key")
    assert read_all(tmp_path / "named.parquet")["key"].tolist() == [7, 9]
    frame.rename_axis(None).to_parquet(tmp_path / "nameless.parquet")
    assert open_source(str(tmp_path / "nameless.parquet")).columns == ("x",)
    assert read_all(tmp_path / "nameless.parquet").index.tolist() == [0, 1]


def test_order_of_columns_may_differ_and_a_file_may_lack_rows_or_all_values(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2.0], "s": [None, "u"], "n": [1, 2]})
    folder = write(tmp_path / "t", frame.iloc[:0], frame.iloc[:1], frame.iloc[1:][["s", "n", "x"]])
    found = read_all(folder)
    assert str(found["s"].dtype) == "str"
    pd.testing.assert_frame_equal(found, frame.astype({"s": "str"}))


def file_of(content):
    if isinstance(content, bytes):
        return content
    table = (
        content if isinstance(content, pa.Table) else pa.Table.from_pandas(pd.DataFrame(content))
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


WHOLE = file_of({"x": np.random.default_rng(0).normal(size=5000), "s": ["u"] * 5000})
NO_PARQUET = r"1\.parquet is corrupt or not a Parquet file"


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (b"PAR1 is no Parquet file PAR1", NO_PARQUET),
        (WHOLE[: len(WHOLE) // 2], NO_PARQUET),
        (b"", NO_PARQUET),
        (WHOLE[:4] + b"\xff" * 1996 + WHOLE[2000:], r"1\.parquet is corrupt: "),
        ({"x": [1.0]}, r"1\.parquet does not have the columns of .*0\.parquet: lacking \['s'\]"),
        ({"x": [1.0], "s": ["u"], "z": [1]}, r"additional \['z'\]"),
        (
            {"x": [True], "s": ["u"]},
            r"column .x. is bool in .*1\.parquet but double in .*0\.parquet .*: cast it in one",
        ),
        ({"x": [1.0], "s": [1]}, r"column .s. is int64 in .*1\.parquet but .*string in .*: cast"),
        ({"x": [1.0], "s": [b"u"]}, r"column .s. is binary in .*1\.parquet but .*string in"),
        ({"x": pd.Categorical([1.0]), "s": ["u"]}, r"column .x. is categorical in some files"),
        (
            {"x": [Decimal("1.5")], "s": ["u"]},
            r"column .x. is decimal128.* in .*1\.parquet but double",
        ),
        (
            {"x": [2**53 + 1], "s": ["u"]},
            r"column 'x' of .*1\.parquet is int64, double in other files, and holds a value that",
        ),
        (
            {"x": [1.0], "s": [[1, 2]], "point": [{"a": 1}]},
            r"1\.parquet has nested columns.*'s': 'list.*'point': 'struct",
        ),
        (
            pa.table([[1.0], [2.0], ["u"]], names=["x", "x", "s"]),
            r"1\.parquet has more than one column of the name \['x'\]",
        ),
    ],
)
def test_file_that_is_damaged_or_unlike_the_others_is_named(tmp_path, second, message):
    (tmp_path / "0.parquet").write_bytes(file_of({"x": [0.5], "s": ["u"]}))
    (tmp_path / "1.parquet").write_bytes(file_of(second))
    with pytest.raises(ValueError, match=message):
        read_all(tmp_path)


MOMENT = datetime(2026, 1, 2)
#: Types of a column in two files, values, and the type that holds both.
WIDENED = {
    "ints": (pa.int32(), pa.int64(), [1, 2], pa.int64()),
    "int and float": (pa.int32(), pa.float64(), [1, 2], pa.float64()),
    "floats": (pa.float32(), pa.float64(), [0.5, 1], pa.float64()),
    "timestamps": (pa.timestamp("us"), pa.timestamp("ns"), [MOMENT] * 2, pa.timestamp("ns")),
    "durations": (pa.duration("s"), pa.duration("us"), [timedelta(1)] * 2, pa.duration("us")),
    "text": (pa.string(), pa.large_string(), ["a", "b"], pa.large_string()),
    "bytes": (pa.binary(), pa.large_binary(), [b"a", b"b"], pa.large_binary()),
    "codes": (
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int16(), pa.large_string()),
        ["a", "b"],
        pa.dictionary(pa.int32(), pa.string()),  # which Parquet makes of either
    ),
    "decimals": (
        pa.decimal128(4, 2),
        pa.decimal128(9, 3),
        [Decimal("1.25"), Decimal("2.5")],
        pa.decimal128(9, 3),
    ),
    "missing": (pa.null(), pa.int64(), [None, 2], pa.int64()),
    "missing bools": (pa.null(), pa.bool_(), [None, True], pa.bool_()),
    "missing codes": (
        pa.null(),
        pa.dictionary(pa.int8(), pa.string()),
        [None, "a"],
        pa.dictionary(pa.int32(), pa.string()),
    ),
}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("name", WIDENED)
def test_types_of_different_width_are_widened(tmp_path, name, swapped, shared, monkeypatch):
    if shared:
        monkeypatch.setattr("dsmote.job.sources.FEWEST", 1)
    one, other, values, common = WIDENED[name]
    columns = [pa.array([values[0]] * 3, one), pa.array([values[1]] * 3, other)]
    for number, column in enumerate(columns[::-1] if swapped else columns):
        pq.write_table(pa.table({"c": column}), tmp_path / f"{number}.parquet")
    source = open_source(str(tmp_path))
    assert source.schema.field("c").type == common
    parts = dask.compute(*source.frame()["c"].to_delayed(), scheduler="synchronous")
    assert len(parts) == (1 if shared else 2)
    expected = [value for value in values for _ in range(3)]
    expected = expected[::-1] if swapped else expected
    assert [None if pd.isna(v) else v for part in parts for v in part] == expected
    if pa.types.is_integer(common) and None in values:
        # Not floats, which cannot hold all whole numbers.
        assert {str(part.dtype) for part in parts} == {"Int64"}


@pytest.mark.parametrize("fewest", [1, 16])
@pytest.mark.parametrize(
    "values", [[101, 205], [0.5, 1.5], [True, False], pd.to_datetime(["2020", "2021"])]
)
def test_categories_of_any_kind_stay_categories(tmp_path, values, fewest, monkeypatch):
    """Parquet keeps codes of text only; pandas says in its metadata what the others were."""
    monkeypatch.setattr("dsmote.job.sources.FEWEST", fewest)  # in one partition, or in two
    categories = pd.DataFrame({"c": pd.Categorical(values), "x": [0.0, 1.0]})
    other = pd.DataFrame({"c": pd.Categorical(values[::-1], values[::-1]), "x": [0.0, 1.0]})
    folder = write(tmp_path / "t", categories, other)
    found = read_all(folder)["c"]
    assert isinstance(found.dtype, pd.CategoricalDtype)
    assert found.tolist() == [*categories["c"], *other["c"]]
    frame = open_source(str(folder)).frame()
    assert isinstance(frame["c"].dtype, pd.CategoricalDtype)


def test_file_that_may_not_be_read_or_vanished_is_named(mixed, monkeypatch):
    def refuse(self, path, mode="rb", **options):
        raise PermissionError(13, "Permission denied")

    frame = open_source(str(mixed)).frame()
    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "open", refuse)
        with pytest.raises(PermissionError, match=r"no permission to read .*0\.parquet"):
            open_source(str(mixed))
    (mixed / "0.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"cannot read .*0\.parquet"):
        frame.compute(scheduler="synchronous")


def test_required_columns_may_be_missing_in_new_rows(tmp_path):
    """A field that cannot be null in the input can be in the output: a passthrough column is."""
    kinds = {"x": pa.float64(), "id": pa.int64(), "y": pa.string()}
    schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])
    columns = {"x": np.arange(60.0), "id": np.arange(60), "y": ["a"] * 50 + ["b"] * 10}
    pq.write_table(pa.table(columns, schema=schema), tmp_path / "in.parquet")
    job = {"input": str(tmp_path / "in.parquet"), "output": str(tmp_path / "out"), "target": "y"}
    run_job(job | {"sampler": "smote", "params": {"carry": ["id"], "random_state": 0}})
    made = pd.read_parquet(tmp_path / "out")
    assert (len(made), made["id"].isna().sum()) == (100, 40)
