import json
import pickle
from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTENC
from dsmote.job import JobFileError, JobSpec, load_job
from dsmote.job.labels import LabelCounts, plain_label, plain_value
from dsmote.job.spec import Params, Split, params_model, sampler_of
from dsmote.samplers import samplers


def test_spec_is_plain_data_for_json() -> None:
    spec = JobSpec("in", "y", output="out", sampling_strategy={"1": 5}, carry=("id",))
    assert json.loads(json.dumps(spec.to_dict())) == {
        "input": "in",
        "output": "out",
        "target": "y",
        "params": {"sampling_strategy": {"1": 5}, "carry": ["id"]},
    }


def test_plain_data_is_a_job_again() -> None:
    split = Split("fold", ("a", 1, True))
    spec = JobSpec("in", "y", output="out", split=split, partition_by=("a",), k_neighbors=3)
    assert load_job(json.loads(json.dumps(spec.to_dict()))) == spec


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
def test_json_key_finds_the_label(key: str, label: object) -> None:
    other = type(label)(0) if not isinstance(label, pd.Timestamp) else pd.Timestamp(0)
    found = LabelCounts({key: 9})({other: 5, label: 3})
    assert found == {label: 9}
    assert type(next(iter(found))) is type(label)


def test_text_is_preferred_to_value() -> None:
    assert LabelCounts({"1": 9})({"1": 3, 1.0: 4}) == {"1": 9}


def test_ambiguous_key_is_refused() -> None:
    with pytest.raises(ValueError, match="could be any of the labels"):
        LabelCounts({"1": 9})({"1": 3, 1: 4})


def test_a_label_that_two_keys_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"names the label 1 twice, as '1' and '1.0'"):
        LabelCounts({"1": 9, "1.0": 8})({1: 3, 0: 4})


def test_labels_of_python_become_text() -> None:
    given = {0: 5, True: 6, np.int64(7): 7, "a": 8}
    text = {"0": 5, "true": 6, "7": 7, "a": 8}
    job = {"input": "in", "output": "out", "target": "y"}
    for spec in (
        JobSpec("in", "y", sampling_strategy=given),
        load_job({**job, "params": {"sampling_strategy": given}}),
    ):
        assert spec.params["sampling_strategy"] == text
    with pytest.raises(ValueError, match=r"sampling_strategy.1: given twice"):
        load_job({**job, "params": {"sampling_strategy": {1: 5, "1": 6}}})


def test_unknown_label_lists_what_is_there() -> None:
    with pytest.raises(ValueError, match=r"label 'c', which is not in the data.*: a, b"):
        LabelCounts({"c": 9})({"a": 3, "b": 4})


def test_label_counts_take_the_target_too() -> None:
    assert LabelCounts({"1": 9})(np.array([0, 0, 1])) == {1: 9}


def test_label_counts_travel() -> None:
    counts = LabelCounts({"1": 9})
    assert pickle.loads(pickle.dumps(counts)) == counts


def test_plain_labels() -> None:
    plain = [plain_label(x) for x in (np.bool_(True), np.float64(0.5), pd.Timestamp(0))]
    assert plain == [True, 0.5, "1970-01-01 00:00:00"]


NUMERIC = pd.DataFrame({"a": [0.5], "n": [1], "y": ["u"]})
FLAGGED = NUMERIC.assign(flag=True)
MIXED = FLAGGED.assign(colour="red", kind=pd.Categorical(["k"]))


@pytest.mark.parametrize(
    ("frame", "fields", "kind"),
    [
        (NUMERIC, {}, SMOTE),
        (FLAGGED, {}, SMOTE),
        (MIXED, {}, SMOTENC),
        (MIXED, {"carry": ("colour", "kind")}, SMOTE),
        (NUMERIC, {"categorical": ("n",)}, SMOTENC),
        (NUMERIC, {"sampler": "smotenc"}, SMOTENC),
        (MIXED, {"sampler": "smote"}, SMOTE),
    ],
)
def test_sampler_follows_the_columns(frame: pd.DataFrame, fields: dict, kind: type) -> None:
    assert type(sampler_of(JobSpec("in", "y", **fields), frame.iloc[:0])) is kind


def test_categorical_adds_to_the_obvious_ones() -> None:
    sampler = sampler_of(JobSpec("in", "y", categorical=("n",), carry=("kind",)), MIXED)
    assert sampler.categorical_features == ["n", "flag", "colour"]


def test_parameters_reach_the_sampler() -> None:
    spec = JobSpec(
        "in",
        "y",
        k_neighbors=3,
        random_state=4,
        missing="skip",
        sampling_strategy={"u": 9},
        neighbors="tree",
        scale="robust",
        n_components=2,
    )
    parameters = sampler_of(spec, NUMERIC).get_params()
    assert parameters.pop("sampling_strategy") == LabelCounts({"u": 9})
    assert parameters.pop("neighbors") == "tree"
    assert parameters.pop("scale") == "robust"
    components = parameters.pop("n_components")
    assert isinstance(components, int) and components == 2
    given = {"k_neighbors": 3, "random_state": 4, "missing": "skip"}
    left = {name: value for name, value in SMOTE().get_params().items() if name in parameters}
    assert parameters == {**left, **given}


@pytest.mark.parametrize("name", samplers())
def test_what_is_not_given_is_as_the_sampler_has_it(name: str) -> None:
    sampler = sampler_of(JobSpec("in", "y", sampler=name), MIXED)
    assert type(sampler) is samplers()[name]
    assert sampler.get_params() == samplers()[name]().get_params()


def test_neighbours_by_the_name_that_the_sampler_has() -> None:
    spec = JobSpec("in", "y", sampler="adasyn", k_neighbors=4)
    assert sampler_of(spec, NUMERIC).n_neighbors == 4
    assert sampler_of(replace(spec, sampler="svm"), NUMERIC).k_neighbors == 4


def test_further_parameters_reach_the_sampler() -> None:
    params = {"kind": "borderline-2", "m_neighbors": 3}
    spec = JobSpec("in", "y", sampler="BorderlineSMOTE", params=params)
    sampler = sampler_of(spec, NUMERIC)
    assert (sampler.kind, sampler.m_neighbors, sampler.k_neighbors) == ("borderline-2", 3, 5)
    assert spec.to_dict()["params"] == params


@pytest.mark.parametrize("labels", [[0, 1], ["0", "1"], [False, True], [0.0, 1.0]])
def test_values_by_label_find_the_label_whatever_its_type(labels: list) -> None:
    X, y = pd.DataFrame({"x": np.arange(9.0)}), pd.Series(labels).repeat([6, 3])
    key = str(labels[1]).lower()
    spec = JobSpec("in", target="y", sampler="random", params={"shrinkage": {key: 0.25}})
    found = sampler_of(spec, X.assign(y=y.array))
    assert len(found.fit_resample(X, y.reset_index(drop=True))[0]) == 12
    assert found.shrinkage_[labels[1]] == 0.25
    other = replace(spec, params={"shrinkage": {"2": 0.25}})
    with pytest.raises(ValueError, match="missing classes are"):
        sampler_of(other, X.assign(y=y.array)).fit_resample(X, y.reset_index(drop=True))


def test_auto_takes_categorical_features_for_smotenc() -> None:
    spec = JobSpec("in", "y", params={"categorical_features": ["n"], "on_small_class": "copy"})
    sampler = sampler_of(spec, NUMERIC)
    assert type(sampler) is SMOTENC
    assert (sampler.categorical_features, sampler.on_small_class) == (["n"], "copy")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sampler": "rose"}, "no sampler 'rose'.*; the samplers are: auto, adasyn, smote"),
        ({"format": "xml"}, "format: must be 'parquet' or 'csv'"),
        ({"k_neighbors": 0}, "params.k_neighbors: .*greater than or equal to 1"),
        ({"params": {"missing": "skip"}, "missing": "error"}, "missing: is given twice"),
        ({"params": {"kid": 1}, "sampler": "borderline"}, "no parameter 'kid'.*'kind'"),
        ({"params": {"kind": 1}}, "SMOTENC has no parameter 'kind'"),
        ({"k_neighbors": 5, "sampler": "random"}, "Sampler has no parameter 'k_neighbors'"),
        ({"carry": ("c",), "sampler": "random-under"}, "has no parameter 'carry'"),
        ({"params": {"categorical_features": ["a"]}, "categorical": ("a",)}, "another name"),
        ({"sampling_strategy": "minority", "sampler": "random-under"}, "is not for under-sampling"),
    ],
)
def test_what_is_wrong_is_refused_in_the_words_of_files(fields: dict, message: str) -> None:
    with pytest.raises(JobFileError, match=message):
        JobSpec("in", "y", **fields)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(JobFileError) as error:
        JobSpec("in", mode="ful", smapler="svm", split={"column": "y", "train": 1})
    assert str(error.value).splitlines() == [
        "the job has 3 errors:",
        "  smapler: there is no such key (did you mean 'sampler'?)",
        "  target: is required, and not given",
        "  mode: must be 'full' or 'synthetic', not 'ful' (did you mean 'full'?)",
    ]
    again = JobSpec("in", "y", split={"test_fraction": 0.2}, partition_by="a")
    assert pickle.loads(pickle.dumps(again)) == replace(again, report=False) == again


def test_values_are_made_plain() -> None:
    value = {1: [np.int64(2), (np.nan, None)], "of": SMOTE()}
    assert json.dumps(plain_value(value)) == '{"1": [2, [NaN, null]], "of": "SMOTE()"}'


@pytest.mark.parametrize("n", [0, -1, 1.5, float("nan")])
def test_components_that_mean_nothing_are_refused(n) -> None:
    with pytest.raises(ValueError, match="n_components"):
        JobSpec("in", "y", n_components=n)


def test_options_are_those_of_the_samplers() -> None:
    """What the command line offers for a parameter is what the sampler SMOTENC takes."""
    types = {name: field.annotation for name, field in params_model(SMOTENC).model_fields.items()}
    for name in ("missing", "neighbors", "scale"):
        offered = {*get_args(get_args(Params.model_fields[name].annotation)[0])}
        (choices,) = [each for each in get_args(types[name]) if get_args(each)] or [types[name]]
        assert {*get_args(choices)} == offered, name


def test_only_the_reader_of_files_hides_values() -> None:
    with pytest.raises(ValueError, match="hidden"):
        JobSpec("in", "y", hidden={"values": []})
    with pytest.raises(ValueError, match="hidden: there is no such key"):
        load_job({"input": "in", "output": "out", "target": "y", "hidden": {}})
