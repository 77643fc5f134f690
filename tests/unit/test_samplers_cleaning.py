"""Samplers that leave rows out: what they refuse, and classes whose rows have missing values."""

import tracemalloc

import numpy as np
import pytest

from dsmote import (
    SMOTE,
    AllKNN,
    Chain,
    EditedNearestNeighbours,
    NearMiss,
    NeighbourhoodCleaningRule,
    OneSidedSelection,
    RepeatedEditedNearestNeighbours,
    TomekLinks,
)


def table(seed, *sizes):
    rng = np.random.default_rng(seed)
    y = np.repeat(range(len(sizes)), sizes)
    return rng.normal(size=(len(y), 2)), y


@pytest.mark.parametrize("kind", [RepeatedEditedNearestNeighbours, AllKNN])
def test_a_class_whose_rows_all_lack_values_stops_nothing(kind):
    X, y = table(0, 40, 12, 8)
    X[y == 2] = np.nan
    found = kind(sampling_strategy=[0], missing="skip").fit_resample(X, y)[1]
    expected = kind(sampling_strategy=[0]).fit_resample(X[y < 2], y[y < 2])[1]
    assert np.bincount(found).tolist() == [*np.bincount(expected), 8]


def test_the_smallest_class_is_that_of_all_rows():
    X, y = table(3, 90, 20, 15)
    X[95:105] = np.nan  # now class 1 has the fewest complete rows
    sampler = NeighbourhoodCleaningRule(missing="skip")
    left = np.bincount(sampler.fit_resample(X, y)[1])
    assert list(sampler.sampling_strategy_) == [0, 1]
    assert left[2] == 15
    assert left[1] < 20


def test_nothing_to_compare_with_is_refused_by_the_plan():
    X, y = table(0, 40, 12, 8)
    X[y == 2] = np.nan
    plan = OneSidedSelection(missing="skip").plan(X, y)
    with pytest.raises(ValueError, match="class 2, the smallest, has 0 rows without missing"):
        plan.check()


def test_more_incomplete_rows_than_are_to_stay_are_refused_by_the_plan():
    X, y = table(0, 50, 10)
    X[:45] = np.nan
    with pytest.raises(ValueError, match=r"keep 10 of its 50 rows, but 45 have missing"):
        NearMiss(missing="skip").plan(X, y).check()


def test_a_third_version_keeps_at_most_what_is_asked_for():
    X, y = table(0, 250, 50)
    X[y == 1] *= 0.01
    sampler = NearMiss(version=3, n_neighbors_ver3=2)
    with pytest.warns(UserWarning, match="rows instead of 50"):
        made = sampler.fit_resample(X, y)
    assert sampler.plan_.at_most
    over = SMOTE(sampling_strategy=1.0, k_neighbors=2, random_state=0)
    expected = np.bincount(over.fit_resample(*made)[1])
    with pytest.warns(UserWarning):
        _, chained = Chain([sampler, over]).fit_resample(X, y)
    assert np.bincount(chained).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("edited", "message"),
    [
        (EditedNearestNeighbours(n_neighbors=0), "'n_neighbors' parameter of Edited"),
        (EditedNearestNeighbours(kind_sel="bogus"), "'kind_sel' parameter of Edited"),
    ],
)
def test_the_edited_neighbours_of_a_rule_are_checked(edited, message):
    with pytest.raises(ValueError, match=message):
        NeighbourhoodCleaningRule(edited_nearest_neighbours=edited).fit_resample(*table(0, 30, 10))


def test_one_complete_row_has_no_neighbour():
    X = np.array([[1.0], [np.nan], [np.nan]])
    with pytest.raises(ValueError, match="1 row without missing values, but a row needs another"):
        TomekLinks(missing="skip").fit_resample(X, [0, 0, 1])


def test_a_bit_of_each_row_is_decided_without_lists_of_all_neighbours():
    n, k = 100_000, 10
    X, y = np.random.default_rng(0).normal(size=(n, 2)), np.arange(n) % 2
    made = EditedNearestNeighbours(n_neighbors=k, sampling_strategy="all")
    made.fit_resample(X[:1_000], y[:1_000])
    tracemalloc.start()
    made.fit_resample(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 22 * n * k  # 27 with a distance and a number of each neighbour
