"""SMOTEENN and SMOTETomek against imbalanced-learn's cleaning methods, on the rows of our SMOTE."""

import inspect

import imblearn.combine
import imblearn.under_sampling
import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import make_pipeline
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from dsmote import (
    ADASYN,
    SMOTE,
    SMOTEENN,
    BorderlineSMOTE,
    Chain,
    EditedNearestNeighbours,
    RandomOverSampler,
    RandomUnderSampler,
    SMOTETomek,
    TomekLinks,
)
from tests.tables import assert_same_bits, overlapping

#: Class, parameter of the cleaning method, our own, theirs as their class has it by default.
ENN = SMOTEENN, "enn", EditedNearestNeighbours, imblearn.under_sampling.EditedNearestNeighbours
TOMEK = SMOTETomek, "tomek", TomekLinks, imblearn.under_sampling.TomekLinks
BOTH = pytest.mark.parametrize(
    ("kind", "name", "cleaner", "theirs"), [ENN, TOMEK], ids=["enn", "tomek"]
)

# The table of imbalanced-learn's own tests.
POINTS = np.array(
    [
        *([0.11622591, -0.0317206], [0.77481731, 0.60935141], [1.25192108, -0.22367336]),
        *([0.53366841, -0.30312976], [1.52091956, -0.49283504], [-0.28162401, -2.10400981]),
        *([0.83680821, 1.72827342], [0.3084254, 0.33299982], [0.70472253, -0.73309052]),
        *([0.28893132, -0.38761769], [1.15514042, 0.0129463], [0.88407872, 0.35454207]),
        *([1.31301027, -0.92648734], [-1.11515198, -0.93689695], [-0.18410027, -0.45194484]),
        *([0.9281014, 0.53085498], [-0.14374509, 0.27370049], [-0.41635887, -0.38299653]),
        *([0.08711622, 0.93259929], [1.70580611, -0.11219234]),
    ]
)
LABELS = np.array([0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0])


@BOTH
@pytest.mark.parametrize("strategy", ["auto", "all", {0: 10, 1: 12}], ids=str)
def test_their_cleaning_of_our_rows_leaves_the_same(kind, name, cleaner, theirs, strategy):
    sampler = kind(sampling_strategy=strategy, random_state=0)
    X, y = sampler.fit_resample(POINTS, LABELS)
    made = SMOTE(sampling_strategy=strategy, random_state=0).fit_resample(POINTS, LABELS)
    original = theirs(sampling_strategy="all")
    original.fit_resample(*made)
    rows = np.sort(original.sample_indices_)  # some of theirs sort rows by class
    assert_same_bits(X, made[0][rows])
    np.testing.assert_array_equal(y, made[1][rows])
    assert len(y) < len(made[1])


@BOTH
def test_it_is_the_chain_of_the_two(kind, name, cleaner, theirs):
    X, y = overlapping()
    ours = kind(random_state=3).fit_resample(X, y)
    chain = Chain([SMOTE(random_state=3), cleaner(sampling_strategy="all")])
    parts = cleaner(sampling_strategy="all").fit_resample(*SMOTE(random_state=3).fit_resample(X, y))
    for made in (chain.fit_resample(X, y), parts):
        for one, other in zip(ours, made, strict=True):
            np.testing.assert_array_equal(one, other)


@BOTH
@pytest.mark.parametrize("over", [BorderlineSMOTE, ADASYN, RandomOverSampler])
def test_any_over_sampler_and_cleaning_method(kind, name, cleaner, theirs, over):
    X, y = overlapping()
    for clean in (TomekLinks(), EditedNearestNeighbours(n_neighbors=2)):
        sampler = kind(smote=over(random_state=1), **{name: clean}, random_state=9)
        made = sampler.fit_resample(X, y)
        expected = clone(clean).fit_resample(*over(random_state=1).fit_resample(X, y))
        for one, other in zip(made, expected, strict=True):
            np.testing.assert_array_equal(one, other)
        assert type(sampler.smote_) is over
        assert sampler.smote_ is not sampler.smote


@BOTH
def test_parameters_and_attributes_are_theirs(kind, name, cleaner, theirs):
    original = getattr(imblearn.combine, kind.__name__)
    ours, other = (inspect.signature(each).parameters for each in (kind, original))
    assert [key for key in ours if key not in other] == ["carry"]
    for key, parameter in other.items():
        assert (ours[key].default, ours[key].kind) == (parameter.default, parameter.kind)
    sampler = kind(n_jobs=8, random_state=0)
    X, y = overlapping()
    sampler.fit_resample(X, y)
    fitted = original(random_state=0)
    fitted.fit_resample(X, y)
    known = {key for key in vars(fitted) if key.endswith("_")}
    assert known <= set(vars(sampler))
    assert getattr(sampler, f"{name}_").n_jobs == 8
    assert getattr(sampler, f"{name}_").sampling_strategy == "all"
    assert sampler.sampling_strategy_ == sampler.smote_.sampling_strategy_


@BOTH
@pytest.mark.parametrize("wrong", ["smote", "cleaner"])
def test_others_are_refused(kind, name, cleaner, theirs, wrong):
    given = {"smote": RandomUnderSampler()} if wrong == "smote" else {name: SMOTE()}
    with pytest.raises(ValueError, match=f"The '{next(iter(given))}' parameter of {kind.__name__}"):
        kind(**given).fit_resample(POINTS, LABELS)


# --- Estimators


def test_chains_in_pipelines_and_searches():
    X, y = overlapping()
    chain = Chain([SMOTE(), TomekLinks()], random_state=0)
    pipeline = make_pipeline(chain, LogisticRegression())
    search = GridSearchCV(pipeline, {"chain__smote__k_neighbors": [2, 5]}, cv=3)
    search.fit(pd.DataFrame(X, columns=["a", "b", "c"][: X.shape[1]]), y)
    assert search.best_params_["chain__smote__k_neighbors"] in (2, 5)
    fitted = search.best_estimator_[0]
    assert fitted.steps_[0].k_neighbors == search.best_params_["chain__smote__k_neighbors"]
