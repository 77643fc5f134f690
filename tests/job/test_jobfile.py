"""The job file: what is right becomes a job; all that is wrong is told at once, with its place.

Its JSON schema is of one mind with what checks it.
"""

import json
import pickle
import warnings
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dsmote.job import JobSpec
from dsmote.job.jobfile import JobFileError, Setting, set_key
from dsmote.job.spec import Cluster, Split, homes, job_schema, load_job
from dsmote.samplers import samplers

NEEDED = "input: in\noutput: out\ntarget: y\n"
Error = tuple[str, str, str]


def loaded(folder, text, *sets):
    file = folder / "job.yaml"
    file.write_text(text, encoding="utf-8")
    return load_job(file, [set_key(each) for each in sets])


def errors(folder, text, *sets):
    """Place (the line, or the option), key and message of each error."""
    with pytest.raises(JobFileError) as refused:
        loaded(folder, text, *sets)
    file, found = folder / "job.yaml", refused.value.errors
    for one in found:
        assert str(one) in str(refused.value)
        assert one.where in (f"{file}:{one.line}", *(f"--set {s.partition('=')[0]}" for s in sets))
    return [(one.where.removeprefix(f"{file}:"), one.key, one.message) for one in found]


def only(found, where, key, message):
    assert [one[:2] for one in found] == [(where, key)], found
    assert message in found[0][2]


EVERY_KEY = """\
input: s3://lake/train/*.parquet
output: s3://lake/train-balanced/
target: label
format: csv
sampler: [borderline]                  # a chain of one
params:
  k_neighbors: 5
  random_state: 0
  carry: id
  kind: borderline-2
  m_neighbors: 7
  missing: skip
  neighbors: tree
  scale: robust
  n_components: 0.9
  sampling_strategy: {1: 50, 'a b': 60, false: 7, no: 8, 010: 9, ~: 10}
split: {column: fold, train: ['no', 1, 2.5, true, a, no, 010, 1e3, 1:30, 2024-01-02]}
mode: synthetic
if_exists: replace
partition_by: [day, hour]
row_group_rows: 1_000
compression: zstd
shuffle: true
report: true
resume: true
cluster:
  address: "tls://scheduler:8786"
  security: {tls_ca_file: a, tls_client_cert: b, tls_client_key: c}
"""


def test_every_key_reaches_the_job(tmp_path):
    strategy = {"1": 50, "a b": 60, "false": 7, "no": 8, "010": 9, "~": 10}
    train = ("no", 1, 2.5, True, "a", "no", "010", "1e3", "1:30", "2024-01-02")
    security = {"tls_ca_file": "a", "tls_client_cert": "b", "tls_client_key": "c"}
    spec = loaded(tmp_path, EVERY_KEY)
    assert spec == JobSpec(
        "s3://lake/train/*.parquet",
        "label",
        output="s3://lake/train-balanced/",
        format="csv",
        sampler="borderline",
        params={"kind": "borderline-2", "m_neighbors": 7},
        k_neighbors=5,
        random_state=0,
        carry=("id",),
        missing="skip",
        neighbors="tree",
        scale="robust",
        n_components=0.9,
        sampling_strategy=strategy,
        split=Split("fold", train),
        mode="synthetic",
        if_exists="replace",
        partition_by=("day", "hour"),
        row_group_rows=1000,
        compression="zstd",
        shuffle=True,
        report=True,
        resume=True,
        cluster=Cluster(address="tls://scheduler:8786", security=security),
    )
    # What is plain data is the same job again, but for where it runs.
    again = {**json.loads(json.dumps(spec.to_dict())), "cluster": {"n_workers": 1}}
    assert load_job(again).to_dict() == spec.to_dict()


def test_every_error_is_reported_at_once_with_its_line(tmp_path):
    found = errors(
        tmp_path,
        "input: in\n"
        "ouput: out\n"
        "target: [y]\n"
        "sampler: smotec\n"
        "split:\n"
        "  colum: fold\n"
        "  test_fraction: 2\n"
        "report: 'yes'\n"
        "mode: synthetik\n"
        "k_neighbors: 5\n"
        "cluster:\n"
        "  n_workers: true\n"
        "  memory_limit: much\n"
        "  adress: x\n"
        "params:\n"
        "  k_neighbours: 5\n"
        "  kind: borderline-2\n"
        "  random_state: -1\n"
        "partition_by: [a, a]\n",
    )
    expected = [
        ("1", "output", "is required, and not given"),
        ("2", "ouput", "did you mean 'output'?"),
        ("3", "target", "must be a valid string, not a list"),
        ("4", "sampler", "did you mean 'smotenc'?"),
        ("6", "split.colum", "did you mean 'column'?"),
        ("7", "split.test_fraction", "must be less than 1, not 2"),
        ("8", "report", "must be true or false, not 'yes'"),
        ("9", "mode", "'full' or 'synthetic', not 'synthetik' (did you mean 'synthetic'?)"),
        ("10", "k_neighbors", "belongs under params"),
        ("12", "cluster.n_workers", "must be a valid integer, not true"),
        ("13", "cluster.memory_limit", "a size above 0, such as 2GiB"),
        ("14", "cluster.adress", "did you mean 'address'?"),
        ("16", "params.k_neighbours", "(did you mean 'k_neighbors'?)"),
        ("17", "params.kind", "(borderline has it)"),
        ("18", "params.random_state", "must be greater than or equal to 0, not -1"),
        ("19", "partition_by", "which is named twice"),
    ]
    assert [one[:2] for one in found] == [one[:2] for one in expected]
    for (_, key, message), (*_, said) in zip(found, expected, strict=True):
        assert said in message, key
    found = errors(tmp_path, "output: out\ntarget: y\nmod: full\nparams: {carry: [y]}\n")
    assert [one[:2] for one in found] == [("1", "input"), ("3", "mod"), ("4", "params.carry")]
    assert [key for _, key, _ in errors(tmp_path, "")] == ["input", "target", "output"]


GOOD = [
    EVERY_KEY,
    NEEDED,
    NEEDED + "split: {test_fraction: 0.2, seed: 1, stratify: true}",
    NEEDED + "split: {column: a, train: 1}",
    NEEDED + "split: ~\ncluster: ~\nformat: ~\nrow_group_rows: ~",
    NEEDED + "cluster: {n_workers: 2, threads_per_worker: 1, memory_limit: 2GiB}",
    NEEDED + "cluster: {scheduler_file: a.json}",
    NEEDED + "params: {sampling_strategy: {1: 5, b: 6}, categorical: a, carry: [c]}",
    NEEDED + "params: {categorical_features: auto}",
    NEEDED + "params: {categorical_features: [a, b], random_state: null}",
    NEEDED + "sampler: adasyn\nparams: {n_neighbors: 4, neighbors: fast}",
    NEEDED + "sampler: adasyn\nparams: {k_neighbors: 4}",
    NEEDED + "sampler: BorderlineSMOTE\nparams: {kind: borderline-2}",
    NEEDED + "sampler: random\nparams: {shrinkage: {a: 0.5}}",
    NEEDED + "sampler: random-under\nparams: {replacement: true}",
    NEEDED + "sampler: kmeans\nparams: {kmeans_estimator: 8, cluster_balance_threshold: 0.1}",
    NEEDED + "sampler: svm\nparams: {out_step: 0.25, max_fit_rows: ~}",
]
#: What a line that is added to `NEEDED`, or stands in place of its target, is told.
BAD = [
    ("report: 1", "report", "must be true or false, not 1"),
    ("format: json", "format", "must be 'parquet' or 'csv'"),
    ("sampler: rose", "sampler", "the samplers are: auto, adasyn, adoms"),
    ("sampler: [smote, randm]", "sampler", "did you mean 'random'"),
    ("sampler: []", "sampler", "a chain needs at least one sampler"),
    ("sampler: [smote, {random: {}, tomek: {}}]", "sampler", "mappings of one name"),
    ("sampler: [{smote: {k_neighbours: 3}}]", "sampler.0.smote.k_neighbours", "did you mean"),
    ("sampler: [{smote: {k_neighbors: 0}}]", "sampler.0.smote.k_neighbors", "greater than"),
    (
        "sampler: [smote, {tomek: {sampling_strategy: minority}}]",
        "sampler.1.tomek.sampling_strategy",
        "must be",
    ),
    ("{sampler: tomek, params: {random_state: 1}}", "params.random_state", "has no parameter"),
    ("row_group_rows: 0", "row_group_rows", "must be greater than or equal to 1, not 0"),
    ("row_group_rows: 1e3", "row_group_rows", "must be a valid integer, not 1e3"),
    (
        "partition_by: [1]",
        "partition_by.0",
        "must be a valid string, not 1 (put it in quotes: '1')",
    ),
    ("partition_by:", "partition_by", "must be a list, 'same' or 'none', not empty"),
    ("compression: zip", "compression", "(did you mean 'gzip'?)"),
    ("target: ' '", "target", "must not be empty"),
    ("target: 007", "target", "(put it in quotes: '007')"),
    ("target:", "target", "must be a valid string, not empty"),
    ("params: [a]", "params", "must be a mapping, not a list"),
    ("params: {k_neighbors: true}", "params.k_neighbors", "must be a valid integer, not true"),
    ("params: {sampling_strategy: most}", "params.sampling_strategy", "must be 'auto', 'minor"),
    ("params: {sampling_strategy: 1.5}", "params.sampling_strategy", "not 1.5"),
    ("params: {sampling_strategy: {}}", "params.sampling_strategy", "must not be empty"),
    ("params: {sampling_strategy: {a: -1}}", "params.sampling_strategy.a", "or equal to 0, not -1"),
    ("params: {sampling_strategy: {1: a}}", "params.sampling_strategy.1", "valid integer, not 'a'"),
    ("params: {n_components: 1.5}", "params.n_components", "or a number less than 1, not 1.5"),
    ("params: {neighbors: tre}", "params.neighbors", "'fast' or 'tree', not 'tre' (did you mean"),
    ("params: {provenance: true}", "params.provenance", "'full' or false, not true"),
    ("{sampler: smote, params: {categorical: [a]}}", "params.categorical", "(smotenc, "),
    ("{sampler: random, params: {shrinkage: a}}", "params.shrinkage", "must be"),
    ("split: 5", "split", "must be a mapping, not 5"),
    ("split: {column: a, train: []}", "split.train", "must not be empty"),
    ("split: {test_fraction: 1.0}", "split.test_fraction", "must be less than 1, not 1.0"),
    ("split: {mode: full, test_fraction: 0.5}", "split.mode", "it belongs at the top"),
    ("cluster: tcp://a:1", "cluster", "must be a mapping"),
    ("cluster: {k_neighbors: 3}", "cluster.k_neighbors", "it belongs under params"),
    (
        "cluster: {security: {tls_ca_file: a, tls_client_key: b}}",
        "cluster.security.tls_client_cert",
        "is required",
    ),
]
DIGITS = "9" * 900_000
#: What no schema sees: rules across keys, and YAML itself.
BAD_FOR_FILES = [
    (
        "{sampler: [smote, tomek], params: {kind: x}}",
        "params.kind",
        "SMOTE, TomekLinks have no parameter 'kind'",
    ),
    ("{sampler: [smote, random-under], mode: synthetic}", "mode", "leaves others out: use 'full'"),
    ("{sampler: [smote, tomek], shuffle: true}", "shuffle", "TomekLinks decides which rows stay"),
    ("{sampler: smote-enn, shuffle: true}", "shuffle", "SMOTEENN decides which rows stay"),
    ("report: no", "report", "must be true or false, not 'no'"),
    ("params: {carry: [y]}", "params.carry", "names the target column"),
    ("params: {carry: [a], categorical: [a]}", "params.categorical", "which is in carry as well"),
    ("params: {sampling_strategy: majority}", "params.sampling_strategy", "over-sampling"),
    (
        "params: {categorical: [a], categorical_features: auto}",
        "params.categorical",
        "another name",
    ),
    ("split: {test_fraction: 0.2, train: a}", "split.train", "needs the split's column"),
    ("split: {column: y, train: a}", "split.column", "names the target column"),
    ("{split: {column: a, train: a}, params: {categorical: a}}", "split.column", "no feature"),
    ("{sampler: random-under, mode: synthetic}", "mode", "RandomUnderSampler makes none"),
    ("{sampler: random-under, shuffle: true}", "shuffle", "RandomUnderSampler makes none"),
    ("partition_by: [a/b]", "partition_by", "no folder name can be made"),
    ("partition_by: [_a]", "partition_by", "readers skip folders"),
    ("split: {}", "split", "either"),
    ("split: {column: a}", "split.column", "needs the values"),
    ("split: {column: a, test_fraction: 0.5, train: b}", "split.test_fraction", "either"),
    ("split: {column: a, train: b, stratify: true}", "split.stratify", "test_fraction"),
    ("split: {column: a, train: b, seed: 3}", "split.seed", "test_fraction"),
    ("cluster: {address: a, n_workers: 2}", "cluster.n_workers", "address names a running cluster"),
    ("cluster: {address: a, scheduler_file: b}", "cluster.scheduler_file", "either"),
    ("cluster: {memory_limit: 0.0 GiB}", "cluster.memory_limit", "a size above 0"),
    ("cluster: {memory_limit: 0}", "cluster.memory_limit", "a size above 0"),
    ("cluster: {memory_limit: 1e999GiB}", "cluster.memory_limit", "a size above 0"),
    ("cluster: {address: 'tcp://me:hunter2@host:8786'}", "cluster.address", "no password"),
    ("split: {column: f, train: [.nan]}", "split.train.0", "finite number"),
    ("report: !!python/name:os.system", "report", "!!python/name:os.system are not allowed"),
    ("target: !!timestamp foo", "target", "tags such as !!timestamp are not allowed"),
    ("partition_by: !mine [a]", "partition_by", "!mine are not allowed"),
    ("!!timestamp foo: 1", "", "tags such as !!timestamp are not allowed"),
    ("[a]: 1", "", "a key must be text"),
    ("<<: {report: true}", "<<", "there is no such key"),
    ("1: a", "1", "there is no such key"),
    ("row_group_rows: 0x_", "row_group_rows", "must be a valid integer, not '0x_'"),
    (f"row_group_rows: {DIGITS}", "row_group_rows", "must be a valid integer, not '9999"),
    (f"row_group_rows: {DIGITS}.5", "row_group_rows", "must be"),
    (f"row_group_rows: 0x{DIGITS}", "row_group_rows", "must be less than or equal to 2147483647"),
    (f"? {DIGITS}\n: 1", DIGITS, "there is no such key"),
    ('target: "\\UFFFFFFFF"', "", "cannot be read as YAML: "),
]


@pytest.fixture(scope="module")
def schema():
    return job_schema()


def fits(schema, text):
    # As an editor sees it: keys are text.
    document = json.loads(json.dumps(yaml.safe_load(text), default=str))
    return jsonschema.Draft202012Validator(schema).is_valid(document)


@pytest.mark.parametrize("text", GOOD)
def test_good_files_are_good_for_the_schema_too(text, schema, tmp_path):
    loaded(tmp_path, text)
    assert fits(schema, text)


@pytest.mark.parametrize(("line", "key", "message"), [*BAD, *BAD_FOR_FILES])
def test_bad_files_are_bad_for_the_schema_too(line, key, message, schema, tmp_path):
    base = NEEDED.replace("target: y\n", "") if line.startswith("target") else NEEDED
    text = base + line
    if line.startswith("{"):
        text = json.dumps({**yaml.safe_load(base), **yaml.safe_load(line)}).replace(", ", ",\n ")
    found = errors(tmp_path, text)
    assert [one[1] for one in found] == [key], found
    assert message in found[0][2]
    assert line.startswith("{") or found[0][0] == str(base.count("\n") + 1)
    assert len(found[0][2]) < 1500
    if (line, key, message) in BAD:
        assert not fits(schema, text)


def test_the_schema_has_descriptions_and_defaults(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["input", "output", "target"]
    properties = [schema["properties"]]
    properties += [one["properties"] for one in schema["$defs"].values()]
    for one in properties:
        for key, described in one.items():
            assert described.get("description", "\n").count("\n") == 0, key
    assert schema["properties"]["sampler"]["default"] == "auto"
    assert schema["properties"]["if_exists"]["enum"] == ["error", "skip", "replace"]
    assert {"auto", *samplers()} <= set(schema["properties"]["sampler"]["anyOf"][0]["enum"])
    assert schema["$defs"]["KMeansSMOTEParams"]["properties"]["k_neighbors"]["default"] == 2


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("input: in\ntarget: [\n", "3", "cannot be read as YAML"),
        ("input: in\n\toutput: out\n", "2", "YAML takes no tabs"),
        ("cluster: {address: ${A}}\n", "1", "put ${NAME} in quotes"),
        ("input: *.parquet\n", "1", "such as * or @ in quotes"),
        ("- a\n- b\n", "1", "a job is keys and values"),
        ("input: a\n---\ninput: b\n", "2", "single document"),
        ("input: \x07", "1", "a character that YAML does not allow"),
        ("# job\n%YAML 1.1\n---\nreport: yes\n", "2", "job files are YAML 1.2"),
        ("a: " + "[" * 400, "1", ""),
        ("input: a\noutput: \udcff\n", "2", "is not UTF-8 text"),
        ("#" * 1_000_001, "1", "larger than 1 MB"),
    ],
)
def test_what_is_no_yaml(text, line, message, tmp_path):
    file = tmp_path / "job.yaml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(JobFileError) as refused:
        load_job(file)
    (found,) = refused.value.errors
    assert found.where == f"{file}:{line}"
    assert message in found.message


def test_of_thousands_of_errors_the_first_are_printed(tmp_path):
    labels = "".join(f"    label_{n}: x\n" for n in range(4000))
    with pytest.raises(JobFileError) as error:
        loaded(tmp_path, f"{NEEDED}params:\n  sampling_strategy:\n{labels}")
    assert len(error.value.errors) == 4000
    said = str(error.value).splitlines()
    assert (len(said), said[-1]) == (22, "  and 3,980 more")
    assert len(str(error.value)) < 15_000
    again = pickle.loads(pickle.dumps(error.value))
    assert (str(again), again.errors) == (str(error.value), error.value.errors)


def test_keys_given_twice(tmp_path):
    found = errors(tmp_path, NEEDED + "params: {carry: [a]}\ntarget: z\nparams: {}\n")
    assert found == [
        ("5", "target", "given twice, first in line 3"),
        ("6", "params", "given twice, first in line 4"),
    ]


def test_anchors_and_aliases(tmp_path):
    text = NEEDED + "params: {categorical: &c [id]}\nformat: &a csv\nmode: &a full\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec = loaded(tmp_path, text + "partition_by: *c\n")
    assert (spec.categorical, spec.partition_by) == (("id",), ("id",))
    # Those that hold themselves, or grow without end.
    only(errors(tmp_path, NEEDED + "partition_by: &a [*a]"), "4", "partition_by.0", "holds itself")
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for name, before in zip("bcdefgh", "abcdefg", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
    (found,) = errors(tmp_path, "\n".join(lines))
    assert "more than 10,000 keys and values" in found[2]


def test_variables(tmp_path, monkeypatch):
    for name, value in {"BUCKET": "lake-77", "WORKERS": "3", "FOLD": "007", "EMPTY": ""}.items():
        monkeypatch.setenv(name, value)
    text = (
        "input: s3://${BUCKET}/in\noutput: '${ABSENT:-out}${EMPTY:-/}$${x}${EMPTY}'\ntarget: y\n"
        "split:\n  column: f\n  train: ['${FOLD}', '${WORKERS}']\ncluster: {n_workers: 1}\n"
    )
    job = loaded(tmp_path, text, "cluster.n_workers=${WORKERS}")
    assert (job.input, job.output) == ("s3://lake-77/in", "out/${x}")
    assert job.cluster.n_workers == 3
    assert job.split == Split("f", ("007", "3"))  # what stands in quotes stays text
    unquoted = NEEDED + "split:\n  column: f\n  train: ${FOLD}\n"
    assert loaded(tmp_path, unquoted).split == Split("f", ("007",))
    found = errors(tmp_path, "input: ${ABSENT}\noutput: a${b\ntarget: 'y${ABSENT:-${EMPTY}}'\n")
    assert [where for where, _, _ in found] == ["1", "2", "3"]
    assert "the environment variable ABSENT is not set" in found[0][2]
    assert "write $${" in found[1][2]
    assert "cannot hold another variable" in found[2][2]


def test_variables_in_keys_are_refused_and_not_taken_for_labels(tmp_path):
    text = NEEDED + "params:\n  sampling_strategy:\n    ${RARE}: 50\n    a: 60\n"
    key = "params.sampling_strategy.${RARE}"
    only(errors(tmp_path, text), "6", key, "in values, not in keys")
    with pytest.raises(JobFileError, match="in values, not in keys"):
        load_job(yaml.safe_load(text))
    text = text.replace("${RARE}", "'$${RARE}'")
    for job in (loaded(tmp_path, text), load_job(yaml.safe_load(text))):
        assert job.params["sampling_strategy"] == {"${RARE}": 50, "a": 60}


def test_what_came_from_the_environment_is_never_shown(tmp_path, monkeypatch):
    secrets = {"PASSWORD": "hunter2-x", "SHORT": "qz", "LINE": "4", "PIN": "0x1F4"}
    secrets["TOKEN"] = "hunter2" * 50
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    text = (
        "input: 'sftp://me:${PASSWORD}@host/in'\noutput: out\ntarget: ${PASSWORD}\n"
        "mode: ${PASSWORD}\nformat: ${TOKEN}\ncompression: ${PIN}\n"
        "params:\n  carry: ['${PASSWORD}', '${SHORT}']\n  categorical: ['${SHORT}']\n"
    )
    found = errors(tmp_path, text)
    assert {"mode", "format", "params.carry"} <= {key for _, key, _ in found}
    for secret in ("hunter2", "qz", "0x1F4", "500"):
        assert secret not in str(found)
    found = errors(tmp_path, NEEDED + "format: ${LINE}\npartition_by: ${LINE}\n")
    assert [where for where, _, _ in found] == ["4", "5"]  # the place stays
    assert found[1][2] == "must be a valid string, not *** (put it in quotes: '***')"
    lines = [line for line in text.splitlines() if not line.startswith(("mode", "form", "comp"))]
    text = "\n".join(lines[:-1]).replace("target: ${PASSWORD}", "target: y")
    spec = loaded(tmp_path, text)
    assert spec.input == "sftp://me:hunter2-x@host/in"
    assert "hunter2" not in repr(spec) + str(spec.shown())
    assert spec.to_dict()["input"] == spec.input


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("LAKE", "/srv/lake", True),
        ("LAKE", "s3://lake/in", True),
        ("LAKE", "sftp://me:hunter2@lake/in", False),
        ("STORAGE_KEY", "/9hRw8zB", False),
        ("Api_Token", "./x77", False),
        ("ANYTHING", "hunter2", False),
    ],
)
def test_places_are_shown_and_secrets_are_not(monkeypatch, name, value, shown):
    monkeypatch.setenv(name, value)
    spec = load_job({"input": f"${{{name}}}", "output": "out", "target": "y"})
    assert spec.input == value
    assert (spec.hidden.mask(f"no table in {value}") == f"no table in {value}") is shown


def test_set_over_the_file(tmp_path):
    spec = loaded(
        tmp_path,
        NEEDED + "params: {k_neighbors: 3}\nsplit: {column: f, train: [a, b]}\n",
        *("params.k_neighbors=7", "params.carry=[id, day]", "output=other", "report=true"),
        *("split.train=[a, 01]", "params.sampling_strategy={1: 50}", "input=", "input=two"),
    )
    assert (spec.params["k_neighbors"], spec.carry, spec.output) == (7, ("id", "day"), "other")
    assert (spec.input, spec.report, spec.split) == ("two", True, Split("f", ("a", "01")))
    assert spec.params["sampling_strategy"] == {"1": 50}
    assert loaded(tmp_path, "", "input=a", "output=b", "target=c") == JobSpec("a", "c", output="b")
    section = loaded(tmp_path, NEEDED, "split={test_fraction: 0.2}", "split.seed=4")
    assert section.split == Split(test_fraction=0.2, seed=4)


def test_errors_of_set_name_it_instead_of_a_line(tmp_path):
    found = errors(
        tmp_path,
        NEEDED + "split: {column: f, train: [a]}\n",
        *("params.k_neighbours=5", "reprot=true", "mode=ful", "split.train.4=b", "target.x=1"),
        *("cluster.n_workers=[", "split.column=7", "input=", "partition_by="),
        *("params.sampling_strategy={a: x}", "cluster.security.tls_ca_file=ca.pem"),
    )
    said = " ".join(f"{where}: {message}" for where, _, message in found)
    for message in (
        "--set params.k_neighbours: SMOTENC has no parameter 'k_neighbours' (did you mean 'k_n",
        "--set reprot: there is no such key (did you mean 'report'?)",
        "--set mode: must be 'full' or 'synthetic', not 'ful' (did you mean 'full'?)",
        "--set split.train.4: split.train is no mapping: it has no key '4'",
        "--set target.x: target is no mapping: it has no key 'x'",
        "--set cluster.n_workers: cannot be read as YAML",
        "--set split.column: must be a valid string, not 7 (put it in quotes: '7')",
        "--set input: must be a valid string, not empty",
        "--set partition_by: must be a list, 'same' or 'none', not empty",
        # Of another key than the option gives.
        "--set params.sampling_strategy: params.sampling_strategy.a: must be a valid integer",
        "--set cluster.security.tls_ca_file: cluster.security.tls_client_key: is required",
    ):
        assert message in said
    only(
        errors(tmp_path, NEEDED, "split.column=fold"),
        *("--set split.column", "split.column", "needs the values"),
    )
    with pytest.raises(ValueError, match=r"'target' is not KEY=VALUE, such as params.k_"):
        set_key("target")


def test_a_mapping_of_the_same_keys():
    job = {"input": Path("in"), "output": "out", "target": "y"}
    spec = load_job({**job, "params": {"k_neighbors": np.int64(4), "carry": ("a",)}})
    assert spec == JobSpec("in", "y", output="out", k_neighbors=4, carry=("a",))
    with pytest.raises(JobFileError) as refused:
        load_job({**job, "modus": "full", "params": {"k_neighbors": 0, None: 1}})
    assert [str(one).partition(";")[0] for one in refused.value.errors] == [
        "params.k_neighbors: must be greater than or equal to 1, not 0",
        "params.None: SMOTENC has no parameter 'None'",
        "modus: there is no such key (did you mean 'mode'?)",
    ]
    within = {**job}
    within["params"] = {"carry": within}
    for wrong, message in (
        (within, "holds itself"),
        ({**job, "target": 10**5000}, "not a number of thousands of digits"),
        ({**job, "hidden": {}}, "hidden"),
    ):
        with pytest.raises(JobFileError, match=message):
            load_job(wrong)


KEYS = st.sampled_from(sorted({key for keys in homes().values() for key in keys} | {"0", ""}))
WORDS = st.sampled_from(("smote", "adasyn", "auto", "full", "y", "2GiB", "${A}", "$${", "1"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text() | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS | st.integers() | st.booleans() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = st.fixed_dictionaries({}, optional={"input": WORDS, "output": WORDS, "target": WORDS})
DOCUMENTS = st.builds(lambda a, b: {**a, **b}, st.dictionaries(KEYS, VALUES, max_size=6), NAMES)


@settings(max_examples=30)
@given(document=DOCUMENTS, sets=st.lists(st.tuples(KEYS, VALUES), max_size=2))
@example(document={"sampler": None}, sets=[("categorical", [[]])])
def test_whatever_is_written_is_a_job_or_a_list_of_errors(document, sets, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    overrides = [
        Setting(("params", key) if key else ("a",), value, f"overrides {key}")
        for key, value in sets
    ]
    for source in (file, document):
        try:
            assert isinstance(load_job(source, overrides), JobSpec)
        except JobFileError as error:
            assert error.errors
            assert all(one.message for one in error.errors)


@settings(max_examples=30)
@given(text=st.text(st.sampled_from("ab:{}[]$&*<- \n\t'\"#|>%@`!~0129.")))
def test_whatever_the_file_is_it_is_a_list_of_errors(text, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "text.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(JobFileError):
        load_job(file)
