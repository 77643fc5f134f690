"""Samplers that choose rows, against imbalanced-learn and against all pairs of rows.

The references know rows by number: of equally near ones the first counts, and only the row itself
is left out. Where no two rows are equally near, imbalanced-learn finds the same.
"""

from __future__ import annotations

import importlib
from typing import Any

import dask
import imblearn.under_sampling as theirs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.under_sampling._prototype_generation.tests import test_cluster_centroids as their_cc
from imblearn.under_sampling._prototype_selection.tests import (
    test_condensed_nearest_neighbour as their_cnn,
)
from imblearn.under_sampling._prototype_selection.tests import (
    test_instance_hardness_threshold as their_iht,
)
from imblearn.under_sampling._prototype_selection.tests import test_nearmiss as their_near_miss
from imblearn.under_sampling._prototype_selection.tests import test_one_sided_selection as their_oss
from imblearn.under_sampling._prototype_selection.tests import test_tomek_links as their_tomek
from imblearn.utils.testing import _CustomClusterer
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

import dsmote
from dsmote.kernels import mixed_weight
from dsmote.neighbors import level_probabilities
from dsmote.neighbors.farthest import farthest
from dsmote.plan import Subset
from tests.oracle.rows import kept, small_tables, squared
from tests.tables import assert_same_bits, dask_frame, even, numbers, set_constant

pytestmark = pytest.mark.usefixtures("one_thread")


# ---- references


class Reference:
    """Which rows stay, from the squared distances of all pairs."""

    def __init__(self, squares: np.ndarray, y: np.ndarray, group: Any = None) -> None:
        self.own = squares.copy()
        self.own[np.eye(len(y), dtype=bool)] = np.inf
        self.labels, self.ranks, self.counts = np.unique(y, return_inverse=True, return_counts=True)
        self.smallest = int(self.counts.argmin())
        if group is not None:
            self.own[group[:, None] != group] = np.inf
        self.group = np.zeros(len(y)) if group is None else np.asarray(group)

    @property
    def others(self) -> list[int]:
        """The classes but the smallest."""
        return [c for c in range(len(self.labels)) if c != self.smallest]

    def near(self, row: int, k: int, among: np.ndarray) -> np.ndarray:
        squares = self.own[row, among]
        order = np.argsort(squares, kind="stable")[:k]
        return among[order[np.isfinite(squares[order])]]

    def nearest(self, row: int, among: np.ndarray) -> int:
        return next(iter(self.near(row, 1, among)), -1)

    def vote(self, row: int, k: int, among: np.ndarray) -> int:
        near = self.near(row, k, among)
        return int(np.bincount(self.ranks[near]).argmax()) if len(near) else -1

    def links(self, among: np.ndarray) -> set[int]:
        """Return the members of Tomek links."""
        of = {int(i): self.nearest(i, among[among != i]) for i in among}
        return {i for i, j in of.items() if of.get(j) == i and self.ranks[i] != self.ranks[j]}

    def tomek(self) -> np.ndarray:
        members = self.links(np.arange(len(self.ranks)))
        return np.array([i not in members or c == self.smallest for i, c in enumerate(self.ranks)])

    def near_miss(self, version: int, k: int = 3, pool: int = 3) -> np.ndarray:
        stays = np.ones(len(self.ranks), dtype=bool)
        few = np.flatnonzero(self.ranks == self.smallest)
        for rank in self.others:
            rows = np.flatnonzero(self.ranks == rank)
            if len(rows) == len(few):
                continue
            if version == 3:
                rows = np.unique(np.concatenate([self.near(i, pool, rows) for i in few]))
            sums, sizes = [], []
            for i in rows:
                lengths = np.sqrt(np.sort(self.own[i, few]))
                lengths = lengths[np.isfinite(lengths)]
                chosen = lengths[::-1][:k] if version == 2 else lengths[:k]
                sums.append(chosen.sum() if len(chosen) else np.inf)
                sizes.append(max(1, len(chosen)))
            # Sums and means are ordered alike, but of almost equal ones rounding makes ties.
            same = min(sizes, default=k) == k and np.isfinite(sums).all()
            score = np.array(sums) if same else np.array(sums) / sizes
            order = np.argsort(-score if version == 3 else score, kind="stable")
            stays[self.ranks == rank] = False
            stays[rows[order[: len(few)]]] = True
        return stays

    def one_sided(self, seeds: dict[int, np.ndarray], k: int = 1) -> np.ndarray:
        """`seeds` are the rows drawn of each class."""
        stays = np.ones(len(self.ranks), dtype=bool)
        few = np.flatnonzero(self.ranks == self.smallest)
        for rank, drawn in seeds.items():
            among = np.union1d(few, drawn)
            for i in np.setdiff1d(np.flatnonzero(self.ranks == rank), drawn):
                stays[i] = self.vote(i, k, among) != rank
        members = self.links(np.flatnonzero(stays))
        return stays & np.array(
            [i not in members or c == self.smallest for i, c in enumerate(self.ranks)]
        )

    def condensed(self, first: list[int], k: int = 1, targeted: Any = None) -> np.ndarray:
        """`first` are the rows that the targeted classes begin with."""
        targeted = self.others if targeted is None else targeted
        stays = ~np.isin(self.ranks, targeted)
        stays[first] = True
        while True:
            left, here = np.flatnonzero(~stays), np.flatnonzero(stays)
            added: dict[int, tuple[float, int]] = {}
            for i in left:
                if self.vote(i, k, here) != self.ranks[i]:
                    j = self.nearest(i, here)
                    added[j] = min(added.get(j, (np.inf, -1)), (self.own[i, j], int(i)))
            if not added:
                return stays
            stays[[i for _, i in added.values()]] = True


def seeds_of(of: Reference, n_seeds: int, seed: int) -> dict[int, np.ndarray]:
    """Return the rows that dsmote draws of each class."""
    found = {}
    for rank in of.others:
        rows = np.flatnonzero(of.ranks == rank)
        drawn = Subset(len(rows), min(n_seeds, len(rows)), seed, rank).times(0, len(rows))
        found[rank] = rows[drawn > 0]
    return found


def central(
    of: Reference, rank: int, X: np.ndarray, codes: Any = None, distance: Any = None
) -> list:
    """Return the row of each group of a class that is nearest to its middle."""
    found = []
    for group in np.unique(of.group[of.ranks == rank]):
        rows = np.flatnonzero((of.ranks == rank) & (of.group == group))
        squares = ((X[rows] - X[rows].mean(axis=0)) ** 2).sum(axis=1)
        for f in range(0 if codes is None else codes.shape[1]):
            column = codes[rows, f]
            level = column[np.argmax([(column == c).sum() for c in column])]
            squares = squares + distance(f, column, level)
        found.append(int(rows[squares.argmin()]))
    return found


# ---- real tables, as they are and without ties


def check_table(X: np.ndarray, apart: np.ndarray, y: np.ndarray, seed: int) -> bool:
    """Tell whether the table without ties was compared with imbalanced-learn."""
    counts = np.unique(y, return_counts=True)[1]
    # Of equally small classes imbalanced-learn takes the one that comes first in the table.
    compared = bool((counts == counts.min()).sum() == 1)
    for values in (X, apart):
        theirs_too = compared and values is apart
        of = Reference(squared(values), y)
        ours = kept(dsmote.TomekLinks(), values, y)
        assert np.array_equal(ours, of.tomek())
        if theirs_too:
            assert np.array_equal(ours, kept(theirs.TomekLinks(), values, y))
        for version in (1, 2, 3):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("warnings.warn", lambda *_, **__: None)  # pools too small
                ours = kept(dsmote.NearMiss(version=version), values, y)
                assert np.array_equal(ours, of.near_miss(version)), version
                if theirs_too:
                    other = kept(theirs.NearMiss(version=version), values, y)
                    assert np.array_equal(ours, other), version
        drawn = seeds_of(of, 2, seed)
        oss = dsmote.OneSidedSelection(n_seeds_S=2, random_state=seed)
        assert np.array_equal(kept(oss, values, y), of.one_sided(drawn))
        found = kept(dsmote.CondensedNearestNeighbour(), values, y)
        here = np.flatnonzero(found)
        assert all(of.vote(i, 1, here) == of.ranks[i] for i in np.flatnonzero(~found))
    return compared


def test_real_tables(data_dir):
    found = [check_table(*table) for table in small_tables(data_dir, 50, fewest=4)]
    assert len(found) > 26
    assert sum(found) > 22


@pytest.mark.slow
def test_real_tables_of_more_rows(data_dir):
    for table in small_tables(data_dir, 600, fewest=4):
        check_table(*table)


# ---- the data of imbalanced-learn's own tests


def test_their_tomek_links():
    found = kept(dsmote.TomekLinks(), their_tomek.X, their_tomek.Y)
    assert np.flatnonzero(~found).tolist() == [10, 14, 15]


NEAR_MISS = {
    "auto": [
        [2, 3, 5, 6, 8, 9, 10, 11, 1],
        [2, 3, 5, 6, 8, 9, 10, 11, 1],
        [0, 3, 4, 5, 8, 10, 11, 12, 14],
    ],
    "mapping": [
        [0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 12],
        [0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 12],
        [0, 2, 3, 4, 5, 6, 8, 10, 11, 12, 14],
    ],
}


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("how", NEAR_MISS)
def test_their_near_miss(how, version):
    strategy = "auto" if how == "auto" else {0: 3, 1: 4, 2: 4}
    for n_neighbors in (3, NearestNeighbors(n_neighbors=3)):
        sampler = dsmote.NearMiss(
            version=version, n_neighbors=n_neighbors, sampling_strategy=strategy
        )
        found = kept(sampler, their_near_miss.X, their_near_miss.Y)
        assert np.flatnonzero(found).tolist() == sorted(NEAR_MISS[how][version - 1])


def test_their_one_sided_selection():
    """With imbalanced-learn's seeds the reference keeps what it keeps; with ours, what we keep."""
    of = Reference(squared(their_oss.X), their_oss.Y)
    rows = np.flatnonzero(their_oss.Y == 1)
    drawn = rows[np.random.RandomState(0).randint(0, len(rows), 1)]
    other = kept(theirs.OneSidedSelection(random_state=0), their_oss.X, their_oss.Y)
    assert other.sum() == 12
    assert np.array_equal(other, of.one_sided({1: drawn}))
    for k in (None, 1, KNeighborsClassifier(n_neighbors=1)):
        ours = dsmote.OneSidedSelection(n_neighbors=k, random_state=0)
        found = kept(ours, their_oss.X, their_oss.Y)
        assert np.array_equal(found, of.one_sided(seeds_of(of, 1, 0)))
    weighted = KNeighborsClassifier(n_neighbors=1, weights="distance")
    with pytest.raises(ValueError, match="weights='distance'; neighbours are counted"):
        dsmote.OneSidedSelection(n_neighbors=weighted).fit(their_oss.X, their_oss.Y)


@pytest.mark.parametrize("k", [1, 3, KNeighborsClassifier(n_neighbors=1)])
def test_their_condensed_nearest_neighbour(k):
    of = Reference(squared(their_cnn.X), their_cnn.Y)
    first = [i for rank in of.others for i in central(of, rank, their_cnn.X)]
    found = kept(dsmote.CondensedNearestNeighbour(n_neighbors=k), their_cnn.X, their_cnn.Y)
    k = 1 if hasattr(k, "fit") else k
    here = np.flatnonzero(found)
    assert found[first].all()
    assert found[their_cnn.Y == 0].all()
    assert all(of.vote(i, k, here) == of.ranks[i] for i in np.flatnonzero(~found))
    if k == 1:
        assert found.sum() == 10  # as many as imbalanced-learn, not the same


FOREST_FREE = {
    "boosted": DecisionTreeClassifier(max_depth=2, random_state=0),
    "pipeline": make_pipeline(GaussianNB()),
    "default": None,
}


@pytest.mark.parametrize("name", FOREST_FREE)
def test_their_instance_hardness(name):
    """imbalanced-learn keeps all that are as probable as the last."""
    how = {"estimator": FOREST_FREE[name], "random_state": 0}
    X, y = their_iht.X, their_iht.Y
    sampler = dsmote.InstanceHardnessThreshold(cv=2, **how)
    y_res = sampler.fit_resample(X, y)[1]
    assert np.bincount(y_res).tolist() == [6, 6]
    assert hasattr(sampler.estimator_, "predict_proba")
    if name == "default":  # a forest takes long
        return
    half = dsmote.InstanceHardnessThreshold(sampling_strategy={0: 3, 1: 3}, cv=3, **how)
    assert np.bincount(half.fit_resample(X, y)[1]).tolist() == [3, 3]


@pytest.mark.parametrize("voting", ["hard", "soft", "auto"])
@pytest.mark.parametrize("strategy", ["auto", {0: 3, 1: 6}, {0: 3, 1: 0}])
def test_their_cluster_centroids(voting, strategy):
    X, y = their_cc.X, their_cc.Y
    sampler = dsmote.ClusterCentroids(
        sampling_strategy=strategy, voting=voting, random_state=0, estimator=KMeans(n_init=2)
    )
    X_res, y_res = sampler.fit_resample(X, y)
    wanted = [3, 3] if strategy == "auto" else [*strategy.values()]
    assert np.bincount(y_res, minlength=2).tolist() == wanted
    assert sampler.voting_ == ("hard" if voting == "hard" else "soft")
    real = [
        (row == X[y == label]).all(axis=1).any() for row, label in zip(X_res, y_res, strict=True)
    ]
    assert all(real) == (voting == "hard" or wanted[1] == 0)
    if wanted[1] and voting != "hard":
        centres = sampler.estimator_.cluster_centers_
        assert {*map(tuple, X_res[y_res == 1])} == {*map(tuple, centres)}


def test_their_clusterings():
    X, y = their_cc.X, their_cc.Y
    sampler = dsmote.ClusterCentroids(estimator=_CustomClusterer(), random_state=0)
    assert len(sampler.fit_resample(X, y)[0]) == 6
    for estimator, kind, message in (
        (_CustomClusterer(expose_cluster_centers=False), RuntimeError, "exposing a parameter"),
        (LogisticRegression(), ValueError, "exposing a parameter `n_clusters` and a fitted"),
    ):
        with pytest.raises(kind, match=message):
            dsmote.ClusterCentroids(estimator=estimator).fit_resample(X, y)


# ---- anything, against the references


@st.composite
def tables(draw):
    """Draw features (numbers with many ties, or mixed, or categories only), target and groups."""
    n, rng = draw(st.integers(16, 40)), np.random.default_rng(draw(st.integers(0, 2**31)))
    kind = draw(st.sampled_from(["grid", "floats", "mixed", "nominal"]))
    frame = pd.DataFrame()
    if kind != "nominal":
        for c in "abc"[: draw(st.integers(1, 3))]:
            whole = kind == "grid" or rng.random() < 0.3
            frame[c] = rng.integers(0, 4, n).astype(float) if whole else rng.normal(size=n)
    if kind in ("mixed", "nominal"):
        for c in "pq":
            frame[c] = rng.choice(list("uvw"), n)
    labels = draw(st.sampled_from([["no", "yes"], [3, 1, 2]]))
    y = np.array(labels)[np.sort(np.arange(n) % 7 % len(labels))]
    y[:4] = labels[0]
    y[4:8] = labels[1]
    y[8:12] = labels[-1]
    group = rng.integers(0, 2, n) if draw(st.booleans()) else None
    return frame, rng.permutation(y), group


def reference_of(frame: pd.DataFrame, y: np.ndarray, group: Any) -> Any:
    """Return the reference, and the rows that condensing begins with."""
    numeric = [c for c in frame if frame[c].dtype.kind == "f"]
    X = frame[numeric].to_numpy() if numeric else np.empty((len(y), 0))
    codes = (
        np.stack([pd.factorize(frame[c])[0] for c in frame if c not in numeric] or [[]] * 0)
        if len(numeric) < frame.shape[1]
        else np.empty((0, len(y)), dtype=int)
    )
    codes, squares = codes.T, squared(X)
    ranks = np.unique(y, return_inverse=True)[1]
    weight = mixed_weight(X.T) if numeric else 0.0

    def distance(f: int, some: np.ndarray, other: Any) -> np.ndarray:
        if numeric:
            return weight**2 * (some != other)
        table = level_probabilities(
            np.stack(
                [
                    np.bincount(ranks[codes[:, f] == c], minlength=ranks.max() + 1)
                    for c in range(codes[:, f].max() + 1)
                ]
            )
        )
        return np.abs(table[some] - table[other]).sum(axis=-1) ** 2

    for f, column in enumerate(codes.T):
        squares += distance(f, column[:, None], column)
    of = Reference(squares, y, group)
    first = [i for rank in of.others for i in central(of, rank, X, codes, distance)]
    return of, first


@settings(max_examples=25, deadline=None)
@given(table=tables(), seed=st.integers(0, 5), k=st.sampled_from([1, 2, 3]))
def test_any_table(table, seed, k):
    frame, y, group = table
    of, first = reference_of(frame, y, group)
    more = {} if group is None else {"groups": group}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # pools too small
        set_constant(patch, "neighbors", "_FEW", 1)
        for version in (1, 2, 3):
            ours = kept(dsmote.NearMiss(version=version, n_neighbors=k), frame, y, **more)
            assert np.array_equal(ours, of.near_miss(version, k)), version
    oss = dsmote.OneSidedSelection(n_seeds_S=2, n_neighbors=k, random_state=seed)
    assert np.array_equal(kept(oss, frame, y, **more), of.one_sided(seeds_of(of, 2, seed), k))
    found = kept(dsmote.CondensedNearestNeighbour(n_neighbors=k), frame, y, **more)
    here = np.flatnonzero(found)
    assert found[first].all()
    assert all(of.vote(i, k, here) == of.ranks[i] for i in np.flatnonzero(~found))
    if len(of.labels) == 2:
        assert np.array_equal(found, of.condensed(first, k))


def test_condensing_does_not_depend_on_the_order_of_rows():
    table = numbers(300, 60, 3)
    X, y = table.drop(columns="y").to_numpy(), table["y"].to_numpy()
    order = np.random.default_rng(1).permutation(300)
    for strategy in ("auto", "all"):
        found = kept(dsmote.CondensedNearestNeighbour(sampling_strategy=strategy), X, y)
        cnn = dsmote.CondensedNearestNeighbour(sampling_strategy=strategy, random_state=3)
        assert np.array_equal(kept(cnn, X[order], y[order]), found[order])
        assert cnn.n_iter_ > 1
        assert found[y == 1].all() == (strategy == "auto")
    assert len(kept(theirs.CondensedNearestNeighbour(random_state=0), X, y)) == 300


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("kind", ["apart", "grid", "few rows", "far out", "flat"])
def test_the_farthest(kind, k, monkeypatch):
    set_constant(monkeypatch, "neighbors.farthest", "_LEAF", 16)
    set_constant(monkeypatch, "neighbors.farthest", "_FEW", 8)
    rng = np.random.default_rng(0)
    rows, points = rng.normal(size=(300, 4)), rng.normal(size=(500, 4)) + 1
    if kind == "grid":
        rows, points = np.rint(rows), np.rint(points)
    elif kind == "few rows":
        rows, points = np.repeat(rows[:3], [1, 2, 9], axis=0), points[:20]
    elif kind == "far out":
        rows, points = 1e200 * rows, 1e200 * points
    elif kind == "flat":
        rows[:, 1:], points[:, 1:] = rows[:, :1] * [2, 3, 4], 0.0
    none = [np.empty((len(part), 0), dtype=np.int32) for part in (rows, points)]
    found = farthest(rows, none[0], points, none[1], k)
    unit = 1e200 if kind == "far out" else 1.0
    squares = np.zeros((len(points), len(rows)))
    for one, other in zip(points.T / unit, rows.T / unit, strict=True):
        squares += (one[:, None] - other) ** 2
    expected = np.sqrt(-np.sort(-squares, axis=1)[:, :k]) * unit
    np.testing.assert_allclose(found, expected, rtol=1e-15 if kind == "far out" else 0)


def test_few_rows_are_left_of_which_the_farthest_are_looked_for(monkeypatch):
    """Boxes leave out most of the pairs."""
    module = importlib.import_module("dsmote.neighbors.farthest")
    pairs = []
    answer = module._Work.answer
    monkeypatch.setattr(
        module._Work,
        "answer",
        lambda self, box: (pairs.append(len(box[0]) * len(box[1])), answer(self, box))[1],
    )
    rng = np.random.default_rng(0)
    rows, points = rng.normal(size=(2_000, 3)), rng.normal(size=(8_000, 3))
    none = [np.empty((len(part), 0), dtype=np.int32) for part in (rows, points)]
    module.farthest(rows, none[0], points, none[1], 3)
    assert sum(pairs) < 0.1 * len(rows) * len(points)


# ---- what is said, and what is counted


def test_near_miss_says_what_is_lacking():
    table = numbers(60, 12)
    X, y = table.drop(columns="y"), table["y"]
    with pytest.raises(ValueError, match=r"class 1, the smallest, has 12 rows .* n_neighbors=13"):
        dsmote.NearMiss(n_neighbors=13).fit(X, y)
    X.iloc[:3] = 0.0  # one row that all others name
    heap = pd.DataFrame({"a": [0.0, 0.1, 0.2, 50, 51, 52, 53], "y": [1, 1, 1, 0, 0, 0, 0]})
    sampler = dsmote.NearMiss(version=3, n_neighbors_ver3=1)
    with pytest.warns(UserWarning, match="class 0 keeps 1 rows instead of 3.*n_neighbors_ver3"):
        found = sampler.resample(heap, target="y")
    assert found["a"].tolist() == [0.0, 0.1, 0.2, 50.0]


@pytest.mark.parametrize("kind", ["NearMiss", "InstanceHardnessThreshold", "ClusterCentroids"])
def test_rows_with_missing_values_stay_and_are_counted(kind):
    table = numbers(60, 12)
    most = np.flatnonzero(table["y"] == 0)
    table.loc[most[:5], "a"] = np.nan
    more = {"estimator": GaussianNB()} if kind == "InstanceHardnessThreshold" else {}
    sampler = getattr(dsmote, kind)(missing="skip", **more)
    found = sampler.resample(table, target="y")
    assert found["y"].value_counts().to_dict() == {0: 12, 1: 12}
    assert found["a"].isna().sum() == 5
    table.loc[most[:20], "a"] = np.nan
    with pytest.raises(
        ValueError, match="class 0 is to keep 12 of its 48 rows, but 20 have missing"
    ):
        sampler.resample(table, target="y")


@pytest.mark.parametrize("kind", ["InstanceHardnessThreshold", "ClusterCentroids"])
def test_text_is_refused_where_a_model_is_fitted(kind):
    table = numbers(60, 12).assign(c=list("uv") * 30)
    for y in (table, dask_frame(table, [30, 30])):
        with pytest.raises(
            (ValueError, TypeError),
            match=f"{kind} needs numbers, but 1 column holds text .*'c'; encode",
        ):
            getattr(dsmote, kind)().resample(y, target="y")
    more = {"estimator": GaussianNB()} if kind == "InstanceHardnessThreshold" else {}
    found = getattr(dsmote, kind)(carry=["c"], **more).resample(table, target="y")
    assert found["y"].value_counts().to_dict() == {0: 12, 1: 12}


# ---- instance hardness


@pytest.mark.parametrize("labels", [(-1, 1), ("few", "most"), (False, True), (1, 0)])
def test_hardness_is_that_of_the_own_class(labels):
    """The easiest stay: those far from the other class."""
    x = np.r_[np.linspace(-1, 0, 8), np.linspace(0.2, 4, 40)]
    y = np.array(labels)[np.repeat([0, 1], [8, 40])]
    order = np.random.default_rng(0).permutation(48)
    sampler = dsmote.InstanceHardnessThreshold(estimator=LogisticRegression(), random_state=0)
    X_res, y_res = sampler.fit_resample(x[order, None], y[order])
    assert X_res[y_res == labels[1]].min() > 2.5
    assert (y_res == labels[0]).sum() == (y_res == labels[1]).sum() == 8


class Seen(GaussianNB):
    """Tells which rows it is fitted to."""

    log: list = []  # noqa: RUF012

    def fit(self, X, y):
        self.log.append((X[:, 0].astype(int), np.array(y)))
        return super().fit(X, y)


@pytest.mark.parametrize("most", [None, 30])
def test_no_row_is_asked_by_what_was_fitted_to_it(most):
    X = np.column_stack([np.arange(60), np.random.default_rng(0).normal(size=60)])
    y = np.repeat([0, 1], [45, 15])
    Seen.log.clear()
    sampler = dsmote.InstanceHardnessThreshold(estimator=Seen(), cv=3, max_fit_rows=most)
    sampler.fit_resample(X, y)
    rows = [each for each, _ in Seen.log]
    assert len(rows) == 3
    for each, of_class in Seen.log:
        assert len(each) == (40 if most is None else 30)
        assert (np.diff(each) > 0).all()
        assert (of_class == 1).sum() == len(each) // 4
    if most is None:  # each row is left out once
        assert np.bincount(np.concatenate(rows)).tolist() == [2] * 60
    with pytest.raises(ValueError, match="cv=70 folds need at least 70 rows, but there are 60"):
        sampler.set_params(cv=70).fit_resample(X, y)


def test_as_probable_rows_are_drawn_and_a_seed_repeats_it():
    X, y = np.zeros((80, 1)), np.repeat([0, 1], [60, 20])
    found = [
        kept(
            dsmote.InstanceHardnessThreshold(
                estimator=DecisionTreeClassifier(random_state=own), random_state=seed
            ),
            X,
            y,
        )
        for own, seed in ((0, 0), (7, 0), (0, 1))
    ]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    assert found[0][:60].sum() == 20
    assert found[0][30:60].sum() > 3


# ---- centres


def test_centres_have_the_dtypes_of_their_columns_and_take_a_row_s_place():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "f": rng.normal(size=90).astype("f4"),
            "i": rng.integers(0, 100, 90),
            "n": pd.array(rng.integers(0, 9, 90), dtype="Int64"),
            "id": np.arange(90),
            "y": np.repeat(["most", "few"], [72, 18])[rng.permutation(90)],
        },
        index=np.arange(90)[::-1],
    )
    soft, hard = (
        dsmote.ClusterCentroids(voting=v, carry=["id"], random_state=0) for v in ("soft", "hard")
    )
    moved, real = soft.resample(table, target="y"), hard.resample(table, target="y")
    assert moved.dtypes.equals(table.dtypes)
    assert moved.index.equals(real.index)
    assert real.equals(table.loc[real.index])
    assert moved[["id", "y"]].equals(real[["id", "y"]])
    few = moved["y"] == "few"
    assert moved[few].equals(table[table["y"] == "few"])
    assert (moved[~few]["f"] != real[~few]["f"]).any()
    centres = soft.estimator_.cluster_centers_
    found = moved[~few][["f", "i", "n"]].to_numpy(dtype=float)
    expected = np.column_stack([centres[:, 0].astype("f4"), np.rint(centres[:, 1:])])
    assert {*map(tuple, found)} == {*map(tuple, expected)}


@pytest.mark.parametrize("scale", [None, "standard", "minmax"])
@pytest.mark.parametrize("parts", [1, 7])
def test_centres_on_dask_are_those_in_memory(scale, parts):
    table = numbers(80, 16).assign(a=lambda t: 100 * t["a"], i=np.arange(80) % 9)
    sampler = dsmote.ClusterCentroids(scale=scale, random_state=0)
    expected = sampler.resample(table, target="y")
    assert expected["y"].value_counts().to_dict() == {0: 16, 1: 16}
    if scale:  # in the units of the columns
        assert expected["a"][expected["y"] == 0].abs().max() > 30
    with dask.config.set(scheduler="synchronous"):
        lazy = sampler.resample(dask_frame(table, even(80, parts)), target="y")
        found = lazy.compute()
    assert_same_bits(found, expected)
    assert found.index.equals(expected.index)
    assert not hasattr(sampler, "sample_indices_")
    X, y = table.drop(columns="y"), table["y"]
    lists = sampler.fit_resample(X.to_numpy().tolist(), y.tolist())[0]
    assert np.array_equal(np.asarray(lists)[:, :3], expected[["a", "b", "c"]])


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_of_equal_rows_as_many_stay_as_are_asked_for(voting):
    X, y = np.repeat([[0.0], [1.0], [5.0]], [20, 10, 9], axis=0), np.repeat([0, 1], [30, 9])
    sampler = dsmote.ClusterCentroids(voting=voting, random_state=0)
    X_res, y_res = sampler.fit_resample(X, y)
    assert np.bincount(y_res).tolist() == [9, 9]
    assert set(X_res[y_res == 0, 0].round(9)) == {0.0, 1.0}
    assert len(np.unique(sampler.sample_indices_)) == 18


def test_centres_of_groups_are_refused():
    table = numbers(60, 12).assign(g=list("uv") * 30)
    with pytest.raises(ValueError, match="does not cluster by groups"):
        dsmote.ClusterCentroids().resample(table, target="y", groups="g")
