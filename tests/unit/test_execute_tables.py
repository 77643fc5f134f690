"""Which kind of table it is."""

import dask.bag
import numpy as np
import pandas as pd
import pytest

from dsmote.execute import read_frame, read_pair
from dsmote.execute.dask_table import DaskTable
from dsmote.execute.memory_table import MemoryTable
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
