"""`k_neighbors` and `neighbors`: what is asked for is what is used, and is said."""

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE as THEIRS
from sklearn.neighbors import NearestNeighbors

from dsmote import SMOTE, SMOTENC
from dsmote.neighbors import BruteIndex, CappedIndex, TreeIndex
from tests.tables import dask_frame

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3))
Y = np.repeat([0, 1], [240, 60])
MIXED = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": RNG.choice(["u", "v"], 300)})


def made(**how):
    sampler = SMOTE(random_state=0, **how)
    return sampler, sampler.fit_resample(X, Y)[0]


@pytest.mark.parametrize("how", ["tree", "brute", TreeIndex(), BruteIndex(), CappedIndex(60)])
def test_exact_engines_make_the_same_rows(how):
    sampler, rows = made(neighbors=how)
    np.testing.assert_array_equal(rows, made()[1])
    report = sampler.neighbors_report_
    assert report[1]["exact"] and report[1]["recall"] == 1.0
    assert sampler.plan_.to_dict()["classes"][1]["why"] == "as asked for"


def test_the_plan_says_why():
    sampler, _ = made()
    assert sampler.plan_.engine == "brute"
    assert "because comparing all of 60 rows is the quickest" in str(sampler.plan_)


def test_an_object_that_searches_as_in_imbalanced_learn():
    object_ = NearestNeighbors(n_neighbors=4, algorithm="brute")
    sampler, rows = made(k_neighbors=object_)
    np.testing.assert_array_equal(rows, made(k_neighbors=3)[1])
    assert sampler.neighbors_report_[1] == {
        "engine": "NearestNeighbors",
        "exact": False,
        "recall": 1.0,
        "distance_ratio": 1.0,
        "sampled": 60,
        "k": 3,
    }
    assert not hasattr(object_, "n_samples_fit_")
    assert THEIRS(k_neighbors=object_).fit_resample(X, Y)[0].shape == rows.shape


def test_approximate_engines_are_measured():
    sampler, _ = made(neighbors=CappedIndex(20))
    report = sampler.neighbors_report_[1]
    assert not report["exact"]
    assert 0 < report["recall"] < 1 < report["distance_ratio"]
    assert report["engine"] == "capped (max_rows=20, tree)"


@pytest.mark.parametrize("engine", ["tree", CappedIndex(20), TreeIndex(eps=0.5)])
def test_the_same_on_dask(engine):
    frame = pd.DataFrame(X, columns=list("abc")).assign(y=Y)
    eager = SMOTE(random_state=0, neighbors=engine)
    lazy = SMOTE(random_state=0, neighbors=engine)
    expected = eager.resample(frame, target="y")
    found = lazy.resample(dask_frame(frame, [100, 60, 110, 30]), target="y")
    pd.testing.assert_frame_equal(found.compute().reset_index(drop=True), expected)
    report = lazy.neighbors_report_
    assert (report if isinstance(report, dict) else report.compute()) == eager.neighbors_report_


@pytest.mark.parametrize("engine", ["tree", "brute", CappedIndex(60)])
def test_names_too(engine):
    rows = SMOTENC(random_state=0, neighbors=engine).fit_resample(MIXED, Y)[0]
    pd.testing.assert_frame_equal(rows, SMOTENC(random_state=0).fit_resample(MIXED, Y)[0])


def test_names_with_somebody_elses_object():
    sampler = SMOTENC(random_state=0, k_neighbors=NearestNeighbors(n_neighbors=6))
    sampler.fit_resample(MIXED, Y)
    assert sampler.neighbors_report_[1]["recall"] == 1.0


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (SMOTENC(neighbors="fast"), "takes numeric features only"),
        (SMOTENC(neighbors=TreeIndex(eps=0.5)), "takes numeric features only"),
        (SMOTE(k_neighbors=NearestNeighbors(n_neighbors=1)), "n_neighbors=1; it must be"),
        (SMOTE(k_neighbors=NearestNeighbors(), neighbors="tree"), "as well; give a number"),
        (SMOTE(neighbors="slow"), "'neighbors' parameter"),
    ],
)
def test_mistakes_are_told_before_work(sampler, message):
    with pytest.raises(ValueError, match=message):
        sampler.fit_resample(MIXED if isinstance(sampler, SMOTENC) else X, Y)
