"""The JSON schema: valid, and of one mind with what checks a job file."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from dsmote.job.jobfile import JobFileError
from dsmote.job.spec import job_schema, load_job
from dsmote.samplers import samplers
from tests.job.test_jobfile import NEEDED, OF_THE_ISSUE

GOOD = [
    OF_THE_ISSUE,
    NEEDED,
    NEEDED + "split: {test_fraction: 0.2, seed: 1, stratify: true}",
    NEEDED + "split: {column: a, train: 1}",
    NEEDED + "split: ~\ncluster: ~\nformat: ~\nrow_group_rows: ~",
    NEEDED + "partition_by: day\ncompression: zstd\nmode: synthetic\nresume: true",
    NEEDED + "cluster: {n_workers: 2, threads_per_worker: 1, memory_limit: 2GiB}",
    NEEDED + "cluster: {memory_limit: 2000000000}",
    NEEDED + "cluster: {scheduler_file: a.json}",
    NEEDED + "cluster: {address: a, security: {tls_ca_file: a, tls_client_cert: b, "
    "tls_client_key: c}}",
    NEEDED + "params: {sampling_strategy: {1: 5, b: 6}, categorical: a, carry: [c]}",
    NEEDED + "params: {sampling_strategy: 0.5, n_components: 3, scale: robust, missing: skip}",
    NEEDED + "params: {categorical_features: auto}",
    NEEDED + "params: {categorical_features: [a, b], random_state: null, n_components: 0.9}",
    NEEDED + "sampler: adasyn\nparams: {n_neighbors: 4, neighbors: fast}",
    NEEDED + "sampler: [svm]\nparams: {out_step: 0.25}",
    NEEDED + "sampler: BorderlineSMOTE\nparams: {kind: borderline-2}",
    NEEDED + "sampler: random\nparams: {shrinkage: {a: 0.5}}",
    NEEDED + "sampler: random\nparams: {shrinkage: 0.5}",
    NEEDED + "sampler: random-under\nparams: {replacement: true}",
    NEEDED + "sampler: kmeans\nparams: {kmeans_estimator: 8, cluster_balance_threshold: 0.1}",
    NEEDED + "sampler: svm\nparams: {out_step: 0.25, max_fit_rows: ~}",
]
BAD = [
    "{}",
    "[1]",
    "input: in\noutput: out",
    NEEDED + "outptu: b",
    NEEDED + "report: 'yes'",
    NEEDED + "report: 1",
    NEEDED + "mode: ful",
    NEEDED + "format: json",
    NEEDED + "sampler: rose",
    NEEDED + "sampler: [smote, random]",
    NEEDED + "sampler: []",
    NEEDED + "sampler: [svm]\nparams: {kind: borderline-1}",
    NEEDED + "row_group_rows: 0",
    NEEDED + "row_group_rows: true",
    NEEDED + "partition_by: [1]",
    NEEDED + "compression: zip",
    "input: ''\noutput: b\ntarget: y",
    "input: ' '\noutput: b\ntarget: y",
    NEEDED + "params: [a]",
    NEEDED + "params: {k_neighbours: 5}",
    NEEDED + "params: {k_neighbors: 0}",
    NEEDED + "params: {k_neighbors: true}",
    NEEDED + "params: {sampling_strategy: 1.5}",
    NEEDED + "params: {sampling_strategy: {}}",
    NEEDED + "params: {sampling_strategy: {a: -1}}",
    NEEDED + "params: {n_components: 1.5}",
    NEEDED + "params: {provenance: true}",
    NEEDED + "sampler: smote\nparams: {categorical: [a]}",
    NEEDED + "sampler: SMOTE\nparams: {kind: borderline-1}",
    NEEDED + "sampler: adasyn\nparams: {m_neighbors: 4}",
    NEEDED + "sampler: random\nparams: {shrinkage: a}",
    NEEDED + "split: {}",
    NEEDED + "split: {column: a}",
    NEEDED + "split: {train: a}",
    NEEDED + "split: {column: a, train: []}",
    NEEDED + "split: {column: a, train: b, test_fraction: 0.2}",
    NEEDED + "split: {column: a, train: b, stratify: true}",
    NEEDED + "split: {column: a, train: b, seed: 3}",
    NEEDED + "split: {test_fraction: 1.0}",
    NEEDED + "split: {test_fraction: ~}",
    NEEDED + "split: {test_fraction: 0.2, seed: -1}",
    NEEDED + "split: {test_fraction: 0.2, sed: 1}",
    NEEDED + "cluster: {address: a, n_workers: 1}",
    NEEDED + "cluster: {address: a, scheduler_file: b}",
    NEEDED + "cluster: {n_workers: 0}",
    NEEDED + "cluster: {memory_limit: much}",
    NEEDED + "cluster: {memory_limit: 0}",
    NEEDED + "cluster: {memory_limit: 0.0 GiB}",
    NEEDED + "cluster: {security: {tls_ca_file: a}}",
    NEEDED + "cluster: tcp://a:1",
]


@pytest.fixture(scope="module")
def schema() -> dict:
    return job_schema()


def fits(schema: dict, text: str) -> bool:
    # As an editor sees it: keys are text.
    document = json.loads(json.dumps(yaml.safe_load(text)))
    return jsonschema.Draft202012Validator(schema).is_valid(document)


def test_it_is_a_schema_with_descriptions_and_defaults(schema: dict) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["input", "output", "target"]
    properties = [schema["properties"]]
    properties += [one["properties"] for one in schema["$defs"].values()]
    for one in properties:
        for key, described in one.items():
            assert described.get("description"), key
    assert schema["properties"]["sampler"]["default"] == "auto"
    assert schema["properties"]["if_exists"]["enum"] == ["error", "skip", "replace"]
    assert {"auto", *samplers()} <= set(schema["properties"]["sampler"]["anyOf"][0]["enum"])
    assert schema["$defs"]["KMeansSMOTEParams"]["properties"]["k_neighbors"]["default"] == 2


@pytest.mark.parametrize("text", GOOD)
def test_both_take_good_files(text: str, schema: dict, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(text)
    load_job(file)
    assert fits(schema, text)


@pytest.mark.parametrize("text", BAD)
def test_both_refuse_bad_files(text: str, schema: dict, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(text)
    with pytest.raises(JobFileError):
        load_job(file)
    assert not fits(schema, text)
