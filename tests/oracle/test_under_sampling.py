"""RandomUnderSampler against imbalanced-learn: its own checks, its counts, its index."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import make_pipeline
from imblearn.under_sampling import RandomUnderSampler as Oracle
from imblearn.utils._test_common.instance_generator import _get_check_estimator_ids
from imblearn.utils.estimator_checks import (
    _set_checking_parameters,
    check_dataframe_column_names_consistency,
    check_param_validation,
    estimator_checks_generator,
)
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.utils._testing import ignore_warnings
from sklearn.utils.estimator_checks import estimator_checks_generator as checks_of_scikit_learn

from dsmote import RandomUnderSampler
from tests.tables import numbers

SAMPLERS = [
    RandomUnderSampler(random_state=42),
    RandomUnderSampler(random_state=42, replacement=True),
]
CHECKS = [pair for sampler in SAMPLERS for pair in estimator_checks_generator(sampler)]
# scikit-learn's checks, which imbalanced-learn's suite runs on its samplers too.
SKLEARN_CHECKS = [pair for sampler in SAMPLERS for pair in checks_of_scikit_learn(sampler)]


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=_get_check_estimator_ids)
def test_checks_of_samplers(estimator, check):
    with ignore_warnings(category=(FutureWarning, ConvergenceWarning, UserWarning)):
        _set_checking_parameters(estimator)
        check(estimator)


@pytest.mark.parametrize(("estimator", "check"), SKLEARN_CHECKS, ids=_get_check_estimator_ids)
def test_checks_of_scikit_learn(estimator, check):
    with ignore_warnings(category=(FutureWarning, ConvergenceWarning, UserWarning)):
        check(estimator)


def test_parameters_and_column_names():
    for sampler in SAMPLERS:
        check_param_validation(type(sampler).__name__, clone(sampler))
        with ignore_warnings(category=FutureWarning):
            check_dataframe_column_names_consistency(type(sampler).__name__, clone(sampler))
        assert set(sampler.get_params()) == set(sampler._parameter_constraints)
        assert set(sampler.get_params()) == set(Oracle().get_params())


def test_tags_are_the_oracles_but_for_sparse_matrices():
    ours, theirs = RandomUnderSampler().__sklearn_tags__(), Oracle().__sklearn_tags__()
    assert ours.estimator_type == theirs.estimator_type
    assert ours.target_tags.required == theirs.target_tags.required
    assert ours.sampler_tags.sample_indices
    assert theirs.sampler_tags.sample_indices
    for name in ("two_d_array", "string", "allow_nan", "dataframe"):
        assert getattr(ours.input_tags, name) == getattr(theirs.input_tags, name)
    assert RandomUnderSampler._sampling_type == Oracle._sampling_type


Y = np.repeat(["b", "a", "c"], [70, 25, 5])
TWO = np.repeat([1, 0], [70, 25])


@pytest.mark.parametrize(
    ("y", "strategy"),
    [
        *((Y, word) for word in ("auto", "majority", "not minority", "not majority", "all")),
        (Y, {"b": 30, "a": 0}),
        (Y, lambda y: {"b": int((np.asarray(y) == "a").sum())}),
        *((TWO, ratio) for ratio in (0.36, 0.5, 0.7, 1.0)),
    ],
)
@pytest.mark.parametrize("replacement", [False, True])
def test_counts_and_attributes(y, strategy, replacement):
    X = np.arange(len(y)).reshape(-1, 1)
    how = {"sampling_strategy": strategy, "random_state": 0, "replacement": replacement}
    ours, theirs = RandomUnderSampler(**how), Oracle(**how)
    X_res, y_res = ours.fit_resample(X, y)
    X_their, y_their = theirs.fit_resample(X, y)
    assert Counter(y_res.tolist()) == Counter(y_their.tolist())
    assert dict(ours.sampling_strategy_) == dict(theirs.sampling_strategy_)
    assert X_res.dtype == X_their.dtype
    np.testing.assert_array_equal(X[ours.sample_indices_], X_res)
    assert (np.diff(ours.sample_indices_) >= 0).all()


@pytest.mark.parametrize(
    "strategy", ["minority", {"b": 71}, {"d": 1}, {"b": -1}, 0.5, ["a"], 0.0, 1.1]
)
def test_what_the_oracle_refuses_is_refused(strategy):
    X = np.arange(len(Y)).reshape(-1, 1)
    for kind in (Oracle, RandomUnderSampler):
        with pytest.raises(ValueError):
            kind(sampling_strategy=strategy).fit_resample(X, Y)


def test_the_index_is_kept():
    X = pd.DataFrame({"a": np.arange(95)}, index=[f"row {i}" for i in range(95)])
    y = pd.Series(TWO, index=X.index, name="y")
    ours, theirs = (
        kind(random_state=0).fit_resample(X, y) for kind in (RandomUnderSampler, Oracle)
    )
    for X_res, y_res in (ours, theirs):
        assert X_res.index.equals(y_res.index)
        assert X_res["a"].tolist() == [int(name[4:]) for name in X_res.index]


def test_a_step_of_a_pipeline_and_of_a_grid_search():
    table = numbers(300, 60, 4)
    X, y = table.drop(columns="y"), table["y"]
    pipeline = make_pipeline(RandomUnderSampler(random_state=0), LogisticRegression())
    grid = {"randomundersampler__replacement": [False, True]}
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(X, y)
    assert len(search.predict(X)) == 300
    expected = LogisticRegression().fit(*RandomUnderSampler(random_state=0).fit_resample(X, y))
    np.testing.assert_array_equal(pipeline.fit(X, y).predict(X), expected.predict(X))
