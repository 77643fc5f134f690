"""The job file: what is right becomes a job; all that is wrong is told at once, with its place."""

import warnings
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote.job import JobSpec
from dsmote.job.jobfile import JobFileError, Setting, set_key
from dsmote.job.spec import Cluster, Split, load_job

OF_THE_ISSUE = """\
input: s3://lake/train/*.parquet      # or a folder, a file, CSV
output: s3://lake/train-balanced/
target: label
sampler: smotenc                       # default: auto
params: {k_neighbors: 5, random_state: 0, carry: [id]}
split: {column: fold, train: [train]}  # or {test_fraction: 0.2, seed: 0, stratify: true}
mode: full
if_exists: skip
cluster: {address: "tls://scheduler:8786"}   # or {n_workers: 2, memory_limit: 2GiB}
report: true
"""
NEEDED = "input: in\noutput: out\ntarget: y\n"


def write(folder: Path, text: str) -> Path:
    file = folder / "job.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def loaded(folder: Path, text: str, *sets: str) -> JobSpec:
    return load_job(write(folder, text), [set_key(each) for each in sets])


def errors(folder: Path, text: str, *sets: str) -> list[tuple[str, str, str]]:
    """Place (the line, or the option), key and message of each error."""
    file = write(folder, text)
    with pytest.raises(JobFileError) as refused:
        load_job(file, [set_key(each) for each in sets])
    found = refused.value.errors
    for one in found:
        assert str(one) in str(refused.value)
        assert one.where in (f"{file}:{one.line}", *(f"--set {s.partition('=')[0]}" for s in sets))
    return [(one.where.removeprefix(f"{file}:"), one.key, one.message) for one in found]


def only(found: list[tuple[str, str, str]], where: str, key: str, *words: str) -> None:
    assert len(found) == 1, found
    assert found[0][:2] == (where, key)
    for word in words:
        assert word in found[0][2]


def test_the_file_of_the_issue(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, OF_THE_ISSUE))
    assert job == JobSpec(
        "s3://lake/train/*.parquet",
        "label",
        output="s3://lake/train-balanced/",
        sampler="smotenc",
        k_neighbors=5,
        random_state=0,
        carry=("id",),
        split=Split("fold", ("train",)),
        if_exists="skip",
        report=True,
        cluster=Cluster(address="tls://scheduler:8786"),
    )


def test_what_the_comments_of_the_issue_offer(tmp_path: Path) -> None:
    text = OF_THE_ISSUE.replace("{column: fold, train: [train]}", "{test_fraction: 0.2, seed: 3}")
    text = text.replace('{address: "tls://scheduler:8786"}', "{n_workers: 2, memory_limit: 2GiB}")
    job = load_job(write(tmp_path, text))
    assert job.split == Split(test_fraction=0.2, seed=3)
    assert (job.cluster.n_workers, job.cluster.memory_limit) == (2, "2GiB")


def test_three_keys_are_enough(tmp_path: Path) -> None:
    assert loaded(tmp_path, NEEDED) == JobSpec("in", "y", output="out")


def test_every_key_reaches_the_job(tmp_path: Path) -> None:
    spec = loaded(
        tmp_path,
        NEEDED + "format: csv\nmode: synthetic\npartition_by: [day, hour]\nrow_group_rows: 5\n"
        "compression: zstd\nshuffle: true\nreport: true\nresume: true\nif_exists: replace\n"
        "sampler: borderline\n"
        "params:\n  kind: borderline-2\n  m_neighbors: 7\n  missing: skip\n  neighbors: tree\n"
        "  scale: robust\n  n_components: 0.9\n  sampling_strategy: {1: 50, 'a b': 60, false: 7}\n",
    )
    assert spec == JobSpec(
        "in",
        "y",
        output="out",
        format="csv",
        mode="synthetic",
        partition_by=("day", "hour"),
        row_group_rows=5,
        compression="zstd",
        shuffle=True,
        report=True,
        resume=True,
        if_exists="replace",
        sampler="borderline",
        params={"kind": "borderline-2", "m_neighbors": 7},
        missing="skip",
        neighbors="tree",
        scale="robust",
        n_components=0.9,
        sampling_strategy={"1": 50, "a b": 60, "false": 7},
    )


def test_parameters_go_by_the_sampler_that_takes_them(tmp_path: Path) -> None:
    assert loaded(tmp_path, NEEDED + "sampler: adasyn\nparams: {n_neighbors: 3}").params == {
        "n_neighbors": 3
    }
    assert loaded(tmp_path, NEEDED + "sampler: adasyn\nparams: {k_neighbors: 3}").params == {
        "k_neighbors": 3
    }
    spec = loaded(tmp_path, NEEDED + "params: {categorical: a, carry: [b]}")
    assert (spec.categorical, spec.carry) == (("a",), ("b",))
    spec = loaded(tmp_path, NEEDED + "params: {categorical_features: [a]}")
    assert spec.params == {"categorical_features": ["a"]}
    assert loaded(tmp_path, NEEDED + "sampler: SMOTENC").sampler == "SMOTENC"


def test_every_error_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
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
        "  adress: x\n",
    )
    assert [(where, key) for where, key, _ in found] == [
        ("1", "output"),
        ("2", "ouput"),
        ("3", "target"),
        ("4", "sampler"),
        ("6", "split.colum"),
        ("7", "split.test_fraction"),
        ("8", "report"),
        ("9", "mode"),
        ("10", "k_neighbors"),
        ("12", "cluster.n_workers"),
        ("13", "cluster.memory_limit"),
        ("14", "cluster.adress"),
    ]
    said = {key: message for _, key, message in found}
    assert said["output"] == "is required, and not given"
    assert "did you mean 'output'?" in said["ouput"]
    assert said["target"] == "must be a valid string, not a list"
    assert "did you mean 'smotenc'?" in said["sampler"]
    assert "did you mean 'column'?" in said["split.colum"]
    assert said["split.test_fraction"] == "must be less than 1, not 2"
    assert said["report"] == "must be true or false, not 'yes'"
    assert (
        said["mode"] == "must be 'full' or 'synthetic', not 'synthetik' (did you mean 'synthetic'?)"
    )
    assert "belongs under params" in said["k_neighbors"]
    assert said["cluster.n_workers"] == "must be a valid integer, not true"
    assert "a size above 0, such as 2GiB" in said["cluster.memory_limit"]
    assert "did you mean 'address'?" in said["cluster.adress"]


def test_parameters_that_the_sampler_has_not(tmp_path: Path) -> None:
    found = errors(
        tmp_path,
        NEEDED + "sampler: svm\nparams:\n  k_neighbours: 5\n  kind: borderline-2\n  out_step: a\n",
    )
    assert [(where, key) for where, key, _ in found] == [
        ("6", "params.k_neighbours"),
        ("7", "params.kind"),
        ("8", "params.out_step"),
    ]
    assert "no parameter 'k_neighbours' (did you mean 'k_neighbors'?)" in found[0][2]
    assert "(borderline has it)" in found[1][2]
    assert found[2][2] == "must be a valid number, not 'a'"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("{k_neighbors: 0}", "must be greater than or equal to 1, not 0"),
        ("{k_neighbors: true}", "must be a valid integer, not true"),
        ("{k_neighbors: 5.5}", "must be a valid integer, not 5.5"),
        ("{random_state: -1}", "must be greater than or equal to 0, not -1"),
        ("{sampling_strategy: most}", "must be 'auto', 'minority', "),
        ("{sampling_strategy: 1.5}", "not 1.5"),
        ("{sampling_strategy: {1: -5}}", "must be greater than or equal to 0, not -5"),
        ("{sampling_strategy: {1: a}}", "must be a valid integer, not 'a'"),
        ("{n_components: 1.5}", "not 1.5"),
        ("{carry: [1]}", "must be a valid string, not 1 (put it in quotes: '1')"),
        ("{neighbors: tre}", "must be 'auto', 'brute', 'fast' or 'tree', not 'tre' (did you mean"),
        ("{on_small_class: drop}", "must be 'copy', 'error' or 'skip'"),
    ],
)
def test_values_of_parameters(params: str, message: str, tmp_path: Path) -> None:
    found = errors(tmp_path, NEEDED + f"params: {params}")
    assert len(found) == 1, found
    assert found[0][0] == "4"
    assert message in found[0][2]


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("params: {carry: [y]}", "params.carry", "names the target column"),
        (
            "params: {carry: [a], categorical: [a]}",
            "params.categorical",
            "which is in carry as well",
        ),
        ("params: {sampling_strategy: majority}", "params.sampling_strategy", "over-sampling"),
        (
            "sampler: adasyn\nparams: {k_neighbors: 1, n_neighbors: 1}",
            "params.k",
            "by another name",
        ),
        ("split: {column: a}", "split.column", "needs the values"),
        ("split: {column: a, test_fraction: 0.5, train: b}", "split.test_fraction", "either"),
        ("split: {column: a, train: b, stratify: true}", "split.stratify", "test_fraction"),
        ("split: {column: a, train: b, seed: 3}", "split.seed", "test_fraction"),
        ("split: {}", "split", "either"),
        (
            "cluster: {address: a, n_workers: 2}",
            "cluster.n_workers",
            "address names a running cluster",
        ),
        ("cluster: {address: a, scheduler_file: b}", "cluster.scheduler_file", "either"),
        ("cluster: {security: {tls_ca_file: a}}", "cluster.security.tls_client_cert", "required"),
    ],
)
def test_rules_across_keys_have_a_line_too(
    text: str, key: str, message: str, tmp_path: Path
) -> None:
    found = errors(tmp_path, NEEDED + text)
    assert any(one[1].startswith(key) and message in one[2] for one in found), found
    assert all(one[0].isdigit() and int(one[0]) >= 4 for one in found)


def test_rules_across_keys_are_told_with_other_errors(tmp_path: Path) -> None:
    found = errors(
        tmp_path, "output: out\ntarget: y\nmod: full\nparams:\n  carry: [y]\n  categorical: [y]\n"
    )
    assert [(where, key) for where, key, _ in found] == [
        ("1", "input"),
        ("3", "mod"),
        ("5", "params.carry"),
        ("6", "params.categorical"),
    ]


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("target: true", "target", "put it in quotes: 'true'"),
        ("target: 2024", "target", "put it in quotes: '2024'"),
        ("target: ~", "target", "must be a valid string, not empty"),
        ("target:", "target", "must be a valid string, not empty"),
        ("report: no", "report", "must be true or false, not 'no'"),
        ("report: !!python/name:os.system", "report", "!!python/name:os.system are not allowed"),
        ("report: !secret x", "report", "tags such as !secret are not allowed"),
        ("params: !!python/object:os.system {}", "params", "are not allowed"),
        ("partition_by: !mine [a]", "partition_by", "!mine are not allowed"),
        ("row_group_rows: 1e3", "row_group_rows", "must be a valid integer, not 1000.0"),
        ("split: {column: f, train: [.nan]}", "split.train.0", "finite number"),
        ("sampler: [smote, random]", "sampler", "a chain of 2 samplers: chains come"),
        ("sampler: []", "sampler", "must not be empty"),
        ("<<: 5", "", "<< takes a mapping"),
        ("row_group_rows: 0x_", "row_group_rows", "must be a valid integer, not '0x_'"),
        ("cluster: {memory_limit: 1e999GiB}", "cluster.memory_limit", "a size above 0"),
        ("target: 007", "target", "(put it in quotes: '007')"),
        ("target: !!str 7", "target", "not allowed; put a text in quotes"),
        ("split: 5", "split", "must be a mapping, not 5"),
        ("params: [a]", "params", "must be a mapping, not a list"),
        ("partition_by:", "partition_by", "must be a list, not empty"),
        ("params: {sampling_strategy: {}}", "params.sampling_strategy", "must not be empty"),
        ("params: {n_components: 1.5}", "params.n_components", "or a number less than 1, not 1.5"),
        ("params: {provenance: true}", "params.provenance", "'full' or false, not true"),
        ("cluster: {k_neighbors: 3}", "cluster.k_neighbors", "it belongs under params"),
        ("split: {mode: full}", "split.mode", "it belongs at the top"),
        ("cluster: {address: 'tcp://me:hunter2@host:8786'}", "cluster.address", "no password"),
    ],
)
def test_values_that_are_not_what_they_seem(
    text: str, key: str, message: str, tmp_path: Path
) -> None:
    base = NEEDED.replace("target: y\n", "") if text.startswith("target") else NEEDED
    only(errors(tmp_path, base + text), str(base.count("\n") + 1), key, message)


def test_values_that_mean_what_they_say(tmp_path: Path) -> None:
    text = (
        NEEDED + "split: {column: f, train: ['no', 1, 2.5, true, a, no, 010, 1:30, 2024-01-02]}\n"
    )
    text += "params: {sampling_strategy: {no: 1, 2: 2, true: 3, 010: 4, ~: 5}}\n"
    spec = loaded(tmp_path, text + "row_group_rows: 1_000\nsampler: [smote]\n")
    assert spec.split == Split("f", ("no", 1, 2.5, True, "a", "no", "010", "1:30", "2024-01-02"))
    assert (spec.row_group_rows, spec.sampler) == (1000, "smote")
    strategy = {"no": 1, "2": 2, "true": 3, "010": 4, "~": 5}
    assert spec.params == {"sampling_strategy": strategy}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("input: in\ntarget: [\n", "3", "cannot be read as YAML"),
        ("input: in\n\toutput: out\n", "2", "YAML takes no tabs"),
        ("cluster: {address: ${A}}\n", "1", "put ${NAME} in quotes"),
        ("input: *.parquet\n", "1", "such as * or @ in quotes"),
        ("- a\n- b\n", "1", "a job is keys and values"),
        ("just text", "1", "a job is keys and values"),
        ("input: a\n---\ninput: b\n", "2", "single document"),
        ("input: \x07", "1", "a character that YAML does not allow"),
        ("# job\n%YAML 1.1\n---\nreport: yes\n", "2", "job files are YAML 1.2"),
        ("a: " + "[" * 5000, "1", ""),
    ],
)
def test_what_is_no_yaml(text: str, line: str, message: str, tmp_path: Path) -> None:
    found = errors(tmp_path, text)
    assert len(found) == 1, found
    assert message in found[0][2]
    assert found[0][0] == line or not message


DIGITS = "9" * 900_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("target: !!timestamp foo", "target: YAML tags such as !!timestamp are not allowed"),
        ("target: !!int foo", "target: YAML tags such as !!int are not allowed"),
        ("target: !!int ''", "target: YAML tags such as !!int are not allowed"),
        ("target: !!float foo", "target: YAML tags such as !!float are not allowed"),
        ("target: !!bool foo", "target: YAML tags such as !!bool are not allowed"),
        ("target: !!binary foo", "target: YAML tags such as !!binary are not allowed"),
        ("!!timestamp foo: 1", "YAML tags such as !!timestamp are not allowed"),
        (
            "params: {sampling_strategy: {!!int foo: 1}}",
            "params.sampling_strategy: YAML tags such as !!int",
        ),
        (f"target: {DIGITS}", "target: a number of 900,000 digits; put a text in quotes"),
        (f"row_group_rows: {DIGITS}", "row_group_rows: a number of 900,000 digits"),
        (f"row_group_rows: {DIGITS}.5", "row_group_rows: a number of 900,002 digits"),
        (f"row_group_rows: 0x{DIGITS}", "row_group_rows: a number of 900,002 digits"),
        (f"? {DIGITS}\n: 1", "99 ...: there is no such key"),
        (f"? '{DIGITS}'\n: 1", "99 ...: there is no such key"),
        (f"row_group_rows: '{DIGITS}'", "must be a valid integer, not '9999999"),
        ('target: "\\UFFFFFFFF"', "cannot be read as YAML: there is no such character"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(
    text: str, message: str, tmp_path: Path
) -> None:
    """Neither in the words of a traceback, nor at length."""
    base = NEEDED.replace("target: y\n", "") if text.startswith("target") else NEEDED
    with pytest.raises(JobFileError) as error:
        loaded(tmp_path, base + text)
    (said,) = str(error.value).splitlines()[1:]
    assert f"job.yaml:{base.count(chr(10)) + 1}: " in said
    assert message in said
    assert len(said) < 2500


def test_numbers_that_python_does_not_print() -> None:
    with pytest.raises(JobFileError, match="not a number of hundreds of digits"):
        load_job({"input": "a", "output": "b", "target": 10**5000})


MANY = {
    "keys": "key_{}: 1\n",
    "parameters": "  key_{}: 1\n",
    "labels": "    label_{}: x\n",
    "items": "  - [{}]\n",
    "variables": "key_{}: ${{NO_SUCH_{}}}\n",
    "the same": "report: true\n",
}
ABOVE = {
    "parameters": "params:\n",
    "labels": "params:\n  sampling_strategy:\n",
    "items": "partition_by:\n",
    "the same": "report: true\n",
}


@pytest.mark.parametrize("what", MANY)
def test_of_thousands_of_errors_the_first_are_printed(what: str, tmp_path: Path) -> None:
    lines = "".join(MANY[what].format(n, n) for n in range(4000))
    with pytest.raises(JobFileError) as error:
        loaded(tmp_path, NEEDED + ABOVE.get(what, "") + lines)
    assert len(error.value.errors) == 4000
    said = str(error.value).splitlines()
    assert (len(said), said[-1]) == (22, "  and 3,980 more")
    assert len(str(error.value)) < 15_000


def test_an_empty_file_lacks_what_is_required(tmp_path: Path) -> None:
    found = errors(tmp_path, "")
    assert [key for _, key, _ in found] == ["input", "target", "output"]


def test_not_utf8_and_too_large(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(b"input: a\noutput: \xff\n")
    with pytest.raises(JobFileError, match=r"job.yaml:2: is not UTF-8 text"):
        load_job(file)
    file.write_bytes(b"#" * 1_000_001)
    with pytest.raises(JobFileError, match="larger than 1 MB"):
        load_job(file)
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_job(tmp_path / "absent.yaml")
    with pytest.raises(OSError, match="is a folder"):
        load_job(tmp_path)


def test_keys_given_twice(tmp_path: Path) -> None:
    found = errors(tmp_path, NEEDED + "params: {carry: [a]}\ntarget: z\nparams: {}\n")
    assert [(w, k, m) for w, k, m in found] == [
        ("5", "target", "given twice, first in line 3"),
        ("6", "params", "given twice, first in line 4"),
    ]


def test_keys_that_are_no_words(tmp_path: Path) -> None:
    found = errors(tmp_path, NEEDED + "1: a\nparams: {2: b}\ncluster: {true: c}\n")
    assert [(where, key) for where, key, _ in found] == [
        ("4", "1"),
        ("5", "params.2"),
        ("6", "cluster.true"),
    ]
    with pytest.raises(JobFileError, match=r"params\.None"):
        load_job({"input": "a", "output": "b", "target": "y", "params": {None: 1, False: 2}})


def test_anchors_and_merges(tmp_path: Path) -> None:
    text = NEEDED + "params: &p {categorical: &c [id], k_neighbors: 3}\npartition_by: *c\n"
    spec = loaded(tmp_path, text)
    assert (spec.categorical, spec.partition_by) == (("id",), ("id",))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = loaded(tmp_path, NEEDED + "format: &a csv\nmode: &a full\npartition_by: *a\n")
    assert again.partition_by == ("full",)
    text = NEEDED + "split: {<<: {column: a, train: b}, train: c}\n"
    assert loaded(tmp_path, text).split == Split("a", ("c",))


def test_aliases_that_hold_themselves_or_grow_without_end(tmp_path: Path) -> None:
    only(errors(tmp_path, NEEDED + "partition_by: &a [*a]"), "4", "partition_by.0", "holds itself")
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for name, before in zip("bcdefgh", "abcdefg", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
    only(errors(tmp_path, "\n".join(lines)), "1", "", "more than 10,000 keys and values")
    job: dict = {"input": "in", "output": "out", "target": "y"}
    job["params"] = {"carry": job}
    with pytest.raises(JobFileError, match="holds itself"):
        load_job(job)


def test_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET", "lake-77")
    monkeypatch.setenv("WORKERS", "3")
    monkeypatch.delenv("ABSENT", raising=False)
    text = (
        "input: s3://${BUCKET}/in\noutput: '${ABSENT:-out}/$${x}'\ntarget: y\n"
        "cluster: {n_workers: 1}\n"
    )
    job = load_job(write(tmp_path, text), [set_key("cluster.n_workers=${WORKERS}")])
    assert (job.input, job.output) == ("s3://lake-77/in", "out/${x}")
    assert job.cluster.n_workers == 3
    text = "input: ${ABSENT}\noutput: a${b\ntarget: 'y${ABSENT}'\n"
    found = errors(tmp_path, text)
    assert [where for where, _, _ in found] == ["1", "2", "3"]
    assert "the environment variable ABSENT is not set" in found[0][2]
    assert "write $${" in found[1][2]


@pytest.mark.parametrize("text", ["${ABSENT:-${B}}", "a${ABSENT:-x${B}y}", "${B:-${ABSENT}}"])
def test_a_default_holds_no_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("B", "b")
    found = errors(tmp_path, NEEDED.replace("output: out", f"output: '{text}'"))
    only(found, "2", "output", "cannot hold another variable")


def test_variables_in_keys_are_refused_and_not_taken_for_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RARE", "b")
    text = NEEDED + "params:\n  sampling_strategy:\n    ${RARE}: 50\n    a: 60\n"
    key = "params.sampling_strategy.${RARE}"
    only(errors(tmp_path, text), "6", key, "in values, not in keys")
    with pytest.raises(JobFileError, match="in values, not in keys"):
        load_job(yaml.safe_load(text))
    text = text.replace("${RARE}", "'$${RARE}'")
    for source in (write(tmp_path, text), yaml.safe_load(text)):
        assert load_job(source).params["sampling_strategy"] == {"${RARE}": 50, "a": 60}


def test_a_variable_in_quotes_stays_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLD", "no")
    text = NEEDED + "split: {column: f, train: ['${FOLD}']}"
    assert loaded(tmp_path, text).split == Split("f", ("no",))
    monkeypatch.setenv("FOLD", "007")
    assert loaded(tmp_path, text).split == Split("f", ("007",))
    text = NEEDED + "split:\n  column: f\n  train: ${FOLD}\n"
    assert loaded(tmp_path, text).split == Split("f", ("007",))
    assert loaded(tmp_path, NEEDED, "split={column: f, train: [01, 1e3, 2]}").split == Split(
        "f", ("01", "1e3", 2)
    )


def test_what_came_from_the_environment_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "hunter2-x")
    monkeypatch.setenv("SHORT", "qz")
    text = (
        "input: 'sftp://me:${PASSWORD}@host/in'\noutput: out\ntarget: ${PASSWORD}\n"
        "mode: ${PASSWORD}\n"
        "params:\n  carry: ['${PASSWORD}', '${SHORT}']\n  categorical: ['${SHORT}']\n"
    )
    found = errors(tmp_path, text)
    assert {"mode", "params.carry"} <= {key for _, key, _ in found}
    assert "hunter2" not in str(found)
    assert "qz" not in str(found)
    monkeypatch.setenv("LINE", "4")
    found = errors(tmp_path, NEEDED + "format: ${LINE}\npartition_by: ${LINE}\n")
    assert [where for where, _, _ in found] == ["4", "5"]
    assert found[1][2] == "must be a valid string, not *** (put it in quotes)"
    text = text.replace("mode: ${PASSWORD}\n", "").replace("target: ${PASSWORD}", "target: y")
    spec = loaded(tmp_path, text.replace("  categorical", "  #"))
    assert spec.input == "sftp://me:hunter2-x@host/in"
    assert "hunter2" not in repr(spec) + str(spec.shown())
    assert spec.to_dict()["input"] == spec.input


def test_set_over_the_file(tmp_path: Path) -> None:
    spec = loaded(
        tmp_path,
        NEEDED + "params: {k_neighbors: 3}\nsplit: {column: f, train: [a, b]}\n",
        *("params.k_neighbors=7", "params.carry=[id, day]", "output=other", "report=true"),
        *("split.train.1=c", "params.sampling_strategy={1: 50}", "input="),
        "input=two",
    )
    assert (spec.params["k_neighbors"], spec.carry, spec.output) == (7, ("id", "day"), "other")
    assert (spec.input, spec.report, spec.split) == ("two", True, Split("f", ("a", "c")))
    assert spec.params["sampling_strategy"] == {"1": 50}
    assert loaded(tmp_path, "", "input=a", "output=b", "target=c") == JobSpec("a", "c", output="b")
    section = loaded(tmp_path, NEEDED, "split={test_fraction: 0.2}", "split.seed=4")
    assert section.split == Split(test_fraction=0.2, seed=4)


def test_errors_of_set_name_it_instead_of_a_line(tmp_path: Path) -> None:
    found = errors(
        tmp_path,
        NEEDED + "split: {column: f, train: [a]}\n",
        *("params.k_neighbours=5", "reprot=true", "mode=ful", "split.train.4=b", "target.x=1"),
        *("cluster.n_workers=[", "split.column=7", "input=", "partition_by="),
    )
    by_place = {where: message for where, _, message in found}
    assert "did you mean 'k_neighbors'?" in by_place["--set params.k_neighbours"]
    assert "did you mean 'report'?" in by_place["--set reprot"]
    assert "did you mean 'full'?" in by_place["--set mode"]
    assert "split.train has items 0 to 0, but no '4'" in by_place["--set split.train.4"]
    assert "target is one value: it has no key 'x'" in by_place["--set target.x"]
    assert "cannot be read as YAML" in by_place["--set cluster.n_workers"]
    assert by_place["--set split.column"] == "must be a valid string, not 7 (put it in quotes: '7')"
    assert by_place["--set input"] == "must be a valid string, not empty"
    assert by_place["--set partition_by"] == "must be a list, not empty"
    half = errors(tmp_path, NEEDED, "split.column=fold")
    only(half, "--set split.column", "split.column", "needs the values")
    with pytest.raises(ValueError, match=r"'target' is not KEY=VALUE, such as params.k_"):
        set_key("target")
    with pytest.raises(ValueError, match="'kind' is not KEY=VALUE, such as k_neighbors=7"):
        set_key("kind", "--param")


def test_an_error_of_another_key_than_an_option_gives_names_it(tmp_path: Path) -> None:
    given = ("cluster.security.tls_ca_file=ca.pem", "params.sampling_strategy={a: x}")
    said = [message for _, _, message in errors(tmp_path, NEEDED, *given)]
    assert said == [
        "params.sampling_strategy.a: must be a valid integer, not 'x'",
        "cluster.security.tls_client_cert: is required, and not given",
        "cluster.security.tls_client_key: is required, and not given",
    ]


def test_a_mapping_of_the_same_keys() -> None:
    import numpy as np

    job = {
        "input": Path("in"),
        "output": "out",
        "target": "y",
        "params": {"k_neighbors": np.int64(4), "carry": ("a",)},
    }
    spec = load_job(job)
    assert spec == JobSpec("in", "y", output="out", k_neighbors=4, carry=("a",))
    with pytest.raises(JobFileError) as refused:
        load_job({**job, "modus": "full", "params": {"k_neighbors": 0}})
    assert [str(one) for one in refused.value.errors] == [
        "modus: there is no such key (did you mean 'mode'?)",
        "params.k_neighbors: must be greater than or equal to 1, not 0",
    ]


def test_the_error_travels_between_processes() -> None:
    import pickle

    with pytest.raises(JobFileError) as refused:
        load_job({})
    again = pickle.loads(pickle.dumps(refused.value))
    assert (str(again), again.errors) == (str(refused.value), refused.value.errors)


KEYS = (
    *("input", "output", "target", "format", "sampler", "params", "split", "mode", "if_exists"),
    *("partition_by", "row_group_rows", "compression", "shuffle", "report", "resume", "cluster"),
    *("column", "train", "test_fraction", "seed", "stratify", "address", "n_workers", "security"),
    *("memory_limit", "k_neighbors", "n_neighbors", "carry", "categorical", "sampling_strategy"),
    *("random_state", "n_components", "kind", "shrinkage", "categorical_features", "0", ""),
)
WORDS = st.sampled_from(("smote", "adasyn", "auto", "full", "y", "2GiB", "${A}", "$${", "1"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text() | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS) | st.integers() | st.booleans() | st.none(), inner, max_size=4
        )
    ),
    max_leaves=12,
)
DOCUMENTS = st.fixed_dictionaries(
    {}, optional={"input": WORDS, "output": WORDS, "target": WORDS}
).flatmap(
    lambda needed: st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6).map(
        lambda more: {**needed, **more}
    )
)


@settings(max_examples=200)
@given(document=DOCUMENTS, sets=st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=2))
def test_whatever_is_written_is_a_job_or_a_list_of_errors(
    document: dict, sets: list, tmp_path_factory: pytest.TempPathFactory
) -> None:
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


@settings(max_examples=200)
@given(text=st.text(st.sampled_from("ab:{}[]$&*<- \n\t'\"#|>%@`!~0129.")))
def test_whatever_the_file_is_it_is_a_list_of_errors(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "text.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(JobFileError):
        load_job(file)


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
def test_places_are_shown_and_secrets_are_not(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, shown: bool
) -> None:
    monkeypatch.setenv(name, value)
    spec = load_job({"input": f"${{{name}}}", "output": "out", "target": "y"})
    assert spec.input == value
    assert (spec.hidden.mask(f"no table in {value}") == f"no table in {value}") is shown


def test_parameters_are_those_of_the_sampler_whose_key_is_misspelled(tmp_path: Path) -> None:
    text = NEEDED + "params: {kind: borderline-3}\nsmapler: borderline\n"
    found = errors(tmp_path, text)
    assert [key for _, key, _ in found] == ["params.kind", "smapler"]
    assert "'borderline-1' or 'borderline-2'" in found[0][2]


@pytest.mark.parametrize("line", ["sampelr: smotenc", "sampler: smotenk", "sampelr: smotenk"])
def test_parameters_are_checked_also_where_the_sampler_is_misspelled(
    tmp_path: Path, line: str
) -> None:
    text = f"{NEEDED}{line}\nparams: {{k_neighbors: yes, random_state: -1}}\n"
    keys = {key for _, key, _ in errors(tmp_path, text)}
    assert {line.partition(":")[0], "params.k_neighbors", "params.random_state"} <= keys
