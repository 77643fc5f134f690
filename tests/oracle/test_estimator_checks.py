"""imbalanced-learn's and scikit-learn's own checks, for every over-sampler."""

import inspect
import pickle
import warnings

import imblearn.over_sampling as theirs
import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import make_pipeline
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
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils._testing import ignore_warnings
from sklearn.utils.estimator_checks import estimator_checks_generator as checks_of_scikit_learn

from dsmote import SMOTEN, SMOTENC, KMeansSMOTE, RandomOverSampler
from tests.samplers import family
from tests.tables import mixed, numbers

# Where imbalanced-learn has them, with the parameters that its own suite gives to its classes.
VARIANTS = family()
VARIANTS["kmeans"] = KMeansSMOTE, {"random_state": 0}
VARIANTS["smotenc"] = SMOTENC, {"categorical_features": [0]}
SAMPLERS = [kind(**({"random_state": 42} | how)) for kind, how in VARIANTS.values()]
IN_BOTH = [sampler for sampler in SAMPLERS if hasattr(theirs, type(sampler).__name__)]
IN_BOTH.pop()  # imbalanced-learn's SMOTENC cannot be made without parameters: see test_drop_in.py
EACH = pytest.mark.parametrize("sampler", SAMPLERS, ids=_get_check_estimator_ids)
EACH_IN_BOTH = pytest.mark.parametrize("sampler", IN_BOTH, ids=_get_check_estimator_ids)
CHECKS = [pair for sampler in SAMPLERS for pair in estimator_checks_generator(sampler)]
SKLEARN_CHECKS = [pair for sampler in SAMPLERS for pair in checks_of_scikit_learn(sampler)]

# Those of scikit-learn's checks that are not meant to pass, and what is said instead.
# A dict among numbers is refused by an error that names the column: a ValueError, where the check
# wants a TypeError in Python's own words.
OBJECT = {"check_dtype_object": "could not convert string to float|measures numbers"}
# fit decides how many rows are to be made, and for that refuses a class of 3 rows for k = 5.
SMALL = {"check_fit2d_1feature": "class 2 has 3 rows, but [kn]_neighbors=5 needs at least 6"}
# The first column is categorical: a missing category is a level, and one column is not enough.
NOMINAL = {
    "check_dtype_object": "cannot be levels of a nominal column",
    "check_estimators_nan_inf": "doesn't check for NaN and inf in fit",
    "check_fit2d_1feature": "needs at least one numeric feature, but all 1",
}


def not_meant(sampler):
    if isinstance(sampler, RandomOverSampler) and sampler.shrinkage is None:
        return {}
    if isinstance(sampler, SMOTENC):
        return NOMINAL
    small = SMALL if sampler._recipe().k > 2 else {}
    return small if isinstance(sampler, SMOTEN) else OBJECT | small


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=_get_check_estimator_ids)
def test_checks_of_samplers(estimator, check):
    estimator = clone(estimator)
    with ignore_warnings(category=(FutureWarning, ConvergenceWarning, UserWarning)):
        _set_checking_parameters(estimator)
        check(estimator)


@pytest.mark.parametrize(("estimator", "check"), SKLEARN_CHECKS, ids=_get_check_estimator_ids)
def test_checks_of_scikit_learn(estimator, check):
    estimator = clone(estimator)
    said = not_meant(estimator).get(check.func.__name__)
    with ignore_warnings(category=(FutureWarning, ConvergenceWarning, UserWarning)):
        _set_checking_parameters(estimator)
        if said is None:
            check(estimator)
        else:
            with pytest.raises((AssertionError, ValueError), match=said):
                check(estimator)


@EACH
def test_parameter_validation(sampler):
    sampler = clone(sampler)
    _set_checking_parameters(sampler)
    check_param_validation(type(sampler).__name__, sampler)


@EACH
def test_column_names(sampler):
    sampler = clone(sampler)
    _set_checking_parameters(sampler)
    with ignore_warnings(category=FutureWarning), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        check_dataframe_column_names_consistency(type(sampler).__name__, sampler)
    assert not [w for w in said if "was fitted without feature names" in str(w.message)]


@EACH
def test_every_parameter_has_a_constraint_and_none_is_positional(sampler):
    assert set(sampler.get_params()) == set(sampler._parameter_constraints)
    kinds = {
        name: parameter.kind
        for name, parameter in inspect.signature(type(sampler)).parameters.items()
    }
    positional = {n for n, kind in kinds.items() if kind is not inspect.Parameter.KEYWORD_ONLY}
    # imbalanced-learn's SMOTEN and SMOTENC take their first by position.
    assert positional <= {"categorical_encoder", "categorical_features"}


# ---- for who comes from imbalanced-learn


@EACH_IN_BOTH
def test_parameters_and_their_defaults_are_those_of_imblearn_and_more(sampler):
    kind = type(sampler)
    ours = kind().get_params()
    original = getattr(theirs, kind.__name__)().get_params()
    assert {name: ours[name] for name in original} == original
    assert set(ours) > set(original)


@EACH_IN_BOTH
def test_tags_are_those_of_imblearn_but_for_sparse_matrices_and_missing_names(sampler):
    ours = sampler.__sklearn_tags__()
    given = {"shrinkage": sampler.shrinkage} if isinstance(sampler, RandomOverSampler) else {}
    original = getattr(theirs, type(sampler).__name__)(**given).__sklearn_tags__()
    assert ours.estimator_type == original.estimator_type == "sampler"
    assert ours.target_tags.required
    assert ours.sampler_tags.sample_indices == original.sampler_tags.sample_indices
    assert ours.input_tags.dataframe
    assert not ours.input_tags.sparse
    nominal = isinstance(sampler, SMOTEN)
    smoothed = bool(given.get("shrinkage"))
    # A smoothed bootstrap needs numbers: imbalanced-learn's tags say otherwise, its code does not.
    assert ours.input_tags.string == (original.input_tags.string and not smoothed)
    assert ours.input_tags.allow_nan == (
        nominal or (original.input_tags.allow_nan and not smoothed)
    )
    assert type(sampler)._sampling_type == "over-sampling"


# ---- as users use them


def table_for(sampler, n=240, minority=60):
    """Return features and target in which each sampler finds bases: classes that overlap."""
    if isinstance(sampler, SMOTEN):
        table = mixed(n, minority)
        return table[["c", "d"]], table["y"]
    table = numbers(n, minority, 4)
    # Two heaps, so that some cluster holds mostly the minority.
    X = table.drop(columns="y") + 1.5 * table[["y"]].to_numpy()
    return X, table["y"]


@EACH
def test_a_clone_and_a_pickle_do_as_the_sampler_does(sampler):
    X, y = table_for(sampler)
    sampler = clone(sampler)
    expected = sampler.fit_resample(X, y)
    for copy in (clone(sampler), pickle.loads(pickle.dumps(sampler))):
        X_res, y_res = copy.fit_resample(X, y)
        pd.testing.assert_frame_equal(X_res, expected[0])
        pd.testing.assert_series_equal(y_res, expected[1])
    assert not hasattr(clone(sampler), "sampling_strategy_")
    assert pickle.loads(pickle.dumps(sampler)).sampling_strategy_ == sampler.sampling_strategy_


@EACH
def test_set_params_changes_what_is_made(sampler):
    X, y = table_for(sampler)
    sampler = clone(sampler)
    before = sampler.fit_resample(X, y)[0]
    after = sampler.set_params(random_state=7).fit_resample(X, y)[0]
    assert len(after) == len(before)
    assert after.equals(before) != sampler._random
    more = sampler.set_params(sampling_strategy="not majority").fit_resample(X, y)[1]
    assert more.value_counts().nunique() == 1
    with pytest.raises(ValueError, match="Invalid parameter 'no_such'"):
        sampler.set_params(no_such=1)


@EACH
def test_fitted_attributes(sampler):
    X, y = table_for(sampler)
    sampler = clone(sampler).fit(X, y)
    counts = y.value_counts()
    most = counts.idxmax()
    assert sampler.sampling_strategy_ == {
        label: counts.max() - n for label, n in counts.items() if label != most
    }
    assert sampler.n_features_in_ == X.shape[1]
    assert sampler.feature_names_in_.tolist() == list(X)
    assert sampler.get_feature_names_out().tolist() == list(X)
    sampler.fit(X.to_numpy(), y)
    assert not hasattr(sampler, "feature_names_in_")
    assert sampler.get_feature_names_out().tolist() == [f"x{i}" for i in range(X.shape[1])]


def steps_for(sampler):
    if isinstance(sampler, SMOTEN):
        return sampler, OneHotEncoder(handle_unknown="ignore"), LogisticRegression()
    return sampler, LogisticRegression()


@EACH
def test_a_step_of_a_pipeline_acts_while_fitting_only(sampler):
    X, y = table_for(sampler)
    pipeline = make_pipeline(*steps_for(clone(sampler))).fit(X, y)
    X_res, y_res = clone(sampler).fit_resample(X, y)
    assert len(X_res) > len(X)
    model = make_pipeline(*steps_for(sampler)[1:]).fit(X_res, y_res)
    probabilities = pipeline.predict_proba(X)
    assert len(probabilities) == len(X)
    np.testing.assert_array_equal(probabilities, model.predict_proba(X))


@EACH
def test_a_grid_search_over_its_parameters(sampler):
    X, y = table_for(sampler)
    name = type(sampler).__name__.lower()
    k_name = sampler._recipe().k_name
    parameter = k_name if hasattr(sampler, k_name) else "sampling_strategy"
    values = ["auto", 0.8] if parameter == "sampling_strategy" else [2, 4]
    search = GridSearchCV(
        make_pipeline(*steps_for(clone(sampler))),
        {f"{name}__{parameter}": values},
        cv=2,
        scoring="balanced_accuracy",
        error_score="raise",
    ).fit(X, y)
    assert search.cv_results_[f"param_{name}__{parameter}"].tolist() == values
    assert search.best_score_ > 0.3
    chosen = search.best_estimator_[0].get_params()[parameter]
    assert chosen == search.best_params_[f"{name}__{parameter}"]


def test_smotenc_is_a_step_of_a_pipeline():
    table = mixed(300, 90)
    X, y = table[["a", "c", "d"]], table["y"]
    pipeline = make_pipeline(
        SMOTENC(random_state=0),
        OneHotEncoder(handle_unknown="ignore"),
        RandomForestClassifier(5, random_state=0),
    )
    assert pipeline.fit(X, y).score(X, y) > 0.5
    nominal = SMOTENC(categorical_features=["c", "d"], random_state=0)
    assert nominal.fit(X, y).categorical_features_.tolist() == [1, 2]
