"""`JobSpec` in Python, the sampler that it asks for, and labels by their text."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTENC
from dsmote.job import JobFileError, JobSpec
from dsmote.job.labels import LabelCounts
from dsmote.job.spec import sampler_of

NUMERIC = pd.DataFrame({"a": [0.5], "n": [1], "y": ["u"]})
FLAGGED = NUMERIC.assign(flag=True)
MIXED = FLAGGED.assign(colour="red", kind=pd.Categorical(["k"]))


def test_spec_is_plain_data_for_json():
    spec = JobSpec("in", "y", output="out", sampling_strategy={"1": 5}, carry=("id",))
    assert json.loads(json.dumps(spec.to_dict())) == {
        "input": "in",
        "output": "out",
        "target": "y",
        "params": {"sampling_strategy": {"1": 5}, "carry": ["id"]},
    }
    again = replace(spec, split={"test_fraction": 0.2}, partition_by="a")
    assert pickle.loads(pickle.dumps(again)) == replace(again, report=False) == again


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("1", 1),
        ("1", np.int64(1)),
        ("1", 1.0),
        ("1.0", 1),
        ("1", "1"),
        ("'1'", "'1'"),
        ("true", True),
        ("True", np.bool_(True)),
        ("1", np.True_),
        ("2020-01-01 00:00:00", pd.Timestamp("2020-01-01")),
    ],
)
def test_json_key_finds_the_label(key, label):
    other = type(label)(0) if not isinstance(label, pd.Timestamp) else pd.Timestamp(0)
    counts = LabelCounts({key: 9})
    found = pickle.loads(pickle.dumps(counts))({other: 5, label: 3})
    assert found == {label: 9}
    assert type(next(iter(found))) is type(label)


@pytest.mark.parametrize(
    ("rows", "counts", "message"),
    [
        ({"1": 9}, {"1": 3, 1: 4}, "could be any of the labels"),
        ({"1": 9, "1.0": 8}, {1: 3, 0: 4}, r"names the label 1 twice, as '1' and '1.0'"),
        ({"c": 9}, {"a": 3, "b": 4}, r"label 'c', which is not in the data.*: a, b"),
    ],
)
def test_keys_that_mean_no_label_or_several(rows, counts, message):
    with pytest.raises(ValueError, match=message):
        LabelCounts(rows)(counts)


@pytest.mark.parametrize(
    ("frame", "fields", "kind"),
    [
        (NUMERIC, {}, SMOTE),
        (FLAGGED, {}, SMOTE),
        (FLAGGED.astype({"flag": "category"}), {}, SMOTENC),
        (MIXED, {}, SMOTENC),
        (MIXED, {"carry": ("colour", "kind")}, SMOTE),
        (NUMERIC, {"categorical": ("n",)}, SMOTENC),
        (NUMERIC, {"categorical_features": ["n"]}, SMOTENC),
        (NUMERIC, {"sampler": "smotenc"}, SMOTENC),
        (MIXED, {"sampler": "smote"}, SMOTE),
    ],
)
def test_sampler_follows_the_columns(frame, fields, kind):
    assert type(sampler_of(JobSpec("in", "y", **fields), frame.iloc[:0])) is kind


@pytest.mark.parametrize(
    ("frame", "fields", "expected"),
    [
        (
            MIXED,
            {"categorical": ("n",), "carry": ("kind",)},
            {"categorical_features": ["n", "flag", "colour"], "carry": ["kind"]},
        ),
        (NUMERIC, {"categorical_features": ["n"]}, {"categorical_features": ["n"]}),
        (NUMERIC, {"k_neighbors": 3, "random_state": 4, "missing": "skip"}, {}),
        (NUMERIC, {"neighbors": "tree", "scale": "robust", "n_components": 2}, {}),
        (NUMERIC, {"sampling_strategy": {"u": 9}}, {"sampling_strategy": LabelCounts({"u": 9})}),
        (NUMERIC, {"sampler": "adasyn", "k_neighbors": 4}, {"n_neighbors": 4}),
        (NUMERIC, {"sampler": "BorderlineSMOTE", "params": {"m_neighbors": 3}}, {"m_neighbors": 3}),
    ],
)
def test_parameters_reach_the_sampler(frame, fields, expected):
    sampler = sampler_of(JobSpec("in", "y", **fields), frame)
    expected = expected or fields
    assert sampler.get_params() == {**type(sampler)().get_params(), **expected}
    assert {type(sampler.get_params()[name]) for name in expected} == {
        *map(type, expected.values())
    }


@pytest.mark.parametrize("labels", [[0, 1], ["0", "1"], [False, True], [0.0, 1.0]])
def test_values_by_label_find_the_label_whatever_its_type(labels):
    X, y = pd.DataFrame({"x": np.arange(9.0)}), pd.Series(labels).repeat([6, 3])
    key = str(labels[1]).lower()
    spec = JobSpec("in", target="y", sampler="random", params={"shrinkage": {key: 0.25}})
    found = sampler_of(spec, X.assign(y=y.array))
    assert len(found.fit_resample(X, y.reset_index(drop=True))[0]) == 12
    assert found.shrinkage_[labels[1]] == 0.25
    other = replace(spec, params={"shrinkage": {"2": 0.25}})
    with pytest.raises(ValueError, match="missing classes are"):
        sampler_of(other, X.assign(y=y.array)).fit_resample(X, y.reset_index(drop=True))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"params": {"missing": "skip"}, "missing": "error"}, "missing: is given twice"),
        ({"params": {"kid": 1}, "sampler": "borderline"}, "no parameter 'kid'.*'kind'"),
        ({"k_neighbors": 5, "sampler": "random"}, "Sampler has no parameter 'k_neighbors'"),
        ({"carry": ("c",), "sampler": "random-under"}, "has no parameter 'carry'"),
        ({"sampling_strategy": "minority", "sampler": "random-under"}, "is not for under-sampling"),
        ({"hidden": {"values": []}}, "hidden"),
        ({"smapler": "svm"}, "smapler: there is no such key .did you mean 'sampler'"),
    ],
)
def test_what_is_wrong_is_refused_in_the_words_of_files(fields, message):
    with pytest.raises(JobFileError, match=message):
        JobSpec("in", "y", **fields)
