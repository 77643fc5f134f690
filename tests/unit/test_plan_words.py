"""What the plan says is short, in whole numbers, and no warning of what was asked for."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTENC
from dsmote.neighbors import choose_engine
from dsmote.plan import make_plan, make_schema
from dsmote.plan.plan import Needs

FEW, LARGE = 3, 20_000


def planned(rows: int, on_small: str, classes: int = 4):
    """Return a plan in which as many classes as asked for have so many rows, and one has more."""
    counts = {"all": 90_000} | {f"c{i}": rows for i in range(classes)}
    new = {label: 100 for label in counts if label != "all"}
    return make_plan(
        sampler="X",
        seed=0,
        schema=make_schema(["x"], [np.dtype("f8")]),
        counts=counts,
        usable=counts,
        new=new,
        needs=Needs(5),
        on_small=on_small,
        engines=dict.fromkeys(new, ("tree", "because rows are few")),
        partition_bytes=800,
        row_bytes=16,
        limit=None,
    )


@pytest.mark.parametrize(
    ("rows", "on_small"), [(FEW, "error"), (FEW, "copy"), (FEW, "skip"), (LARGE, "error")]
)
def test_one_line_says_it_of_all_classes(rows, on_small):
    for classes in (1, 4):
        plan = planned(rows, on_small, classes)
        lines = [*plan.warnings, *plan.too_small]
        (line,) = dict.fromkeys(lines)
        assert all(f"'c{i}'" in line for i in range(classes))
        assert len(plan.reasons) == (on_small != "skip")


def test_k_is_lowered_to_what_all_small_classes_allow():
    (line,) = planned(FEW, "error").too_small
    assert "lower k_neighbors to 2 or less, leave the classes out" in line
    (line,) = planned(1, "error", 2).too_small
    assert "collect more rows of them, leave the classes out" in line


def test_constant_features_are_one_warning():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": np.zeros(400), "c": rng.choice(list("abc"), 400)})
    y = np.repeat(list("mnop"), [250, 50, 50, 50])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SMOTENC(random_state=0).fit_resample(X, y)
    (warning,) = caught
    assert str(warning.message).startswith("classes 'n', 'o', 'p': the median of the columns")


@pytest.mark.parametrize(
    "sampler",
    [
        SMOTE(scale="standard"),
        SMOTE(n_components=2),
        SMOTENC(categorical_features=["c"]),
        SMOTENC(categorical_features=["c"], scale="robust"),
    ],
)
def test_what_was_asked_for_is_noted_without_a_warning(sampler):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(300, 3)), columns=list("abc")).assign(c=rng.poisson(3, 300))
    plan = sampler.plan(X, np.arange(300) % 10 == 0)
    assert plan.warnings == ()
    assert plan.notes
    assert plan.to_dict()["notes"] == list(plan.notes)
    assert "warning:" not in str(plan)
    assert all(f"note: {note}" in str(plan) for note in plan.notes)


@pytest.mark.parametrize("rank", [1, 2, 7, 8, 9, 10, 20])
@pytest.mark.parametrize("n", [1_000, 10_000, 60_000, 10**6])
def test_the_reason_for_an_engine_is_in_whole_numbers_that_agree(rank, n):
    rng = np.random.default_rng(rank)
    sample = rng.normal(size=(512, rank)) @ np.linalg.qr(rng.normal(size=(30, rank)))[0].T
    choice = choose_engine(n, sample)
    found = re.fullmatch(
        r"because 30 numeric features vary in about (\d+) directions?, and (up to|above) "
        r"(\d+) (a tree|comparing all rows) is the fastest exact search",
        choice.why,
    )
    assert found is not None
    about, most = int(found.group(1)), int(found.group(3))
    assert (about <= most) == (found.group(2) == "up to") == (choice.name == "tree")
