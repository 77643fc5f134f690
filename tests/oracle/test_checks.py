"""For who comes from imbalanced-learn: its own and scikit-learn's checks, signatures, pipelines."""

import inspect
import pickle
import subprocess
import sys
import warnings

import imblearn.over_sampling
import imblearn.under_sampling
import numpy as np
import pandas as pd
import pytest
import sklearn
from imblearn.pipeline import make_pipeline
from imblearn.utils._test_common.instance_generator import _get_check_estimator_ids
from imblearn.utils.estimator_checks import (
    _set_checking_parameters,
    check_dataframe_column_names_consistency,
    check_param_validation,
    estimator_checks_generator,
)
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils._testing import ignore_warnings
from sklearn.utils.estimator_checks import estimator_checks_generator as checks_of_scikit_learn

from dsmote import SMOTE, SMOTEENN, SMOTEN, SMOTENC, KMeansSMOTE, RandomUnderSampler, SMOTETomek
from dsmote.samplers.chain import Combination
from dsmote.samplers.cleaning import RuleSampler
from dsmote.samplers.registry import parameters_of
from tests.samplers import family
from tests.tables import mixed, numbers, overlapping

# Where imbalanced-learn has them, with the parameters that its own suite gives to its classes.
OVER = family() | {
    "kmeans": (KMeansSMOTE, {"random_state": 0}),
    "smotenc": (SMOTENC, {"categorical_features": [0]}),
}
ALL = OVER | family(over=False) | family(rules=True)


def seeded(kind, seed):
    return {"random_state": seed} if "random_state" in parameters_of(kind) else {}


SAMPLERS = [kind(**(seeded(kind, 42) | how)) for kind, how in ALL.values()]
EACH = pytest.mark.parametrize("sampler", SAMPLERS, ids=_get_check_estimator_ids)
NAMES = pytest.mark.parametrize("name", ALL)


def original_of(kind):
    for module in (imblearn.over_sampling, imblearn.under_sampling):
        if hasattr(module, kind.__name__):
            return getattr(module, kind.__name__)
    return None


IN_BOTH = pytest.mark.parametrize("name", [n for n, (kind, _) in ALL.items() if original_of(kind)])
COMBINED = [kind(random_state=42) for kind in (SMOTEENN, SMOTETomek)]
#: Of each class one, and the smoothed bootstrap, whose tags are others.
ONCE = {type(sampler): sampler for sampler in reversed(SAMPLERS)}
CHECKS = [
    pair
    for sampler in [*ONCE.values(), SAMPLERS[[*ALL].index("smoothed")], *COMBINED]
    for generator in (estimator_checks_generator, checks_of_scikit_learn)
    for pair in generator(sampler)
]

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
    if isinstance(sampler, RuleSampler):
        if "categorical_features" not in parameters_of(type(sampler)):
            return OBJECT
        return {"check_dtype_object": "cannot be levels of a nominal column"}
    if isinstance(sampler, Combination):
        return OBJECT | SMALL
    if not hasattr(sampler, "_recipe") or getattr(sampler, "shrinkage", 1) is None:
        return {}
    if isinstance(sampler, SMOTENC):
        return NOMINAL
    small = SMALL if sampler._recipe().k > 2 else {}
    return small if isinstance(sampler, SMOTEN) else OBJECT | small


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=_get_check_estimator_ids)
def test_checks_of_imblearn_and_of_scikit_learn(estimator, check):
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
def test_parameters_and_column_names(sampler):
    sampler = clone(sampler)
    _set_checking_parameters(sampler)
    check_param_validation(type(sampler).__name__, clone(sampler))
    with ignore_warnings(category=FutureWarning), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        check_dataframe_column_names_consistency(type(sampler).__name__, sampler)
    assert not [w for w in said if "was fitted without feature names" in str(w.message)]
    assert set(sampler.get_params(deep=False)) == set(sampler._parameter_constraints)


# ---- parameters, tags and attributes


@NAMES
def test_parameters_are_those_of_imblearn_in_the_same_way(name):
    kind = ALL[name][0]
    ours = inspect.signature(kind).parameters
    original = original_of(kind)
    theirs = inspect.signature(original).parameters if original else {}
    for name, parameter in ours.items():
        # imbalanced-learn's SMOTEN and SMOTENC take their first by position.
        same = theirs[name].kind if name in theirs else inspect.Parameter.KEYWORD_ONLY
        assert parameter.kind == same, name
        if name in theirs and theirs[name].default is not inspect.Parameter.empty:
            assert parameter.default == theirs[name].default, name
    assert set(theirs) <= set(ours)


@IN_BOTH
def test_tags_are_those_of_imblearn_but_for_sparse_matrices_and_missing_names(name):
    kind, how = ALL[name]
    ours = kind(**how).__sklearn_tags__()
    given = {k: v for k, v in how.items() if k in ("shrinkage", "categorical_features")}
    original = original_of(kind)(**given).__sklearn_tags__()
    assert ours.estimator_type == original.estimator_type == "sampler"
    assert ours.target_tags.required
    # ClusterCentroids keeps real rows, or says which of them stand for centres.
    assert ours.sampler_tags.sample_indices >= original.sampler_tags.sample_indices
    assert ours.input_tags.dataframe
    assert ours.input_tags.sparse == (kind._takes_sparse and "shrinkage" not in given)
    # A smoothed bootstrap needs numbers: imbalanced-learn's tags say otherwise, its code does not.
    smoothed = bool(given.get("shrinkage"))
    # Cleaning methods take categories, which imbalanced-learn's do not.
    if name != "smotenc" and not issubclass(kind, RuleSampler):
        assert ours.input_tags.string == (original.input_tags.string and not smoothed)
        nan = name == "smoten" or (original.input_tags.allow_nan and not smoothed)
        assert ours.input_tags.allow_nan == nan
    assert kind._sampling_type == original_of(kind)._sampling_type


# Searchers and encoders that dsmote does not have; n_features_ is n_features_in_.
DEPARTURES = {
    "nn_",
    "nn_k_",
    "nn_m_",
    "nn_ver3_",
    "estimators_",
    "categorical_encoder_",
    "n_features_",
}


def needed(name):
    kind, how = ALL[name]
    how = {"cluster_balance_threshold": 0.05} if name == "kmeans" else how
    return kind(**seeded(kind, 0), **how)


def small_table(name):
    X, y = overlapping()
    if name in ("smoten", "smotenc"):
        X[:, 0] = np.rint(X[:, 0])
    return (X[:, :1] if name == "smoten" else X), y


#: Samplers inside of others, which dsmote has none of.
INSIDE = {"enn_", "edited_nearest_neighbours_"}


@IN_BOTH
def test_fitted_attributes_are_those_of_imblearn_and_more(name):
    ours = needed(name)
    there = original_of(type(ours))
    kept = ours.get_params()
    theirs = there(**{k: v for k, v in kept.items() if k in inspect.signature(there).parameters})
    fitted = []
    for sampler in (ours, theirs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            sampler.fit_resample(*small_table(name))
        fitted.append({n: v for n, v in vars(sampler).items() if n not in kept and n[0] != "_"})
    assert set(fitted[1]) - set(fitted[0]) <= DEPARTURES | INSIDE
    assert "plan_" in fitted[0]
    if ours._sampling_type == "clean-sampling":  # there the classes have the minority's rows
        classes = ours.sampling_strategy_, theirs.sampling_strategy_
        assert list(classes[0]) == list(classes[1])
        del fitted[0]["sampling_strategy_"], fitted[1]["sampling_strategy_"]
    for attribute in ("sampling_strategy_", "n_features_in_", "cluster_balance_threshold_"):
        assert fitted[0].get(attribute) == fitted[1].get(attribute)


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
def test_clones_pickles_and_fitted_attributes(sampler):
    X, y = table_for(sampler)
    sampler = clone(sampler)
    assert sampler.fit(X, y) is sampler
    expected = sampler.fit_resample(X, y)
    pickled = pickle.loads(pickle.dumps(sampler))
    assert pickled.sampling_strategy_ == sampler.sampling_strategy_
    assert not hasattr(clone(sampler), "sampling_strategy_")
    for copy in (clone(sampler), pickled):
        X_res, y_res = copy.fit_resample(X, y)
        pd.testing.assert_frame_equal(X_res, expected[0])
        pd.testing.assert_series_equal(y_res, expected[1])
    after = pickled.set_params(**seeded(type(sampler), 7)).fit_resample(X, y)[0]
    assert after.equals(expected[0]) != sampler._random
    sampler = clone(sampler).fit(X, y)
    counts = y.value_counts()
    if hasattr(sampler, "_recipe"):
        wanted = {label: counts.max() - n for label, n in counts.items() if n < counts.max()}
    else:
        cleans = sampler._sampling_type == "clean-sampling"  # of all that a class has, at most
        least = counts.min()
        wanted = {label: n if cleans else least for label, n in counts.items() if n > least}
        assert not hasattr(sampler, "sample_indices_")
    assert sampler.sampling_strategy_ == wanted
    assert sampler.n_features_in_ == X.shape[1]
    assert sampler.feature_names_in_.tolist() == list(X)
    assert sampler.get_feature_names_out().tolist() == list(X)
    sampler.fit(X.to_numpy(), y)
    assert not hasattr(sampler, "feature_names_in_")
    assert sampler.get_feature_names_out().tolist() == [f"x{i}" for i in range(X.shape[1])]


#: One of each kind: the step is the same code in all.
IN_PIPELINES = ("SMOTE", "SMOTEN", "RandomUnderSampler", "TomekLinks")


@pytest.mark.parametrize(
    "sampler",
    [s for s in ONCE.values() if type(s).__name__ in IN_PIPELINES],
    ids=_get_check_estimator_ids,
)
def test_a_step_of_a_pipeline_and_a_grid_search_over_its_parameters(sampler):
    X, y = table_for(sampler)
    steps = [OneHotEncoder(handle_unknown="ignore")] if isinstance(sampler, SMOTEN) else []
    pipeline = make_pipeline(clone(sampler), *steps, LogisticRegression()).fit(X, y)
    X_res, y_res = clone(sampler).fit_resample(X, y)
    model = make_pipeline(*map(clone, steps), LogisticRegression()).fit(X_res, y_res)
    # It acts while fitting only.
    np.testing.assert_array_equal(pipeline.predict_proba(X), model.predict_proba(X))
    name = type(sampler).__name__.lower()
    k_name = sampler._recipe().k_name if hasattr(sampler, "_recipe") else "replacement"
    k_name = "scale" if isinstance(sampler, RuleSampler) else k_name
    parameter = k_name if hasattr(sampler, k_name) else "sampling_strategy"
    values = {"sampling_strategy": ["auto", 0.8], "replacement": [False, True]}
    values |= {"scale": ["standard", "minmax"]}
    values = values.get(parameter, [2, 4])
    search = GridSearchCV(
        pipeline,
        {f"{name}__{parameter}": values},
        cv=2,
        scoring="balanced_accuracy",
        error_score="raise",
    ).fit(X, y)
    assert search.cv_results_[f"param_{name}__{parameter}"].tolist() == values
    assert search.best_score_ > 0.3
    chosen = search.best_estimator_[0].get_params()[parameter]
    assert chosen == search.best_params_[f"{name}__{parameter}"]


# ---- inside what scikit-learn routes


class _Keeps(ClassifierMixin, BaseEstimator):
    """Keeps what it is fitted to."""

    def fit(self, X, y):
        self.X_, self.classes_ = X, np.unique(y)
        return self


@NAMES
@pytest.mark.parametrize("what", ["sample_weight", "groups"])
def test_what_is_requested_reaches_the_sampler_or_raises(name, what):
    """New rows are those of a call with groups; what no pipeline can serve is an error."""
    X, y = small_table(name)
    values = np.arange(len(y)) % 2
    sampler = needed(name)
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(sampler.set_fit_resample_request(**{what: True}), _Keeps())
        if what in sampler._routable:
            pipeline.fit(X, y, groups=values)
            expected = needed(name).fit_resample(X, y, groups=values)
            np.testing.assert_array_equal(pipeline[-1].X_, expected[0])
        else:
            message = f"cannot take {what} by metadata routing: a pipeline"
            with pytest.raises(ValueError, match=message):
                pipeline.fit(X, y, **{what: values})


def test_requests_work_where_imbalanced_learn_is_imported_after_or_never():
    """In a process of its own: here it is imported already."""
    code = """if True:
        import numpy as np, sklearn
        from dsmote.samplers.registry import samplers
        kinds = samplers().values()
        sklearn.set_config(enable_metadata_routing=True)
        X, y = np.random.default_rng(0).normal(size=(60, 2)), np.repeat([0, 1], [40, 20])
        for kind in (samplers()["smote"], samplers()["random-under"]):
            kind(random_state=0).fit_resample(X, y)
        import imblearn.pipeline
        for kind in kinds:
            request = kind().set_fit_resample_request(groups=True).get_metadata_routing()
            assert request.fit_resample.requests["groups"] is True, kind
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", [SMOTE, RandomUnderSampler, imblearn.over_sampling.SMOTE])
def test_groups_of_a_splitter_are_not_taken_for_those_of_the_sampler(kind):
    rng = np.random.default_rng(0)
    X, y, groups = rng.normal(size=(90, 2)), np.repeat([0, 1], [60, 30]), np.arange(90) % 3
    pipeline = make_pipeline(kind(random_state=0), LogisticRegression())
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            pipeline, {"logisticregression__C": [1, 2]}, cv=GroupKFold(3), error_score="raise"
        )
        search.fit(X, y, groups=groups)
    assert search.n_splits_ == 3
