"""Edited nearest neighbours and its relatives, against imbalanced-learn and all pairs of rows.

The reference knows rows by number: of equally near ones the first counts, and only the row itself
is left out. Where no two rows are equally near, imbalanced-learn finds the same.
"""

from __future__ import annotations

from typing import Any

import imblearn.under_sampling as theirs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.under_sampling._prototype_selection.tests import test_allknn as their_all_knn
from imblearn.under_sampling._prototype_selection.tests import (
    test_edited_nearest_neighbours as their_enn,
)
from imblearn.under_sampling._prototype_selection.tests import (
    test_repeated_edited_nearest_neighbours as their_renn,
)
from sklearn.datasets import make_classification
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

import dsmote
from dsmote.kernels import mixed_weight
from dsmote.neighbors import level_probabilities
from tests.oracle.rows import kept, small_tables, squared
from tests.tables import compute_pair, dask_frame, even, set_constant

NAMES = (
    "EditedNearestNeighbours",
    "RepeatedEditedNearestNeighbours",
    "AllKNN",
    "NeighbourhoodCleaningRule",
)
EDITING = NAMES[:3]

pytestmark = pytest.mark.usefixtures("one_thread")


class Reference:
    """Which rows stay, from the squared distances of all pairs."""

    def __init__(self, squares: np.ndarray, y: np.ndarray, clean: Any = None) -> None:
        self.squares = np.where(np.eye(len(y), dtype=bool), np.inf, squares)
        self.labels, self.ranks, counts = np.unique(y, return_inverse=True, return_counts=True)
        self.smallest, self.n_smallest = int(counts.argmin()), int(counts.min())
        targeted = self.labels != self.labels[self.smallest]
        self.targeted = targeted if clean is None else np.isin(self.labels, clean)

    def near(self, ids: np.ndarray, k: int, left: np.ndarray) -> np.ndarray:
        """Return the k nearest that are left, or -1."""
        squares = np.where(left, self.squares[ids], np.inf)
        order = np.argsort(squares, axis=1, kind="stable")[:, :k]
        return np.where(np.isfinite(np.take_along_axis(squares, order, 1)), order, -1)

    def contradicted(self, k: int, kind: str, left: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """Return which of the rows that are asked for their neighbours say another class."""
        ids = np.flatnonzero(asked & left)
        near = self.near(ids, k, left)
        of_class = self.ranks[near][:, :, None] == np.arange(len(self.labels))
        votes = (of_class & (near >= 0)[:, :, None]).sum(axis=1)
        other = votes.argmax(axis=1) != self.ranks[ids]
        if kind == "all":
            other = votes[np.arange(len(ids)), self.ranks[ids]] < votes.sum(axis=1)
        found = np.zeros(len(left), dtype=bool)
        found[ids] = other & (votes.sum(axis=1) > 0)
        return found

    def too_small(self, left: np.ndarray, allowed: bool) -> bool:
        counts = np.bincount(self.ranks[left], minlength=len(self.labels))
        others = np.delete(counts, self.smallest)
        return not counts.all() or (not allowed and bool((others < self.n_smallest).any()))

    def stays(self, name: str, k: int = 3, kind: str = "all", **more: Any) -> np.ndarray:
        left = np.ones(len(self.ranks), dtype=bool)
        asked = self.targeted[self.ranks]
        if name == "EditedNearestNeighbours":
            return ~self.contradicted(k, kind, left, asked)
        if name == "NeighbourhoodCleaningRule":
            small = self.ranks == self.smallest
            misled = np.flatnonzero(self.contradicted(k, "mode", left, small))
            near, counts = self.near(misled, k, left), np.bincount(self.ranks)
            cleaned = counts / self.n_smallest >= more.get("threshold", 0.5)
            left[near[near >= 0]] = False
            left |= ~(self.targeted & cleaned)[self.ranks]
            return left & ~self.contradicted(k, "mode", np.ones_like(left), asked)
        rounds = [k] * more.get("max_iter", 100) if name.startswith("R") else range(1, k + 1)
        for n in rounds:
            gone = self.contradicted(n, kind, left, asked)
            left &= ~gone
            done = name.startswith("R") and not gone.any()
            if done or self.too_small(left, more.get("allow_minority", False)):
                break
        return left


class OthersOnly(KNeighborsClassifier):
    """Classifies rows by their nearest other rows."""

    def predict(self, X: Any) -> np.ndarray:
        near = self.kneighbors(X, self.n_neighbors + 1, return_distance=False)[:, 1:]
        votes = [np.bincount(each, minlength=len(self.classes_)) for each in self._y[near]]
        return self.classes_[np.argmax(votes, axis=1)]


def their_sampler(name: str, **how: Any) -> Any:
    """Make imbalanced-learn's; its NCR counts a row among its own neighbours unless told."""
    if name == "NeighbourhoodCleaningRule":
        edited = theirs.EditedNearestNeighbours(kind_sel="mode", **how)
        how["edited_nearest_neighbours"] = edited
        how["n_neighbors"] = OthersOnly(3)
    return getattr(theirs, name)(**how)


def check_table(X: np.ndarray, apart: np.ndarray, y: np.ndarray) -> None:
    """Compare a table as it is with the reference, and without ties with imbalanced-learn."""
    number = np.unique(y, return_inverse=True)[1]  # imbalanced-learn's "mode" takes no texts
    as_it_is, without_ties = Reference(squared(X), y), Reference(squared(apart), y)
    for name in NAMES:
        for kind in ("all", "mode") if name in EDITING else ("mode",):
            how = {"kind_sel": kind} if name in EDITING else {}
            ours = getattr(dsmote, name)(**how)
            assert np.array_equal(kept(ours, X, y), as_it_is.stays(name, kind=kind)), name
            found = kept(ours, apart, y)
            assert np.array_equal(found, without_ties.stays(name, kind=kind)), name
            # It would choose the classes anew in each round.
            clean = np.flatnonzero(without_ties.targeted).tolist()
            other = their_sampler(name, sampling_strategy=clean, **how)
            assert np.array_equal(found, kept(other, apart, number)), name
            assert getattr(ours, "n_iter_", None) == getattr(other, "n_iter_", None)


def test_real_tables(data_dir):
    """On some rows of every table: twins and ties as the reference has them."""
    n_tables = 0
    for X, apart, y, _ in small_tables(data_dir, 90):
        check_table(X, apart, y)
        n_tables += 1
    assert n_tables > 26


@pytest.mark.slow
def test_more_rows_of_real_tables(data_dir):
    for X, apart, y, _ in small_tables(data_dir, 500):
        check_table(X, apart, y)


THEIR_DATA = {
    "EditedNearestNeighbours": (their_enn, "test_enn_fit_resample"),
    "RepeatedEditedNearestNeighbours": (their_renn, "test_renn_fit_resample"),
    "AllKNN": (their_all_knn, "test_allknn_fit_resample"),
}
#: What imbalanced-learn's own tests of these classes expect, as row numbers.
EXPECTED = {
    ("EditedNearestNeighbours", "all"): [0, 1, 3, 4, 8, 11, 15],
    ("EditedNearestNeighbours", "mode"): [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 13, 15, 16],
}


@pytest.mark.parametrize("kind", ["all", "mode"])
@pytest.mark.parametrize("name", EDITING)
def test_their_tables(name, kind):
    """The data of imbalanced-learn's own tests, with a number and with an object that searches."""
    of = THEIR_DATA[name][0]
    found = [
        kept(getattr(dsmote, name)(n_neighbors=n, kind_sel=kind), of.X, of.Y)
        for n in (3, NearestNeighbors(n_neighbors=4))
    ]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], kept(getattr(theirs, name)(kind_sel=kind), of.X, of.Y))
    if (name, kind) in EXPECTED:
        assert np.flatnonzero(found[0]).tolist() == EXPECTED[name, kind]
    else:
        n_expected = {("R", "all"): 26, ("R", "mode"): 34, ("A", "all"): 27, ("A", "mode"): 31}
        assert found[0].sum() == n_expected[name[0], kind]


@pytest.mark.parametrize(("max_iter", "n_iter"), [(1, 1), (2, 2), (5, 3)])
def test_rounds(max_iter, n_iter):
    sampler = dsmote.RepeatedEditedNearestNeighbours(max_iter=max_iter)
    found = kept(sampler, their_renn.X, their_renn.Y)
    assert sampler.n_iter_ == n_iter
    reference = Reference(squared(their_renn.X), their_renn.Y)
    assert np.array_equal(found, reference.stays(type(sampler).__name__, max_iter=max_iter))


def test_a_class_falls_below_the_smallest():
    """A class as small as the smallest loses more rows; one that is smaller does not."""
    X = np.array([[-2.0], [1.0], [2.1], [3.0], [10.0]])
    y = np.array([0, 0, 0, 1, 1])
    for library in (dsmote, theirs):
        sampler = library.RepeatedEditedNearestNeighbours(n_neighbors=1, sampling_strategy=[0])
        assert np.flatnonzero(kept(sampler, X, y)).tolist() == [0, 3, 4]
        assert sampler.n_iter_ == 2


def test_a_class_becomes_the_smallest():
    """AllKNN ends before, unless it is allowed."""
    shape = {"n_features": 2, "n_informative": 2, "n_redundant": 0, "n_clusters_per_class": 1}
    mix = {"n_classes": 3, "weights": [0.2, 0.3, 0.5], "class_sep": 0.4, "random_state": 0}
    X, y = make_classification(2_000, **shape, **mix)
    found = [kept(dsmote.AllKNN(allow_minority=each), X, y) for each in (False, True)]
    assert found[1].sum() < found[0].sum()
    # imbalanced-learn chooses the classes anew in each round, and would clean the smallest.
    others = theirs.AllKNN(allow_minority=True, sampling_strategy=[1, 2])
    assert np.array_equal(found[1], kept(others, X, y))


@pytest.fixture(scope="module")
def three_classes():
    shape = {"n_features": 2, "n_informative": 2, "n_redundant": 0, "n_clusters_per_class": 1}
    mix = {"n_classes": 3, "weights": [0.1, 0.3, 0.6], "random_state": 0}
    return make_classification(200, **shape, **mix)


def test_threshold(three_classes):
    """A class of exactly so many times the smallest is cleaned; one of fewer is not."""
    X, y = three_classes
    counts, enn = np.bincount(y), dsmote.EditedNearestNeighbours()
    ncr = dsmote.NeighbourhoodCleaningRule(edited_nearest_neighbours=enn, n_neighbors=10)
    ncr.set_params(threshold_cleaning=10)
    assert np.array_equal(kept(ncr, X, y), kept(enn, X, y))
    assert ncr.classes_to_clean_ == []
    exactly = counts[1] / counts[0]
    for threshold, classes in ((exactly, [1, 2]), (np.nextafter(exactly, 9), [2])):
        ncr.set_params(threshold_cleaning=threshold).fit_resample(X, y)
        assert ncr.classes_to_clean_ == classes
    few, many = (
        kept(dsmote.NeighbourhoodCleaningRule(edited_nearest_neighbours=enn, n_neighbors=k), X, y)
        for k in (3, 10)
    )
    assert few.sum() > many.sum()


def test_what_finds_the_edited_rows(three_classes):
    X, y = three_classes
    enn = dsmote.EditedNearestNeighbours(n_neighbors=7, kind_sel="all")
    found = kept(dsmote.NeighbourhoodCleaningRule(edited_nearest_neighbours=enn), X, y)
    reference = Reference(squared(X), y)
    edited = reference.stays("EditedNearestNeighbours", k=7)
    ncr = reference.stays("NeighbourhoodCleaningRule")
    by_mode = reference.stays("EditedNearestNeighbours", kind="mode")
    assert np.array_equal(found, edited & (ncr | ~by_mode))
    wrong = dsmote.NeighbourhoodCleaningRule(edited_nearest_neighbours=dsmote.TomekLinks())
    with pytest.raises(ValueError, match="TomekLinks, which has no n_neighbors; give an Edited"):
        wrong.fit_resample(X, y)


def tables(draw: Any) -> dict[str, Any]:
    """Draw a small table of few different values: twins of other labels, and ties."""
    n, d = draw(st.integers(8, 45)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = draw(st.integers(2, 4))
    y = rng.choice(np.array(list("bdac")[:classes], dtype=object), n, p=None)
    y[:classes] = list("bdac")[:classes]
    X = rng.integers(0, draw(st.sampled_from([2, 5, 30])), (n, d)).astype(float)
    if draw(st.booleans()):
        X += rng.normal(size=(n, d))
    return {"X": X, "y": y, "k": draw(st.integers(1, 5)), "rng": rng}


HOW = st.tuples(
    st.sampled_from(NAMES), st.sampled_from(["all", "mode"]), st.sampled_from(["auto", "all"])
)


def made(name: str, kind: str, strategy: Any, k: int, **more: Any) -> Any:
    """Make a sampler with what it has of these."""
    how = {"kind_sel": kind} if name in EDITING else {}
    more = {"n_neighbors": k, "sampling_strategy": strategy, **how, **more}
    return getattr(dsmote, name)(**more)


@settings(max_examples=60)
@given(data=st.data(), how=HOW, slack=st.integers(0, 2))
def test_any_table(data, how, slack):
    """As all pairs have it, with groups and scaled, and however few neighbours are in reserve."""
    of = tables(data.draw)
    X, y, k, rng = of["X"], of["y"], of["k"], of["rng"]
    name, kind, strategy = how
    k = min(k, len(y) - 1)
    grouped, scale = data.draw(st.booleans()), data.draw(st.sampled_from([None, "minmax"]))
    seen = X
    if scale:
        spread = np.ptp(X, axis=0)
        seen = (X - X.min(axis=0)) / np.where(spread > 0, spread, 1)
    squares = squared(seen)
    groups = rng.integers(0, 3, len(y))
    if grouped:
        squares = np.where(groups[:, None] == groups, squares, np.inf)
    reference = Reference(squares, y, None if strategy == "auto" else np.unique(y))
    sampler = made(name, kind, strategy, k, scale=scale)
    with pytest.MonkeyPatch.context() as patch:
        set_constant(patch, "samplers", "SLACK", slack)
        found = kept(sampler, X, y, **({"groups": groups} if grouped else {}))
    assert np.array_equal(found, reference.stays(name, k, kind))


@settings(max_examples=30)
@given(data=st.data(), how=HOW, numeric=st.booleans())
def test_categories(data, how, numeric):
    """By SMOTENC's distances, and where all features are categorical by SMOTEN's."""
    of = tables(data.draw)
    X, y, k, rng = of["X"], of["y"], of["k"], of["rng"]
    name, kind, strategy = how
    k = min(k, len(y) - 1)
    codes = rng.integers(0, 3, (len(y), 2))
    frame = pd.DataFrame(np.array(list("pqr"), dtype=object)[codes], columns=["f", "g"])
    if numeric:
        squares = squared(X)
        squares += mixed_weight(X.T) ** 2 * (codes[:, None, :] != codes).sum(axis=2)
        frame = frame.join(pd.DataFrame(X).add_prefix("x"))
    else:
        squares = np.zeros((len(y), len(y)))
        for column in codes.T:
            counts = pd.crosstab(column, y).reindex(range(3), fill_value=0).to_numpy()
            length = np.zeros(squares.shape)
            for share in level_probabilities(counts).T:  # in the order in which dsmote adds
                length += np.abs(share[column][:, None] - share[column])
            squares += length * length
    reference = Reference(squares, y, None if strategy == "auto" else np.unique(y))
    found = kept(made(name, kind, strategy, k), frame, pd.Series(y))
    assert np.array_equal(found, reference.stays(name, k, kind))


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("name", NAMES)
def test_on_dask(name, parts):
    rng = np.random.default_rng(0)
    y = pd.Series(rng.choice(list("aab"), 300), name="y")
    X = pd.DataFrame(rng.normal(size=(300, 2)).round(1), columns=["u", "v"])
    sampler = getattr(dsmote, name)()
    X_mem, y_mem = sampler.fit_resample(X, y)
    lengths = even(300, parts)
    lazy = getattr(dsmote, name)()
    found = compute_pair(*lazy.fit_resample(dask_frame(X, lengths), dask_frame(y, lengths)))
    pd.testing.assert_frame_equal(found[0], X_mem)
    assert found[1].tolist() == y_mem.tolist()
    told = lazy.report_.compute()
    assert told == {
        key: getattr(sampler, key)
        for key in ("n_iter_", "classes_to_clean_")
        if hasattr(sampler, key)
    }
