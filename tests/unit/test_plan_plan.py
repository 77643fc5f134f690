"""The plan: printable, JSON-able, and it says what will happen."""

import json

import dask
import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTENC, Plan
from dsmote.plan import Limit, make_plan, make_schema
from dsmote.plan.plan import BLOCK_BYTES, BLOCK_ROWS, Needs
from tests.tables import dask_frame, even, mixed, numbers


def plan_of(counts, new, k=5, row_bytes=8, limit=None, **how):
    return make_plan(
        sampler="SMOTE",
        seed=3,
        schema=make_schema(["x"], [np.dtype("f8")]),
        counts=counts,
        usable=how.pop("usable", counts),
        new=new,
        needs=Needs(k),
        engines=dict.fromkeys(new, ("tree", "few directions")),
        partition_bytes=800,
        row_bytes=row_bytes,
        limit=limit,
        **how,
    )


def test_counts_and_blocks():
    plan = plan_of({"b": 100, "a": 10}, {"a": 90})
    assert [c.label for c in plan.classes] == ["a", "b"]
    assert (plan.n_before, plan.n_new, plan.n_after) == (110, 90, 200)
    assert plan.counts_before == {"a": 10, "b": 100}
    assert plan.counts_after == {"a": 100, "b": 100}
    assert [(b.label, b.start, b.stop, b.rows, b.offset) for b in plan.blocks] == [
        ("a", 0, 90, 90, 0)
    ]
    assert plan.engine == "tree"
    assert [c.label for c in plan.growing] == ["a"]
    assert plan.classes[1].k is None
    plan.check()


def test_thirty_rows_that_become_a_million_are_many_partitions():
    plan = plan_of({0: 1_000_030, 1: 30}, {1: 1_000_000})
    assert len(plan.blocks) == 4
    assert max(b.rows for b in plan.blocks) <= BLOCK_ROWS == 250_000
    wide = plan_of({0: 1_000_030, 1: 30}, {1: 1_000_000}, row_bytes=8_000)
    assert max(b.rows for b in wide.blocks) * 8_000 <= BLOCK_BYTES == 64 * 2**20
    # Even cuts: none is a left-over of a few rows.
    rows = [b.rows for b in wide.blocks]
    assert max(rows) - min(rows) <= 1
    assert sum(rows) == 1_000_000


def test_rows_of_any_width_make_blocks():
    plan = plan_of({0: 50, 1: 10}, {1: 3}, row_bytes=10**10)
    assert [b.rows for b in plan.blocks] == [1, 1, 1]


def test_blocks_follow_one_another():
    plan = plan_of({0: 9, 1: 400_000, 2: 8, 3: 7}, {0: 300_000, 2: 1, 3: 250_001})
    places = [b.offset for b in plan.blocks]
    ends = [b.offset + b.rows for b in plan.blocks]
    assert places == [0, *ends[:-1]]
    assert ends[-1] == plan.n_new
    assert [b.label for b in plan.blocks] == [0, 0, 2, 3, 3]


def test_to_dict_is_json():
    for table, sampler in ((numbers(), SMOTE(random_state=0)), (mixed(), SMOTENC(random_state=0))):
        plan = sampler.plan(table, target="y")
        told = json.loads(json.dumps(plan.to_dict()))
        assert told["sampler"] == type(sampler).__name__
        assert told["seed"] == 0
        assert told["rows_after"] == plan.n_after
        assert {c["label"]: c["after"] for c in told["classes"]} == plan.counts_after
        assert sum(b["stop"] - b["start"] for b in told["blocks"]) == plan.n_new
        assert told["memory"]["worker_bytes"] > told["memory"]["task_bytes"] > 0
        assert told["format_version"] == 1


@pytest.mark.parametrize(
    "labels",
    [
        [np.int64(1), np.int64(2)],
        [pd.Timestamp("2020-01-01"), pd.Timestamp("2021-01-01")],
        [1, "a"],
    ],
)
def test_labels_of_any_kind_are_json(labels):
    plan = plan_of({labels[0]: 50, labels[1]: 10}, {labels[1]: 40})
    json.dumps(plan.to_dict())
    str(plan)


def test_it_prints_what_will_happen():
    text = str(SMOTE(random_state=7).plan(numbers(1_200, 200), target="y"))
    assert text.startswith("SMOTE (seed 7), neighbour engine: brute")
    for part in (
        "before",
        "new",
        "after",
        "1,000",
        "800",
        "new rows: 1 partition",
        "at most 800 rows",
    ):
        assert part in text
    assert "in one worker" in text
    assert "allowed" in text


def test_all_ways_to_ask_for_it_agree():
    table = numbers()
    X, y = table.drop(columns="y"), table["y"]
    lengths = even(len(table), 4)
    with dask.config.set(scheduler="synchronous"):
        plans = [
            SMOTE(random_state=0).plan(table, target="y"),
            SMOTE(random_state=0).plan(X, y),
            SMOTE(random_state=0).plan(X.to_numpy(), y.to_numpy()),
            SMOTE(random_state=0).plan(dask_frame(table, lengths), target="y"),
            SMOTE(random_state=0).plan(dask_frame(X, lengths), dask_frame(y, lengths)),
        ]
    for plan in plans:
        assert isinstance(plan, Plan)
        assert plan.counts_after == {0: 96, 1: 96}
        assert plan.blocks == plans[0].blocks
        assert plan.engine == plans[0].engine


def test_the_plan_of_the_last_run_is_kept():
    table = numbers()
    sampler = SMOTE(random_state=0)
    sampler.resample(table, target="y")
    assert sampler.plan_ == sampler.plan(table, target="y")
    assert sampler.plan_.counts_after == {0: 96, 1: 96}


def test_a_plan_of_what_cannot_run_is_no_error():
    table = numbers(60, 4)
    plan = SMOTE().plan(table, target="y")
    assert any("class 1 has 4 rows, but k_neighbors=5" in w for w in plan.problems)
    assert "cannot run: class 1 has 4 rows" in str(plan)
    with pytest.raises(ValueError, match="class 1 has 4 rows"):
        plan.check()


def test_warnings():
    small = plan_of({0: 100, 1: 3, 2: 50}, {2: 50})
    assert small.warnings == ("fewer than k + 1 = 6 rows, so unchanged: class 1 (3 rows)",)
    small.check()
    large = plan_of({0: 900_000, 1: 500_000}, {1: 400_000})
    assert any("small for class 1 (500,000 rows)" in w for w in large.warnings)
    assert not plan_of({0: 100, 1: 50}, {1: 50}).warnings
    names = SMOTENC(random_state=0).plan(mixed(), target="y")
    assert any("'c'" in note and "'d'" in note and "categorical" in note for note in names.notes)
    full = plan_of({0: 100, 1: 50}, {1: 50}, limit=Limit(2**20, 1, "a small limit"))
    assert any("does not fit into a small limit" in w for w in full.problems)


def test_plans_are_frozen():
    plan = plan_of({0: 100, 1: 50}, {1: 50})
    with pytest.raises(AttributeError):
        plan.seed = 4
    assert plan == plan_of({0: 100, 1: 50}, {1: 50})


def test_insurance(data_dir):
    table = pd.read_parquet(data_dir / "insurance_crosssell_train.parquet")
    plan = SMOTENC(random_state=0, carry=["id"]).plan(table, target="Response")
    assert plan.counts_before == {0: 334_399, 1: 46_710}
    assert plan.counts_after == {0: 334_399, 1: 334_399}
    assert plan.n_after == 668_798
    assert len(plan.blocks) == 2
    assert any("k_neighbors=5 is small for class 1 (46,710 rows)" in w for w in plan.warnings)


def test_a_slip_in_the_total_is_refused_at_once():
    with pytest.raises(ValueError, match=r"50,000,000,000,000 new rows of class 1.* a slip"):
        SMOTE(sampling_strategy={1: 50_000_000_000_010}).plan(
            np.zeros((30, 1)), np.repeat([0, 1], [20, 10])
        )


def test_without_a_pass_the_plan_says_when_the_engine_is_chosen():
    table = numbers()
    plan = SMOTE().plan(table, target="y", class_counts=table["y"].value_counts())
    assert plan.engine == "chosen when the rows are gathered"
    assert SMOTE().plan(table, target="y").engine == "brute"
    balanced = dict.fromkeys((0, 1), 96)
    assert SMOTE().plan(table, target="y", class_counts=balanced).engine == "none"
