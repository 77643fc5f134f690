"""For who comes from imbalanced-learn: signatures and fitted attributes, class by class."""

import inspect
import subprocess
import sys
import warnings

import imblearn.over_sampling
import imblearn.under_sampling
import numpy as np
import pytest
import sklearn
from imblearn.pipeline import make_pipeline
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold

from dsmote import SMOTE, SMOTENC, KMeansSMOTE, RandomUnderSampler, make_sampler
from dsmote.samplers.registry import samplers
from tests.tables import dask_array

# Searchers and encoders that dsmote does not have; n_features_ is n_features_in_.
DEPARTURES = {"nn_", "nn_k_", "nn_m_", "categorical_encoder_", "n_features_"}
NEEDED = {
    "smotenc": {"categorical_features": [0]},
    "kmeans": {"cluster_balance_threshold": 0.05},
}


def original_of(kind):
    for module in (imblearn.over_sampling, imblearn.under_sampling):
        if hasattr(module, kind.__name__):
            return getattr(module, kind.__name__)
    return None


IN_BOTH = [name for name, kind in samplers().items() if original_of(kind)]


def table_for(name):
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(200, 2)), rng.normal(1, 1, size=(44, 2))]
    if name in ("smoten", "smotenc"):
        X[:, 0] = np.rint(X[:, 0])
    return (X[:, :1] if name == "smoten" else X), np.repeat([0, 1], [200, 44])


@pytest.mark.parametrize("name", IN_BOTH)
def test_parameters_are_those_of_imblearn_in_the_same_way(name):
    kind = samplers()[name]
    ours = inspect.signature(kind).parameters
    for parameter in inspect.signature(original_of(kind)).parameters.values():
        mine = ours[parameter.name]
        assert mine.kind == parameter.kind, parameter.name
        if parameter.default is not inspect.Parameter.empty:
            assert mine.default == parameter.default, parameter.name


@pytest.mark.parametrize("name", IN_BOTH)
def test_fitted_attributes_are_those_of_imblearn_and_more(name):
    kind = samplers()[name]
    X, y = table_for(name)
    fitted = []
    for each in (kind, original_of(kind)):
        sampler = each(random_state=0, **NEEDED.get(name, {}))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            sampler.fit_resample(X, y)
        parameters = sampler.get_params()
        fitted.append(
            {n: v for n, v in vars(sampler).items() if n not in parameters and n[0] != "_"}
        )
    ours, theirs = fitted
    assert set(theirs) - set(ours) <= DEPARTURES
    assert {"plan_"} <= set(ours)
    for attribute in ("sampling_strategy_", "n_features_in_", "cluster_balance_threshold_"):
        assert ours.get(attribute) == theirs.get(attribute)


def test_what_smotenc_knows_of_the_columns_is_what_imblearn_knows():
    X, y = table_for("smotenc")
    X = np.column_stack([X, 5 * X[:, 1], X[:, 0] > 0, X[:, 1] ** 2])
    wanted = [0, 3]
    ours = SMOTENC(wanted, random_state=0)  # by position, as there
    theirs = imblearn.over_sampling.SMOTENC(wanted, random_state=0)
    for sampler in (ours, theirs):
        sampler.fit_resample(X, y)
    for attribute in ("categorical_features_", "continuous_features_"):
        np.testing.assert_array_equal(getattr(ours, attribute), getattr(theirs, attribute))
    assert list(ours.median_std_) == list(theirs.median_std_) == [1]
    assert ours.median_std_[1] == pytest.approx(theirs.median_std_[1])
    # Of scaled columns, where neighbours are found among those.
    scaled = SMOTENC(wanted, scale="standard", random_state=0)
    scaled.fit_resample(X, y)
    numbers = X[:, [1, 2, 4]]
    assert scaled.median_std_[1] == pytest.approx(
        np.median(numbers[y == 1].std(axis=0) / numbers.std(axis=0))
    )


def test_the_threshold_of_kmeans_is_kept_as_it_was_given():
    X, y = table_for("kmeans")
    sampler = make_sampler("kmeans", random_state=0, cluster_balance_threshold=0.1).fit(X, y)
    assert isinstance(sampler, KMeansSMOTE)
    assert sampler.cluster_balance_threshold_ == 0.1


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("random", "sample_indices_"),
        ("borderline", "in_danger_indices"),
        ("svm", "svm_estimator_"),
        ("kmeans", "kmeans_estimator_"),
        ("smotenc", "median_std_"),
        ("random-under", "sample_indices_"),
    ],
)
def test_what_is_known_of_a_table_in_memory_is_forgotten_with_the_next_input(name, attribute):
    X, y = table_for(name)
    sampler = make_sampler(name, random_state=0, **NEEDED.get(name, {}))
    sampler.fit_resample(X, y)
    assert hasattr(sampler, attribute)
    sampler.fit_resample(dask_array(X, [len(X)]), dask_array(y, [len(X)]))
    assert not hasattr(sampler, attribute)


# ---- inside what scikit-learn routes


OVER = [name for name, kind in samplers().items() if kind._sampling_type == "over-sampling"]


class _Keeps(ClassifierMixin, BaseEstimator):
    """Keeps what it is fitted to."""

    def fit(self, X, y):
        self.X_, self.classes_ = X, np.unique(y)
        return self


@pytest.mark.parametrize("name", OVER)
def test_groups_that_are_requested_reach_the_sampler(name):
    """New rows are those of a call with groups."""
    X, y = table_for(name)
    groups = np.arange(len(y)) % 2
    sampler = make_sampler(name, random_state=0, **NEEDED.get(name, {}))
    expected = sampler.fit_resample(X, y, groups=groups)
    assert len(expected) == 3
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(sampler.set_fit_resample_request(groups=True), _Keeps())
        pipeline.fit(X, y, groups=groups)
    np.testing.assert_array_equal(pipeline[-1].X_, expected[0])


@pytest.mark.parametrize("name", samplers())
@pytest.mark.parametrize("what", ["sample_weight", "groups"])
def test_requests_that_no_pipeline_can_serve_raise(name, what):
    X, y = table_for(name)
    if name in OVER and what == "groups":
        return
    sampler = make_sampler(name, random_state=0, **NEEDED.get(name, {}))
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(sampler.set_fit_resample_request(**{what: True}), _Keeps())
        with pytest.raises(ValueError, match=f"cannot take {what} by metadata routing: a pipeline"):
            pipeline.fit(X, y, **{what: np.ones(len(y))})


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
