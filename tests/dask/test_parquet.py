"""Tables read from Parquet, where Dask fuses, projects and renames partitions as it likes."""

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.core import get_dependencies

from dsmote import SMOTE, SMOTENC, RandomUnderSampler
from tests.tables import assert_same_bits, counted_computes

# Dask's Parquet reader uses a keyword that pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")

FILES = 8
COLUMNS = ["a", "b", "y", "c", *(f"x{i}" for i in range(8))]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    n = 640
    frame = pd.DataFrame(rng.normal(size=(n, len(COLUMNS))), columns=COLUMNS)
    frame["y"] = (rng.random(n) < 0.2).astype("int64")
    return frame


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("parquet")
    for i in range(FILES):
        table[80 * i : 80 * (i + 1)].to_parquet(path / f"part.{i}.parquet", index=False)
    return str(path)


@pytest.fixture
def frame(folder):
    return dd.read_parquet(folder)


@pytest.fixture(autouse=True)
def scheduler():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def expected(table):
    return SMOTE(random_state=5).resample(table, target="y")


def test_columns_of_the_result_and_of_the_input(frame, expected, folder, table):
    how = SMOTE(random_state=5)
    lazy = how.resample(frame, target="y")
    for columns in (["y"], ["x7", "a"], COLUMNS):
        assert_same_bits(lazy[columns].compute(), expected[columns])
    assert len(lazy[["y"]]) == len(expected)
    found = how.resample(frame[["a", "y"]], target="y").compute()
    assert_same_bits(found, how.resample(table[["a", "y"]], target="y"))
    found = how.resample(dd.read_parquet(folder, filters=[("a", ">", 0.0)]), target="y").compute()
    assert_same_bits(found, how.resample(table[table["a"] > 0], target="y"))


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("tune", [True, False])
def test_features_and_target_of_one_folder(frame, expected, fuse, tune):
    config = {"optimization.fuse.active": fuse, "optimization.tune.active": tune}
    with dask.config.set(config):
        X, y = frame.drop(columns="y"), frame["y"]
        assert (len(y.map_partitions(len).compute()) < FILES) == tune  # more than X's are fused
        with counted_computes() as computes:
            X_res, y_res = SMOTE(random_state=5).fit_resample(X, y)
        assert len(computes) == 1
        found_X, found_y = dask.compute(X_res, y_res)
        assert_same_bits(found_X, expected.drop(columns="y"))
        assert_same_bits(found_y, expected["y"])
        assert_same_bits(X_res[["a"]].compute(), expected[["a"]])
        assert_same_bits(y_res.compute(), expected["y"])


def test_arrays_of_a_folder(frame, expected):
    features, values = (
        frame.drop(columns="y"),
        frame[[c for c in COLUMNS if c != "y"] + ["y"]].values,
    )
    with dask.config.set({"optimization.tune.active": False}):
        y = frame["y"].values
    assert y.numblocks[0] == FILES
    for X, target in ((values[:, :-1], values[:, -1]), (features, y)):
        X_res, y_res = SMOTE(random_state=5).fit_resample(X, target)
        assert_same_bits(X_res.compute(), expected.drop(columns="y"))
        assert_same_bits(y_res.compute(), expected["y"].astype(target.dtype))
    fused = frame["y"].values
    assert fused.numblocks[0] < FILES
    with pytest.raises(ValueError, match=r"partitioned differently: X has 8 partitions and y \d;"):
        SMOTE(random_state=5).fit_resample(features, fused)


@pytest.mark.filterwarnings("ignore:Computing mixed collections")
@pytest.mark.parametrize("sampler", [SMOTE(random_state=5), RandomUnderSampler(random_state=5)])
def test_an_array_and_a_series_computed_together(frame, sampler):
    with dask.config.set({"optimization.tune.active": False}):
        X = frame.drop(columns="y").values
    lazy = sampler.fit_resample(X, frame["y"])
    for found, alone in zip(dask.compute(*lazy), [one.compute() for one in lazy], strict=True):
        assert_same_bits(found, alone)
    # Of the tasks that no other asks for, Dask takes any to be the result: only partitions are.
    graph = dict(lazy[1].__dask_graph__())
    asked = {d for key in graph for d in get_dependencies(graph, key)}
    assert len(set(graph) - asked) == lazy[1].npartitions


def test_names_read_as_categories_that_differ_between_files(tmp_path):
    rng = np.random.default_rng(1)
    parts = []
    for i, levels in enumerate(("ab", "bc", "da")):
        part = pd.DataFrame({"x": rng.normal(size=60), "c": rng.choice(list(levels), 60)})
        part["y"] = np.where(rng.random(60) < 0.3, "yes", "no")
        part = part.astype({"c": "category", "y": "category"})
        part.to_parquet(tmp_path / f"part.{i}.parquet", index=False)
        parts.append(part)
    whole = pd.concat([p.astype({"c": "str", "y": "str"}) for p in parts], ignore_index=True)
    expected = SMOTENC(random_state=0).resample(whole, target="y")
    frame = dd.read_parquet(tmp_path, categories={"c": 4, "y": 2})
    lazy = SMOTENC(random_state=0).resample(frame, target="y")
    found = lazy.compute()
    assert isinstance(found["c"].dtype, pd.CategoricalDtype)
    assert sorted(found["c"].cat.categories) == list("abcd")
    assert found["y"].value_counts().nunique() == 1
    assert_same_bits(found.astype({"c": "str", "y": "str"}), expected)
    X_res, y_res = SMOTENC(random_state=0).fit_resample(frame[["x", "c"]], frame["y"])
    assert_same_bits(X_res.compute().astype({"c": "str"}), expected[["x", "c"]])
    assert_same_bits(y_res.compute().astype("str"), expected["y"])
