"""Only training rows are resampled; the others come out untouched in a folder of their own."""

from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote.job import JobSpec, plan_job, prepare, write_job
from dsmote.job.spec import Split
from dsmote.job.training import divide
from dsmote.plan import Subset
from dsmote.samplers.parameters import allowed
from dsmote.samplers.registry import find_sampler, parameters_of
from tests.job.conftest import mixed_frame, write_files
from tests.tables import counted_computes, dask_frame, lengths_of

FOLD = Split(column="fold", train=("train",))
#: Samplers of each kind, with what they need for small tables of two far clouds of rows.
SAMPLERS = {
    **{name: {} for name in ("adasyn", "smotenc", "smoten", "random-under", "enn", "smote-tomek")},
    "smote": {"scale": "standard"},
    "borderline": {"params": {"m_neighbors": 20}},
    "borderline-2": {
        "sampler": "borderline",
        "params": {"kind": "borderline-2", "m_neighbors": 20},
    },
    "svm": {"params": {"m_neighbors": 20}},
    "kmeans": {"params": {"cluster_balance_threshold": 0.01}},
    "random-smoothed": {"sampler": "random", "params": {"shrinkage": 1.0}},
}


def job(source, out, **fields):
    given = {"random_state": 0, **fields}
    if given["random_state"] is None:  # of a sampler that has none
        del given["random_state"]
    return JobSpec(str(source), "y", output=str(out), **given)


def run(spec):
    return write_job(prepare(spec)).manifest


def folded(rows=300):
    """Every kind of column, a fold, and a class that is in no training row."""
    frame = mixed_frame(rows)
    fold = np.array(["train", "valid", "test"])[np.arange(rows) * 7 % 11 % 3]
    frame.insert(3, "fold", fold)
    frame["y"] = np.where((frame["fold"] == "test") & (frame.index % 50 == 9), 7, frame["y"])
    return frame


@pytest.fixture
def source(tmp_path):
    return write_files(folded(), tmp_path / "in", 3)


def test_a_column_says_what_is_for_training(source, tmp_path):
    before, out = pd.read_parquet(source), tmp_path / "out"
    train, test = (before[(before["fold"] == "train") == side] for side in (True, False))
    manifest = run(job(source, out, carry=("id", "note"), split=FOLD))
    made = pd.read_parquet(out / "train")
    pd.testing.assert_frame_equal(pd.read_parquet(out / "test"), test.reset_index(drop=True))
    originals = made.iloc[: len(train)].astype({"id": "int64"})
    pd.testing.assert_frame_equal(originals, train.reset_index(drop=True))
    # Who reads the training rows must see the new ones too.
    assert set(made["fold"]) == {"train"}
    assert made.dtypes["fold"] == before.dtypes["fold"]
    n = int((train["y"] == 0).sum())
    assert made["y"].value_counts().to_dict() == {0: n, 1: n}
    rows = {"before": len(train), "new": len(made) - len(train), "after": len(made)}
    assert manifest["rows"] == {**rows, "test": len(test)}
    assert manifest["test"] == [
        {"label": label, "rows": int((test["y"] == label).sum())} for label in (0, 1, 7)
    ]
    folders = {name: of["rows"] for name, of in manifest["folders"].items()}
    assert folders == {"train": len(made), "test": len(test)}
    assert {Path(part["file"]).parts[0] for part in manifest["parts"]} == {"train", "test"}
    assert sorted(p.name for p in out.iterdir()) == ["_SUCCESS", "test", "train"]


def test_the_plan_shows_both_sides_and_every_pass(source):
    spec = JobSpec(str(source), "y", carry=("id", "note"), split=FOLD)
    plan = plan_job(prepare(spec))
    frame = folded()
    test = frame[frame["fold"] != "train"]["y"].value_counts().sort_index()
    assert plan.n_before + sum(test) == 300
    assert plan.test == tuple(test.items())
    assert (
        f"not for training: {sum(test)} rows, which stay as they are ({test[0]} of class 0"
        in str(plan)
    )
    assert [one["rows"] for one in plan.to_dict()["test"]] == test.tolist()
    assert plan.passes[0] == "telling training rows from others"
    assert len(plan.passes) == 3


@pytest.mark.parametrize(
    ("values", "train", "expected"),
    [
        ([0, 1, 2], (1,), [1]),
        ([0, 1, 2], ("1", 2), [1, 2]),
        ([0.0, 1.0, None], (1,), [1.0]),
        ([2**53, 2**53 + 1, 5], (2**53 + 1,), [2**53 + 1]),
        ([True, False, False], (True,), [True]),
        ([True, False, False], ("false",), [False]),
        (["0", "1", None], (0,), ["0"]),
        (pd.Categorical(["b", "a", "c"], ["c", "b", "a", "z"]), ("a", "b"), ["a", "b"]),
    ],
)
def test_values_match_as_labels_do(values, train, expected):
    frame = pd.DataFrame({"x": np.arange(120.0), "y": [0, 0, 0, 0, 1] * 24})
    frame["fold"] = pd.Series(values).take(np.arange(120) % 3).reset_index(drop=True)
    divided = divide(dask_frame(frame, [70, 50]), "y", Split("fold", train))
    made, rest = divided.train.compute(scheduler="sync"), divided.test.compute(scheduler="sync")
    chosen = frame["fold"].isin(expected)
    pd.testing.assert_frame_equal(rest, frame[~chosen])
    pd.testing.assert_frame_equal(made, frame[chosen])


def test_new_rows_have_the_fold_of_their_base_row(tmp_path):
    source, split = write_files(folded(), tmp_path / "in", 3), Split("fold", ("train", "valid"))
    for sampler in ("smotenc", "random"):
        # What is carried is missing in new rows; the fold is not.
        fields = {"carry": ("id", "note", "fold"), "params": {"provenance": "full"}}
        run(job(source, tmp_path / sampler, sampler=sampler, split=split, **fields))
        made = pd.read_parquet(tmp_path / sampler / "train")
        new, originals = (made[made["synthetic"] == side] for side in (True, False))
        base = originals.iloc[new["base_row"].to_numpy(dtype="int64")]
        assert new["fold"].tolist() == base["fold"].tolist()
        assert set(new["fold"]) == {"train", "valid"}
        # Row numbers are those among the training rows; carried columns tell which they were.
        assert new["id_base"].tolist() == base["id"].tolist()


@given(
    cuts=st.lists(st.integers(0, 60), max_size=4),
    fraction=st.floats(0.01, 0.9),
    seed=st.integers(0, 2**32),
    way=st.sampled_from(["column", "all", "stratified"]),
)
@settings(max_examples=15, deadline=None)
def test_cuts_make_no_difference(cuts, fraction, seed, way):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"row": np.arange(60), "y": rng.integers(0, 3, 60)})
    frame["fold"] = rng.integers(0, 4, 60)
    how = Split("fold", (frame["fold"][0], frame["fold"][1]))
    if way != "column":
        how = Split(test_fraction=fraction, seed=seed, stratify=way == "stratified")
    with counted_computes() as computes:
        divided = divide(dask_frame(frame, lengths_of(60, cuts)), "y", how)
        assert len(computes) == 1
        train, test = divided.train.compute(), divided.test.compute()
    pd.testing.assert_frame_equal(pd.concat([train, test]).sort_values("row"), frame)
    assert train["row"].is_monotonic_increasing
    assert test["row"].is_monotonic_increasing
    assert sum(divided.train_rows) == len(train)
    assert sum(divided.test_rows) == len(test)
    assert divided.labels == frame["y"].value_counts().to_dict()
    if way == "column":
        assert train["fold"].isin(how.train).all()
        assert not test["fold"].isin(how.train).any()
    else:
        assert len(test) == ceil(60 * Fraction(str(fraction)))
        whole = divide(dask_frame(frame, [60]), "y", how).test.compute(scheduler="sync")
        pd.testing.assert_frame_equal(test, whole)
    if way == "stratified":
        exact = frame["y"].value_counts() * (len(test) / 60)
        assert (exact - test["y"].value_counts()).abs().max() < 1


def test_draws_of_a_split_are_its_own():
    """Each class has draws of its own, and a sampler of the same seed has others."""
    frame = pd.DataFrame({"row": np.arange(400), "y": np.arange(400) % 2})

    def held(**how):
        split = Split(test_fraction=0.25, **how)
        return divide(dask_frame(frame, [400]), "y", split).test.compute(scheduler="sync")

    test = held(seed=0, stratify=True)
    places = [(test["row"][test["y"] == label] // 2).tolist() for label in (0, 1)]
    assert len(places[0]) == len(places[1]) == 50
    assert places[0] != places[1]
    assert held(seed=1, stratify=True)["row"].tolist() != test["row"].tolist()
    places.append(held(seed=0)["row"].tolist())
    for rank in (0, 1):
        for n, drawn in ((200, 50), (400, 100)):
            assert np.flatnonzero(Subset(n, drawn, 0, rank).times(0, n)).tolist() not in places


def test_rows_without_a_label_may_be_held_back(tmp_path):
    frame = folded()[["x", "fold", "y"]].astype({"y": "Int64"})
    frame.loc[frame["fold"] == "test", "y"] = pd.NA
    source = write_files(frame, tmp_path / "in", 3)
    manifest = run(job(source, tmp_path / "out", split=FOLD))
    expected = frame[frame["fold"] != "train"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out/test"), expected)
    assert manifest["test"][-1] == {"label": None, "rows": int((frame["fold"] == "test").sum())}


def far(rows=400):
    """Test rows lie a million away from training rows, and have a name of their own."""
    rng = np.random.default_rng(3)
    test = np.arange(rows) % 5 >= 3
    rare = rng.random(rows) < 0.25
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=rows) + rare,
            "b": rng.normal(size=rows) - rare,
            "c": np.where(test, "held back", rng.choice(["u", "v", "w"], rows)),
            "id": np.arange(rows),
            "fold": np.where(test, "test", "train"),
            "y": rare.astype(int),
        }
    )
    frame.loc[test, ["a", "b"]] += 1e6
    return frame


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_row_has_a_parent_outside_the_training_rows(name, tmp_path):
    """With the test rows there, all is as it would be had they never been: parents, models too."""
    frame = far()
    fields = {"sampler": name, **SAMPLERS[name]}
    kind = find_sampler(fields["sampler"])
    named = fields["sampler"] in ("smotenc", "smoten", "random", "random-under")
    if fields["sampler"] == "smoten":
        frame["a"] = frame["a"].round()
        frame = frame.drop(columns="b")
    if not named or name == "random-smoothed":
        frame = frame.drop(columns="c")
    if "carry" in parameters_of(kind):
        fields |= {"carry": ("id",)}
    if "full" in str(allowed(kind).get("provenance")):
        fields["params"] = {**fields.get("params", {}), "provenance": "full"}
    if "random_state" not in parameters_of(kind):
        fields["random_state"] = None
    source = write_files(frame, tmp_path / "in", 3)
    out, alone = tmp_path / "out", tmp_path / "alone"
    run(job(source, out, split=FOLD, **fields))
    made, test = pd.read_parquet(out / "train"), pd.read_parquet(out / "test")
    sides = [frame[frame["fold"] == side].reset_index(drop=True) for side in ("train", "test")]
    pd.testing.assert_frame_equal(test, sides[1])
    assert set(made.pop("fold")) == {"train"}
    assert "synthetic" not in made or made["synthetic"].any()
    run(job(write_files(sides[0].drop(columns="fold"), tmp_path / "only", 2), alone, **fields))
    pd.testing.assert_frame_equal(made, pd.read_parquet(alone))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"split": Split("fold", ("training",))},
            r"column 'fold' never holds 'training'.* 'train' \(\d+ rows\), 'valid' \(\d+ rows\)",
        ),
        ({"split": Split("nope", ("a",))}, "no column 'nope' .given as the split's column."),
        ({"split": Split(test_fraction=0.999)}, "300 rows is 300 rows, which leaves none for"),
        # Who sees two classes in the table must be told where one went.
        ({"split": FOLD, "target": "only"}, r"among the 110 rows for training .of 300.: the targ"),
        (
            {"split": FOLD, "target": "only", "sampler": "random-under"},
            r"among the 110 rows for training .of 300.: the target needs",
        ),
    ],
)
def test_split_that_cannot_be(tmp_path, fields, message):
    frame = folded()[["x", "fold", "y"]]
    frame["only"] = frame["fold"] == "train"
    source = write_files(frame, tmp_path / "in", 3)
    fields = {"target": "y", "output": str(tmp_path / "out"), **fields}
    for do in (plan_job, write_job):
        with pytest.raises(ValueError, match=message):
            do(prepare(JobSpec(str(source), random_state=0, **fields)))
    assert not (tmp_path / "out").exists()


def test_memory_counts_the_partition_as_it_is_read(tmp_path):
    """A tenth is for training, but the whole partition is in a worker when it is read."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20_000, 8))).add_prefix("x")
    frame["y"] = np.arange(len(frame)) % 20 == 0
    frame["fold"] = np.where(np.arange(len(frame)) // 20 % 10 == 0, "train", "test")
    source = write_files(frame, tmp_path / "in", 1)
    whole = plan_job(prepare(JobSpec(str(source), "y", carry=("fold",))))
    part = plan_job(prepare(JobSpec(str(source), "y", split=FOLD)))
    assert part.memory.partition_bytes > whole.memory.partition_bytes
