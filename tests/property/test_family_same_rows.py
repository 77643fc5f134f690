"""The whole family: same rows whatever holds the data, cuts them up or computes them."""

from functools import cache

import dask
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote import BorderlineSMOTE
from tests.samplers import family, having, table_of
from tests.tables import (
    CONTAINERS,
    assert_same_bits,
    compute_pair,
    dask_array,
    dask_frame,
    even,
    lengths_of,
    numbers,
    pair_in,
)

N = 60
CUTS = st.lists(st.integers(0, N), max_size=6)
PARTITIONS = CUTS.map(lambda cuts: lengths_of(N, cuts))
SCHEDULERS = st.sampled_from(["synchronous", "threads"])

FAMILY = family(k_neighbors=3, n_neighbors=3, m_neighbors=5, on_empty="smote")
del FAMILY["smote"]  # in test_same_rows.py
ALL = pytest.mark.parametrize("name", FAMILY)
MEASURING = having("missing", FAMILY)
SEARCHING = having("on_small_group", FAMILY)
AROUND = [name for name, (kind, how) in FAMILY.items() if kind(**how)._recipe().around]


def sampler(name, **more):
    kind, parameters = FAMILY[name]
    return kind(random_state=3, **parameters, **more)


@cache
def floats(name):
    return table_of(name, N, 18)


@cache
def grid():
    """Make a table in which most rows are there many times, and most distances are ties."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.integers(0, 3, (N, 2)).astype(float), columns=["a", "b"])
    table["y"] = np.repeat(["most", "few", "less"], [33, 15, 12])[rng.permutation(N)]
    return table


def outcome(resample):
    """Return what was made; or the error, which is compared by its kind."""
    try:
        return resample()
    except (ValueError, TypeError) as error:
        return type(error)


def assert_same_outcome(found, expected):
    if isinstance(expected, type):
        assert found is expected
        return
    assert not isinstance(found, type), found
    for one, other in zip(found, expected, strict=True):
        assert_same_bits(one, other)
        if isinstance(other, pd.DataFrame):
            assert one.dtypes.equals(other.dtypes)
        else:
            assert one.dtype == other.dtype


@cache
def reference(name):
    table = floats(name)
    return sampler(name).fit_resample(table.drop(columns="y"), table["y"])


@ALL
@given(container=st.sampled_from(CONTAINERS), lengths=PARTITIONS, scheduler=SCHEDULERS)
@settings(max_examples=10)
def test_any_container_partitioning_and_scheduler(name, container, lengths, scheduler):
    table = floats(name)
    X, y = pair_in(container, table.drop(columns="y"), table["y"], lengths)
    with dask.config.set({"scheduler": scheduler, "num_workers": 4}):
        found = compute_pair(*sampler(name).fit_resample(X, y))
    for one, expected in zip(found, reference(name), strict=True):
        assert_same_bits(one, expected)


@ALL
@given(lengths=PARTITIONS, more=st.sampled_from([(0, 0), (1, 30), (37, 0), (16, 21)]))
@settings(max_examples=5)
def test_ties_across_partitions_and_exact_counts(name, lengths, more):
    table = grid()
    before = table["y"].value_counts()
    asked = {"few": int(before["few"]) + more[0], "less": int(before["less"]) + more[1]}
    how = sampler(name, sampling_strategy=asked)
    expected = how.resample(table, target="y")
    found = how.resample(dask_frame(table, lengths), target="y").compute(scheduler="synchronous")
    assert_same_bits(found, expected)
    assert expected["y"].value_counts().to_dict() == {**asked, "most": before["most"]}
    assert_same_bits(expected[:N], table)


@pytest.mark.parametrize("name", ["svm", "kmeans"])
@given(lengths=PARTITIONS, rows=st.integers(5, N - 1), ties=st.booleans())
@settings(max_examples=6)
def test_a_model_of_a_sample(name, lengths, rows, ties):
    table = grid() if ties else floats(name)
    how = sampler(name, max_fit_rows=rows)
    found = outcome(
        lambda: [
            how.resample(dask_frame(table, lengths), target="y").compute(scheduler="synchronous")
        ]
    )
    assert_same_outcome(found, outcome(lambda: [how.resample(table, target="y")]))


def test_a_sample_is_taken_where_the_table_is_larger(monkeypatch):
    """No more than the share of each class (50 at the least) is what the machine is fitted to."""
    table = numbers(600, 200, 3)
    whole = sampler("svm").resample(table, target="y")
    how = sampler("svm", max_fit_rows=100)
    some = how.resample(table, target="y")
    assert how.svm_estimator_.shape_fit_ == (67 + 50, 3)
    assert not whole.equals(some)
    lazy = how.resample(dask_frame(table, [0, 100, 33, 467]), target="y")
    assert_same_bits(lazy.compute(scheduler="synchronous"), some)


GROUPS = {
    "whole numbers": lambda rng: pd.Series(rng.integers(0, 3, N)),
    "text": lambda rng: pd.Series(rng.choice(list("pqr"), N)),
    "categories": lambda rng: pd.Series(pd.Categorical(rng.choice(list("pqr"), N))),
    "missing text": lambda rng: pd.Series(rng.choice(["p", "q", None], N), dtype=object),
    "missing numbers": lambda rng: pd.Series(rng.choice([0.0, 1.0, np.nan], N)),
}
WEIGHTS = {
    "none": lambda rng: None,
    "whole numbers": lambda rng: pd.Series(rng.integers(1, 9, N), name="w"),
    "float64": lambda rng: pd.Series(rng.random(N), name="w"),
    "float32": lambda rng: pd.Series(rng.random(N).astype("f4"), name="w"),
}


@ALL
@given(
    kind=st.sampled_from([None, *GROUPS]),
    column=st.booleans(),
    weights=st.sampled_from(list(WEIGHTS)),
    provenance=st.sampled_from([False, "flag", "full"]),
    ties=st.booleans(),
    lengths=PARTITIONS,
    seed=st.integers(0, 99),
)
@settings(max_examples=10)
def test_groups_weights_and_provenance(
    name, kind, column, weights, provenance, ties, lengths, seed
):
    rng = np.random.default_rng(seed)
    table = (grid() if ties else floats(name)).copy()
    X, y = table.drop(columns="y"), table["y"]
    X["id"] = np.arange(N)
    w = WEIGHTS[weights](rng)
    groups = lazy_groups = None
    with dask.config.set({"dataframe.convert-string": False, "scheduler": "synchronous"}):
        if kind is not None:
            groups = GROUPS[kind](rng).rename("g")
            lazy_groups = dask_frame(groups, lengths)
            if column:
                X["g"] = groups.array
                groups = lazy_groups = "g"
        more = {"on_small_group": "copy"} if name in SEARCHING else {}
        how = sampler(name, provenance=provenance, carry=["id"], **more)

        def in_memory():
            return how.fit_resample(X, y, sample_weight=w, groups=groups)

        def on_dask():
            lazy = how.fit_resample(
                dask_frame(X, lengths),
                dask_frame(y, lengths),
                sample_weight=None if w is None else dask_frame(w, lengths),
                groups=lazy_groups,
            )
            found = dask.compute(*lazy)
            for one, meta in zip(found, lazy, strict=True):
                if isinstance(one, pd.DataFrame):
                    assert one.dtypes.equals(meta._meta.dtypes)
                else:
                    assert one.dtype == meta._meta.dtype
            return found

        assert_same_outcome(outcome(on_dask), outcome(in_memory))


@ALL
@given(lengths=PARTITIONS, known=st.booleans())
@settings(max_examples=4)
def test_arrays_with_weights_groups_and_provenance(name, lengths, known):
    rng = np.random.default_rng(0)
    table = floats(name)
    X, y = table.drop(columns="y").to_numpy(), table["y"].to_numpy()
    w, groups = rng.integers(1, 5, N), rng.integers(0, 2, N)
    how = sampler(name, provenance="full")
    expected = outcome(lambda: how.fit_resample(X, y, sample_weight=w, groups=groups))
    came_from = None if isinstance(expected, type) else how.provenance_

    def on_dask():
        X_, y_, w_, groups_ = (dask_array(a, lengths, known=known) for a in (X, y, w, groups))
        return dask.compute(*how.fit_resample(X_, y_, sample_weight=w_, groups=groups_))

    with dask.config.set(scheduler="synchronous"):
        found = outcome(on_dask)
        assert_same_outcome(found, expected)
        if came_from is not None:
            lazy = how.provenance_
            assert_same_bits(lazy.compute(), came_from)
            assert lazy._meta.dtypes.equals(came_from.dtypes)
            assert [array.dtype for array in expected[2:]] == [np.float64, groups.dtype]


@pytest.mark.parametrize("name", SEARCHING)
@pytest.mark.parametrize("target", ["text", "categories"])
@given(lengths=PARTITIONS)
@settings(max_examples=4)
def test_classes_that_are_too_small(name, target, lengths):
    table = grid().copy()
    table.loc[[3, 40], "y"] = "rare"
    table.loc[17, "y"] = "single"
    if target == "categories":
        kinds = ["single", "rare", "most", "less", "few", "unused"]
        table["y"] = pd.Categorical(table["y"], categories=kinds)
    frame = dask_frame(table, lengths)
    before = table["y"].value_counts().to_dict()
    most = before["most"]
    for on_small, kept in (("copy", {}), ("skip", {"rare": 2, "single": 1})):
        how = sampler(name, on_small_class=on_small)
        expected = how.resample(table, target="y")
        found = how.resample(frame, target="y").compute(scheduler="synchronous")
        assert_same_bits(found, expected)
        assert found.dtypes.equals(expected.dtypes)
        counts = expected["y"].value_counts().to_dict()
        assert counts == {label: kept.get(label, most if n else 0) for label, n in before.items()}
        new = expected[N:]
        rare = table.loc[[3, 40], ["a", "b"]].to_numpy().tolist()
        assert all(row in rare for row in new.loc[new["y"] == "rare", ["a", "b"]].values.tolist())
    for given_ in (table, frame):
        with (
            dask.config.set(scheduler="synchronous"),
            pytest.raises(ValueError, match=r"class 'rare' has 2 rows, .*but .*on_small_class="),
        ):
            sampler(name).resample(given_, target="y")


@pytest.mark.parametrize("name", [n for n in SEARCHING if n != "kmeans"])
@given(lengths=PARTITIONS)
@settings(max_examples=4)
def test_groups_that_are_too_small(name, lengths):
    table = floats(name).copy()
    groups = pd.Series(np.zeros(N, dtype=int))
    few = np.flatnonzero(table["y"] == 1)
    groups.iloc[few[:2]] = 7
    X, y = table.drop(columns="y"), table["y"]
    lazy = [dask_frame(part, lengths) for part in (X, y, groups)]
    for on_small in ("copy", "skip"):
        how = sampler(name, on_small_group=on_small)
        expected = how.fit_resample(X, y, groups=groups)
        with dask.config.set(scheduler="synchronous"):
            found = dask.compute(*how.fit_resample(lazy[0], lazy[1], groups=lazy[2]))
        assert_same_outcome(found, expected)
        assert len(expected[0]) == 2 * (N - 18)
        alone = expected[2].iloc[N:] == 7
        if on_small == "skip":
            assert not alone.any()
        else:
            copies = expected[0].iloc[N:][alone].values.tolist()
            assert all(row in X.iloc[few[:2]].values.tolist() for row in copies)
    with (
        dask.config.set(scheduler="synchronous"),
        pytest.raises(ValueError, match=r"class 1 has 1 group\(s\) of fewer than .*7: 2"),
    ):
        dask.compute(*sampler(name).fit_resample(lazy[0], lazy[1], groups=lazy[2]))
    with pytest.raises(ValueError, match=r"class 1 has 1 group\(s\) of fewer than .*7: 2"):
        sampler(name).fit_resample(X, y, groups=groups)


@pytest.mark.parametrize("name", MEASURING)
@given(lengths=PARTITIONS, seed=st.integers(0, 99))
@settings(max_examples=5)
def test_rows_with_missing_values_are_left_out(name, lengths, seed):
    rng = np.random.default_rng(seed)
    table = floats(name).copy()
    holes = rng.random((N, 3)) < 0.04
    table[["a", "b", "c"]] = table[["a", "b", "c"]].mask(holes)
    how = sampler(name, missing="skip", provenance="full")
    expected = outcome(lambda: [how.resample(table, target="y")])
    found = outcome(
        lambda: [
            how.resample(dask_frame(table, lengths), target="y").compute(scheduler="synchronous")
        ]
    )
    assert_same_outcome(found, expected)
    if isinstance(expected, list):
        new = expected[0][N:]
        assert new[["a", "b", "c"]].notna().all(axis=None)
        assert not holes[new["base_row"].astype(int)].any()
        assert not holes[new["neighbour_row"].dropna().astype(int)].any()


@pytest.mark.parametrize("name", AROUND)
@pytest.mark.parametrize("batch", [1, 7, 18, 40])
@pytest.mark.parametrize("classes", [2, 4])
def test_batches_of_queries_change_no_row(name, classes, batch, monkeypatch):
    table = floats(name)
    if classes > 2:
        table = table.assign(y=table["y"].where(table.index > 25, 2 + (table.index % 3 > 0)))
    expected = sampler(name).resample(table, target="y")
    for module in ("survey", "graph"):
        monkeypatch.setattr(f"dsmote.execute.{module}.BATCH", batch)
    assert_same_bits(sampler(name).resample(table, target="y"), expected)
    lazy = sampler(name).resample(dask_frame(table, [20, 0, 40]), target="y")
    assert_same_bits(lazy.compute(scheduler="synchronous"), expected)


@pytest.mark.parametrize("parts", [2, 11, 150])
def test_decimals_whose_distances_are_equal_but_for_rounding(parts):
    """A partition orders rows by squared distance, of which two may have the same root."""
    rng = np.random.default_rng(0)
    n = 2_000
    table = pd.DataFrame(rng.normal(size=(n, 2)).round(1), columns=["a", "b"])
    table["y"] = (rng.random(n) < 0.4).astype(int)
    how = BorderlineSMOTE(
        sampling_strategy={1: 30_000},
        random_state=3,
        kind="borderline-2",
        k_neighbors=20,
        provenance="full",
    )
    expected = how.resample(table, target="y")
    lazy = how.resample(dask_frame(table, even(n, parts)), target="y")
    assert_same_bits(lazy.compute(scheduler="synchronous"), expected)


@pytest.mark.parametrize("name", ["borderline-2", "adasyn", "svm", "kmeans"])
@pytest.mark.parametrize("scale", ["standard", "robust"])
def test_scaled_columns(name, scale):
    table = floats(name).assign(c=lambda t: t["c"] * 1e6)
    how = sampler(name, scale=scale)
    expected = how.resample(table, target="y")
    assert not expected[N:].equals(sampler(name).resample(table, target="y")[N:])
    found = how.resample(dask_frame(table, [7, 0, 13, 40]), target="y")
    assert_same_bits(found.compute(scheduler="synchronous"), expected)


@pytest.mark.parametrize("known", [True, False])
def test_groups_of_categories_that_differ_between_partitions(known):
    table = floats("adasyn")
    rng = np.random.default_rng(0)
    text = rng.choice(["p", "q"], N)
    text[:30][text[:30] == "q"] = "r"
    parts = [pd.Series(text[:30]).astype("category"), pd.Series(text[30:]).astype("category")]
    meta = parts[0].iloc[:0]
    groups = dask.dataframe.from_delayed(
        [dask.delayed(p) for p in parts], meta=meta, verify_meta=False
    )
    X, y = (dask_frame(t, [30, 30]) for t in (table.drop(columns="y"), table["y"]))
    how = sampler("adasyn", on_small_group="copy")
    with dask.config.set(scheduler="synchronous"):
        if known:
            lazy = how.fit_resample(X, y, groups=groups)[2]
            with pytest.raises(ValueError, match=r"holds 'q', which is not among the categories"):
                lazy.compute()
        else:
            found = how.fit_resample(X, y, groups=groups.cat.as_unknown())[2].compute()
            expected = how.fit_resample(table.drop(columns="y"), table["y"], groups=text)[2]
            assert found.astype(str).tolist() == expected.tolist()
