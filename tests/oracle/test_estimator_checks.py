"""imbalanced-learn's own checks of samplers, as its test suite runs them."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from imblearn.pipeline import Pipeline, make_pipeline
from imblearn.utils._test_common.instance_generator import _get_check_estimator_ids
from imblearn.utils.estimator_checks import (
    _set_checking_parameters,
    check_dataframe_column_names_consistency,
    check_param_validation,
    estimator_checks_generator,
)
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils._testing import ignore_warnings
from sklearn.utils.estimator_checks import estimator_checks_generator as checks_of_scikit_learn

from dsmote import SMOTE, SMOTENC
from tests.tables import mixed, numbers

SAMPLERS = [SMOTE(random_state=42), SMOTENC(categorical_features=[0], random_state=42)]


# What parametrize_with_checks yields, as the list that pytest wants.
CHECKS = [pair for sampler in SAMPLERS for pair in estimator_checks_generator(sampler)]


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=_get_check_estimator_ids)
def test_checks_of_samplers(estimator, check):
    with ignore_warnings(category=(FutureWarning, ConvergenceWarning, UserWarning)):
        _set_checking_parameters(estimator)
        check(estimator)


# scikit-learn's checks, which imbalanced-learn's suite runs on its samplers too.
NOT_MEANT = {
    "check_fit2d_1feature": "fit refuses a class of 3 rows for k = 5; SMOTENC needs two columns",
    "check_dtype_object": "a dict among numbers is refused by a ValueError that names the column",
    "check_estimators_nan_inf": "for SMOTENC: the column is nominal, and a missing name is a level",
}
EXPECTED = [NOT_MEANT.copy(), NOT_MEANT.copy()]
del EXPECTED[0]["check_estimators_nan_inf"]
SKLEARN_CHECKS = [
    pair
    for sampler, expected in zip(SAMPLERS, EXPECTED, strict=True)
    for pair in checks_of_scikit_learn(sampler, expected_failed_checks=expected, mark="xfail")
]


@pytest.mark.parametrize(("estimator", "check"), SKLEARN_CHECKS, ids=_get_check_estimator_ids)
def test_checks_of_scikit_learn(estimator, check):
    with ignore_warnings(category=(FutureWarning, ConvergenceWarning, UserWarning)):
        _set_checking_parameters(estimator)
        check(estimator)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=["SMOTE", "SMOTENC"])
def test_parameter_validation(sampler):
    _set_checking_parameters(sampler)
    check_param_validation(type(sampler).__name__, sampler)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=["SMOTE", "SMOTENC"])
def test_column_names(sampler):
    _set_checking_parameters(sampler)
    with ignore_warnings(category=FutureWarning), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        check_dataframe_column_names_consistency(type(sampler).__name__, sampler)
    assert not [w for w in said if "was fitted without feature names" in str(w.message)]


def test_parameters_are_all_keywords_and_validated():
    for sampler in SAMPLERS:
        assert set(sampler.get_params()) == set(sampler._parameter_constraints)
        with pytest.raises(TypeError):  # imbalanced-learn's SMOTENC takes one by position, too
            type(sampler)("auto", "auto")
    with pytest.raises(TypeError):
        SMOTE("auto")


# ---- in pipelines


def data():
    table = numbers(300, 60, 4)
    return table.drop(columns="y"), table["y"]


def test_a_step_of_a_pipeline():
    X, y = data()
    pipeline = make_pipeline(StandardScaler(), SMOTE(random_state=0), LogisticRegression())
    pipeline.fit(X, y)
    # By hand: the sampler acts while fitting only.
    scaled = StandardScaler().fit_transform(X)
    X_res, y_res = SMOTE(random_state=0).fit_resample(scaled, y)
    expected = LogisticRegression().fit(X_res, y_res).predict(scaled)
    np.testing.assert_array_equal(pipeline.predict(X), expected)
    assert not np.array_equal(LogisticRegression().fit(scaled, y).predict(scaled), expected)


def test_smotenc_is_a_step_of_a_pipeline():
    table = mixed(300, 90)
    X, y = table[["a", "c", "d"]], table["y"]
    pipeline = make_pipeline(
        SMOTENC(random_state=0),
        OneHotEncoder(handle_unknown="ignore"),
        RandomForestClassifier(5, random_state=0),
    )
    assert pipeline.fit(X, y).score(X, y) > 0.5
    assert pipeline[0].sampling_strategy_ == {
        "few": (y == "most").sum() - (y == "few").sum(),
        "less": (y == "most").sum() - (y == "less").sum(),
    }


def test_grid_search_over_a_pipeline():
    X, y = data()
    pipeline = Pipeline([("smote", SMOTE(random_state=0)), ("model", LogisticRegression())])
    search = GridSearchCV(
        pipeline,
        {"smote__k_neighbors": [2, 5], "smote__sampling_strategy": ["auto", 0.6]},
        cv=3,
        scoring="roc_auc",
        error_score="raise",
    ).fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_estimator_["smote"].k_neighbors == search.best_params_["smote__k_neighbors"]


def test_grid_search_over_smotenc():
    table = mixed(240, 80)
    pipeline = make_pipeline(
        SMOTENC(random_state=0), OneHotEncoder(handle_unknown="ignore"), LogisticRegression()
    )
    grid = {"smotenc__k_neighbors": [1, 3]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    search.fit(table[["a", "c", "d"]], table["y"])
    assert set(search.cv_results_["param_smotenc__k_neighbors"]) == {1, 3}


@pytest.mark.parametrize("sampler", [SMOTE(random_state=3), SMOTENC(random_state=3)])
def test_clone_set_params_and_pickle(sampler):
    import pickle

    table = numbers(100, 20) if type(sampler) is SMOTE else mixed(100, 40)
    X, y = table.drop(columns="y"), table["y"]
    expected = sampler.fit_resample(X, y)
    for copy in (clone(sampler), pickle.loads(pickle.dumps(sampler))):
        pd.testing.assert_frame_equal(copy.fit_resample(X, y)[0], expected[0])
    assert not hasattr(clone(sampler), "sampling_strategy_")
    assert pickle.loads(pickle.dumps(sampler)).sampling_strategy_ == sampler.sampling_strategy_
    other = clone(sampler).set_params(random_state=4, k_neighbors=2)
    assert other.get_params()["k_neighbors"] == 2
    assert not other.fit_resample(X, y)[0].equals(expected[0])


def test_names_out_and_fitted_attributes():
    X, y = data()
    sampler = SMOTE(random_state=0).fit(X, y)
    assert sampler.sampling_strategy_ == {1: 180}
    assert sampler.n_features_in_ == 4
    assert sampler.feature_names_in_.tolist() == list("abcd")
    assert sampler.get_feature_names_out().tolist() == list("abcd")
    sampler.fit(X.to_numpy(), y)
    assert not hasattr(sampler, "feature_names_in_")
    assert sampler.get_feature_names_out().tolist() == ["x0", "x1", "x2", "x3"]
    nominal = SMOTENC(categorical_features=["c"], random_state=0)
    assert nominal.fit(X, y).categorical_features_.tolist() == [2]


def test_tags_say_what_a_sampler_is():
    for sampler in SAMPLERS:
        tags = sampler.__sklearn_tags__()
        assert tags.estimator_type == "sampler"
        assert tags.target_tags.required
        assert not tags.input_tags.sparse
        assert tags.input_tags.dataframe
        assert not tags.sampler_tags.sample_indices
        assert sampler._sampling_type == "over-sampling"
    with sklearn.config_context(print_changed_only=True):
        assert str(SMOTE(k_neighbors=3)) == "SMOTE(k_neighbors=3)"
