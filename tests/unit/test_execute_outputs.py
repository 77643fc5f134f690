"""From tasks to collections of the input's kinds."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dsmote.execute.dask_table import as_dtype, beside_like, collect, label_block, target_like
from dsmote.plan import Block
from dsmote.plan.profile import TARGET
from tests.tables import dask_array, dask_frame

BLOCK = Block("b", 1, 0, 3, 0)
UNKNOWN = pd.CategoricalDtype()


def series(values, **how):
    return dask_frame(pd.Series(values, **how), [len(values)])


def test_arrays_are_collected_with_their_chunks():
    like = dask_array(np.zeros((3, 2)), [2, 1])
    tasks = {"p": (np.ones, (2, 2)), "q": (np.ones, (1, 2)), "r": (np.zeros, (4, 2))}
    made = collect(like, tasks, ["p", "q", "r"], "made", [2, 1, 4])
    assert isinstance(made, da.Array)
    assert made.chunks == ((2, 1, 4), (2,))
    assert made.compute(scheduler="synchronous").sum() == 6


def test_frames_are_collected_in_order():
    parts = [pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"a": [3.0]})]
    tasks = {name: (parts.__getitem__, i) for i, name in enumerate("pq")}
    made = collect(parts[0].iloc[:0], tasks, ["q", "p"], "made", ())
    assert isinstance(made, dd.DataFrame)
    assert made.compute(scheduler="synchronous")["a"].tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("i4", "f8"), ("bool", "f8"), ("f4", "f4"), ("f8", "f8"), ("Int64", "f8"), ("u1", "f8")],
)
def test_whole_weights_become_floats_and_groups_stay(dtype, expected):
    values = series([1, 0, 1], dtype=dtype)
    like, found = beside_like(values, "sample_weight")
    assert found == np.dtype(expected)
    assert like.dtype == found
    assert beside_like(values, "groups")[1] == values.dtype


@pytest.mark.parametrize("dtype", ["i4", "f4"])
def test_weights_in_arrays(dtype):
    like, found = beside_like(dask_array(np.ones(3, dtype), [2, 1]), "sample_weight")
    assert isinstance(like, da.Array)
    assert like.dtype == found == {"i4": np.float64, "f4": np.float32}[dtype]


def test_groups_of_unknown_categories_keep_those_of_each_partition():
    values = series(["p", "q"], dtype="category").cat.as_unknown()
    like, dtype = beside_like(values, "groups")
    assert isinstance(like.dtype, pd.CategoricalDtype)
    part = as_dtype(pd.Series(["r", None], dtype="category"), dtype=dtype, array=False, like="g")
    assert part.tolist()[0] == "r"
    assert part.isna().tolist() == [False, True]
    assert as_dtype(np.array(["p", "s"]), dtype=dtype, array=False).tolist() == ["p", "s"]


def test_groups_of_other_categories_than_declared_are_not_lost():
    _, dtype = beside_like(series(["p", "q"], dtype="category"), "groups")
    fine = as_dtype(pd.Series(["q", None], dtype="category"), dtype=dtype, array=False)
    assert fine.dtype == dtype
    assert fine.isna().tolist() == [False, True]
    with pytest.raises(ValueError, match=r"groups holds 'r', which .* groups\.cat\.as_unknown\(\)"):
        as_dtype(pd.Series(["q", "r"], dtype="category"), dtype=dtype, array=False)


def test_parts_get_the_name_and_dtype_of_the_output():
    part = as_dtype(np.array([1, 2]), dtype=np.dtype("f8"), array=False, like="w")
    assert part.name == "w"
    assert part.dtype == np.float64
    assert as_dtype(pd.Series([1]), dtype=np.dtype("f8"), array=True).dtype == np.float64


@pytest.mark.parametrize("column", [False, True])
def test_labels_of_new_rows(column):
    like = pd.Series([], dtype="str", name="y", index=pd.Index([], dtype="i8"))
    made = label_block(
        block=BLOCK, first=7, like=like.to_frame() if column else like, column=column
    )
    assert isinstance(made, pd.DataFrame if column else pd.Series)
    assert made.index.tolist() == [7, 8, 9]
    assert np.ravel(made).tolist() == ["b"] * 3
    shape = (3, 1) if column else (3,)
    array = label_block(block=BLOCK, first=7, like=np.empty(0, dtype="U1"), column=column)
    assert array.shape == shape
    assert (array == "b").all()


def test_labels_that_are_categories():
    like = pd.Series([], dtype=pd.CategoricalDtype(["b", "a"], ordered=True))
    made = label_block(block=BLOCK, first=0, like=like, column=False)
    assert made.dtype == like.dtype


def test_categories_of_the_target_must_be_known():
    y = series(["p", "q"], dtype="category", name="y").cat.as_unknown()
    with pytest.raises(ValueError, match=r"categories of the target 'y' are not known"):
        target_like(y, {})
    known = pd.CategoricalDtype(["p", "q"])
    assert target_like(y, {TARGET: known}).dtype == known
    assert target_like(series([1, 2]), {}).dtype == np.int64
    assert target_like(dask_array(np.ones(3, "i2"), [3]), {}).dtype == np.int16
