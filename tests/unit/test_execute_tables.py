"""Which kind of table it is."""

import dask.bag
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from dsmote.execute import read_frame, read_pair
from dsmote.execute.dask_table import DaskTable
from dsmote.execute.tables import MemoryTable
from dsmote.samplers.registry import make_sampler, samplers
from tests.tables import dask_array, dask_frame, numbers

TABLE = numbers(20, 8)
X, Y = TABLE.drop(columns="y"), TABLE["y"]


@pytest.mark.parametrize(
    "pair",
    [
        (X, Y),
        (X, Y.to_numpy()),
        (X.to_numpy(), Y),
        (X.to_numpy().tolist(), Y.tolist()),
        (X, Y.tolist()),
    ],
    ids=["pandas", "frame and array", "array and series", "lists", "frame and list"],
)
def test_in_memory(pair):
    table = read_pair(*pair)
    assert isinstance(table, MemoryTable)
    assert not table.lazy
    assert table.npartitions == 1
    assert len(table.names) == 3


def test_on_dask():
    for pair in (
        (dask_frame(X, [10, 10]), dask_frame(Y, [10, 10])),
        (dask_array(X.to_numpy(), [10, 10]), dask_array(Y.to_numpy(), [10, 10])),
    ):
        table = read_pair(*pair)
        assert isinstance(table, DaskTable)
        assert table.lazy
        assert table.npartitions == 2
    assert isinstance(read_frame(dask_frame(TABLE, [20]), "y"), DaskTable)
    assert isinstance(read_frame(TABLE, "y"), MemoryTable)


@pytest.mark.parametrize("frame", [np.zeros((3, 2)), [[1, 2]], "file.csv", None, Y])
def test_what_is_no_frame(frame):
    with pytest.raises((TypeError, ValueError), match=r"DataFrame"):
        read_frame(frame, "y")


def test_bags_and_delayed_objects():
    bag = dask.bag.from_sequence([1, 2], npartitions=2)
    with pytest.raises(TypeError, match="to_dataframe"):
        read_pair(bag, dask_frame(Y, [10, 10]))
    with pytest.raises(TypeError, match="y must be a Dask Series or Array, but is a Bag"):
        read_pair(dask_frame(X, [10, 10]), bag)


def test_column_labels_of_any_kind():
    frame = pd.DataFrame(np.arange(20.0).reshape(10, 2), columns=[0, ("a", 1)])
    assert read_pair(frame, Y[:10]).names == [0, ("a", 1)]


class _ArrayLike:
    """What NumPy can make an array of, such as a frame of xarray or a tensor."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)


OTHERS = {
    "polars": (pl.from_pandas, r"pass (X|y|frame|sample_weight)\.to_pandas\(\)"),
    "arrow": (
        lambda of: (
            pa.Table.from_pandas(of) if isinstance(of, pd.DataFrame) else pa.chunked_array([of])
        ),
        r"pass (X|y|frame|sample_weight)\.to_pandas\(\)",
    ),
    "dict": (
        lambda of: of.to_dict(),
        r"is a dict; .*pass pandas\.DataFrame\((X|y|frame|sample_weight)\)",
    ),
    "array-like": (_ArrayLike, r"pass numpy\.asarray\((X|y|frame|sample_weight)\)"),
}


@pytest.mark.parametrize("name", samplers())
@pytest.mark.parametrize("kind", OTHERS)
def test_other_containers_are_refused_with_the_remedy(name, kind):
    sampler = make_sampler(name, random_state=0)
    make, remedy = OTHERS[kind]
    with pytest.raises(TypeError, match=remedy):
        sampler.fit_resample(make(X), Y)
    with pytest.raises(TypeError, match=remedy):
        sampler.fit_resample(X, make(Y))
    with pytest.raises(TypeError, match=remedy):
        sampler.fit_resample(X, Y, sample_weight=make(Y))
    with pytest.raises(TypeError, match=f"{remedy}|take a pandas or Dask DataFrame"):
        sampler.resample(make(TABLE), target="y")
    with pytest.raises(TypeError, match=remedy):
        sampler.plan(make(X), Y)
