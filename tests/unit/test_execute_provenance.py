"""The columns that say where rows came from."""

import numpy as np
import pandas as pd
import pytest

from dsmote.execute.generate import came_from, check_free, empty_provenance, of_originals
from dsmote.execute.recipe import Made
from dsmote.execute.rows import Rows
from dsmote.plan import make_schema

SCHEMA = make_schema(
    ["a", "id", "kind"],
    [np.dtype("f8"), pd.Int64Dtype(), pd.CategoricalDtype(["u", "v"])],
    carry=["id", "kind"],
)
FULL = [
    "synthetic",
    "base_row",
    "neighbour_row",
    "gap",
    "id_base",
    "id_neighbour",
    "kind_base",
    "kind_neighbour",
]
ROWS = Rows(
    np.zeros((3, 1)),
    {},
    np.empty((3, 0), np.int32),
    (),
    {},
    np.array([4, 7, 9]),
    beside=pd.DataFrame({"id": [40, 70, 90], "kind": pd.Categorical(["u", None, "v"])}),
)


def made(bases, toward=None, gaps=None):
    n = len(bases)
    bases = np.array(bases)
    empty = np.empty((n, 0), np.int32)
    return Made(
        np.zeros((n, 1)),
        {},
        empty,
        bases,
        None if toward is None else np.array(toward),
        None if gaps is None else np.array(gaps),
    )


def came(of, kind="full"):
    index = pd.RangeIndex(100, 100 + len(of.bases))
    return came_from(ROWS, of, kind, SCHEMA, index)


def test_parents_and_their_carried_values():
    found = came(made([0, 2], [7, 4], [0.25, -0.5]))
    assert list(found.columns) == FULL
    assert found.index.tolist() == [100, 101]
    assert found["synthetic"].all()
    assert found["base_row"].tolist() == [4, 9]
    assert found["neighbour_row"].tolist() == [7, 4]
    assert found["gap"].tolist() == [0.25, -0.5]
    assert found["id_base"].tolist() == [40, 90]
    assert found["id_neighbour"].tolist() == [70, 40]
    assert found["kind_base"].tolist() == ["u", "v"]
    assert pd.isna(found["kind_neighbour"].iloc[0])
    assert found["kind_neighbour"].iloc[1] == "u"


def test_a_neighbour_of_another_class_is_known_by_its_number_only():
    found = came(made([0, 1, 2], [5, 9, 1_000], [0.1, 0.2, 0.3]))
    assert found["neighbour_row"].tolist() == [5, 9, 1_000]
    assert found["id_neighbour"].isna().tolist() == [True, False, True]
    assert found["id_neighbour"].iloc[1] == 90
    assert found["id_base"].tolist() == [40, 70, 90]


def test_copies_have_no_neighbour_and_no_gap():
    found = came(made([1, 1]))
    assert found["base_row"].tolist() == [7, 7]
    assert found[["neighbour_row", "gap", "id_neighbour", "kind_neighbour"]].isna().all(axis=None)


@pytest.mark.parametrize("kind", ["flag", "full"])
def test_originals_and_new_rows_have_the_same_columns_and_dtypes(kind):
    new = came(made([0, 2], [7, 4], [0.25, 0.5]), kind)
    old = of_originals(pd.Index(["x", "y"]), kind, SCHEMA)
    empty = empty_provenance(kind, SCHEMA)
    assert list(old.columns) == (FULL if kind == "full" else ["synthetic"])
    assert new.dtypes.equals(old.dtypes)
    assert new.dtypes.equals(empty.dtypes)
    assert old.index.tolist() == ["x", "y"]
    assert not old["synthetic"].any()
    assert old.drop(columns="synthetic").isna().all(axis=None)
    assert not len(empty)


@pytest.mark.parametrize("name", FULL)
def test_a_column_of_the_table_is_not_overwritten(name):
    check_free(["a", "id", "kind"], "full", SCHEMA)
    with pytest.raises(ValueError, match=f"provenance='full' adds the column '{name}'.*rename it"):
        check_free(["a", name], "full", SCHEMA)
    if name != "synthetic":
        check_free(["a", name], "flag", SCHEMA)
