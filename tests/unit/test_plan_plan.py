"""The plan: classes, blocks, memory, problems and warnings, as JSON and as text."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote.neighbors import TreeIndex
from dsmote.plan import COPY, Limit, Profile, make_plan, make_schema
from dsmote.plan.memory import Needs, looking_bytes
from dsmote.plan.plan import MOST_BLOCKS

SCHEMA = make_schema(["x", "z"], [np.dtype("f8")] * 2)


def planned(counts, new, needs=Needs(5), schema=SCHEMA, usable=None, exact=None, **how):  # noqa: B008
    how = {"partition_bytes": 800, "row_bytes": 16, "limit": None} | how
    profile = Profile(
        counts=counts, usable=usable or counts, exact_columns=exact, assumed=exact is None
    )
    engines = dict.fromkeys(new, ("tree", "few directions", TreeIndex()))
    return make_plan(
        sampler="X",
        seed=3,
        schema=schema,
        profile=profile,
        new=new,
        needs=needs,
        engines=engines,
        **how,
    )


def test_a_plan_can_be_read_and_written():
    labels = [pd.Timestamp("2020-01-01"), pd.Timestamp("2021-01-01")]
    for many, few in (("b", "a"), (np.int64(2), np.int64(1)), labels, (1, "a")):
        needs = Needs(5, passes=("counting", "the output"))
        plan = planned({many: 1_000, few: 200}, {few: 800}, needs)
        assert plan.counts_before == {many: 1_000, few: 200}
        assert plan.counts_after == {many: 1_000, few: 1_000}
        (block,) = plan.blocks
        assert (block.label, block.start, block.stop, block.offset) == (few, 0, 800, 0)
        assert [c.label for c in plan.growing] == [few]
        plan.check()
        told = json.loads(json.dumps(plan.to_dict()))
        assert (told["format_version"], told["sampler"], told["seed"]) == (1, "X", 3)
        assert (told["rows_before"], told["rows_new"], told["rows_after"]) == (1_200, 800, 2_000)
        assert sorted(c["after"] for c in told["classes"]) == [1_000, 1_000]
        assert told["memory"]["worker_bytes"] > told["memory"]["task_bytes"] > 0
        assert told["passes"] == ["counting", "the output"]
        text = str(plan)
        assert text.startswith("X (seed 3), neighbour engine: tree")
        assert re.search(r"\n.*  +200  +800  +1,000\n", text)
        assert "new rows: 1 partition(s) of at most 800 rows" in text
        assert "passes over the data: 2 (counting; the output)" in text
        assert " in one worker; " in text


@given(
    new=st.dictionaries(st.integers(0, 5), st.integers(0, 400), max_size=5),
    row_bytes=st.integers(1, 2**22),
)
def test_blocks_are_all_new_rows_once_and_in_order(new, row_bytes):
    counts = dict.fromkeys(range(6), 500)
    plan = planned(counts, new, row_bytes=row_bytes)
    most = max(1, 64 * 2**20 // row_bytes)
    at = 0
    for block in plan.blocks:
        assert block.offset == at
        assert 0 < block.rows <= most
        at += block.rows
    assert at == plan.n_new == sum(new.values())
    assert [b.class_rank for b in plan.blocks] == sorted(b.class_rank for b in plan.blocks)
    assert plan.counts_after == {c: 500 + new.get(c, 0) for c in counts}


@pytest.mark.parametrize(
    ("partition_bytes", "row_bytes", "most"),
    [
        (800, 1_000, 8 * 2**20 // 1_000),
        (12 * 2**20, 1_000, 12 * 2**20 // 1_000),
        (2**30, 1_000, 64 * 2**20 // 1_000),
        (2**30, 16, 250_000),
    ],
    ids=["small partitions", "usual ones", "large ones", "short rows"],
)
def test_blocks_are_as_large_as_partitions_of_the_input_within_bounds(
    partition_bytes, row_bytes, most
):
    how = {"partition_bytes": partition_bytes, "row_bytes": row_bytes}
    plan = planned({0: 1_000_030, 1: 30}, {1: 1_000_000}, **how)
    rows = [b.rows for b in plan.blocks]
    assert 0.8 * most <= max(rows) <= most
    assert max(rows) - min(rows) <= 1  # even cuts: none is a left-over of a few rows


def test_blocks_depend_on_the_input_and_not_on_the_cluster():
    limits = [None, *(Limit(gib * 2**30, threads, "w") for gib in (1, 64) for threads in (1, 8))]
    plans = [
        planned({0: 900_000, 1: 1_000}, {1: 500_000}, row_bytes=1_000, limit=limit)
        for limit in limits
    ]
    assert len({plan.blocks for plan in plans}) == 1
    assert len(plans[0].blocks) > 1


FEW, LARGE = 3, 20_000


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize(
    ("rows", "on_small", "new", "engine", "said"),
    [
        (FEW, "error", 100, "tree", "has 3 rows, but n_neighbors=5 needs at least 6"),
        (FEW, "copy", 100, COPY, "so copied: class"),
        (FEW, "skip", 0, None, "so unchanged: class"),
        (LARGE, "error", 100, "tree", "n_neighbors=5 is small for class"),
    ],
)
def test_one_line_says_of_all_classes_that_they_are_small(
    rows, on_small, new, engine, said, classes
):
    counts = {"all": 90_000} | {f"c{i}": rows for i in range(classes)}
    wanted = {label: 100 for label in counts if label != "all"}
    plan = planned(counts, wanted, Needs(5, k_name="n_neighbors"), on_small=on_small)
    (line,) = [*plan.warnings, *plan.too_small]
    assert said in line
    assert all(f"'c{i}'" in line for i in range(classes))
    assert {(c.new, c.engine) for c in plan.classes[1:]} == {(new, engine)}
    assert len(plan.reasons) == (on_small != "skip")
    if plan.too_small:
        assert f"cannot run: {plan.too_small[0]}" in str(plan)
        them = "classes" if classes > 1 else "class"
        assert f"lower n_neighbors to 2 or less, leave the {them} out" in line
        with pytest.raises(ValueError, match=r"class 'c0' has 3 rows.* needs at least 6"):
            plan.check()


@pytest.mark.parametrize("on_small", ["error", "copy", "skip"])
def test_classes_of_one_row_or_none(on_small):
    usable = {"many": 90, "few": 0}
    plan = planned({"many": 90, "few": 5}, {"few": 80}, on_small=on_small, usable=usable)
    assert plan.n_new == (80 if on_small == "error" else 0)
    if on_small == "error":
        assert "class 'few' has 0 rows (5 less those with missing values)" in plan.too_small[0]
        (line,) = planned({"many": 90, "few": 1}, {"few": 80}).too_small
        assert "collect more rows of it, leave the class out" in line


def test_all_that_takes_memory_reaches_the_projection():
    counts, new = {0: 9_000, 1: 1_000, 2: 1_000}, {1: 8_000, 2: 8_000}
    looks = Needs(5, n_neighbors_all=10, looks=True)
    lazy, held = (
        [planned(counts, new, n, in_memory=m).memory for n in (Needs(5), looks)]
        for m in (False, True)
    )
    table = 2 * (11_000 + 16_000) * 16
    assert held[0].worker_bytes - lazy[0].worker_bytes == table
    assert held[1].worker_bytes - lazy[1].worker_bytes == table + 8 * 8 * 2 * 11_000
    # All classes that grow ask together.
    asking = looking_bytes(2_000, looks, 2)
    assert lazy[1].worker_bytes - lazy[0].worker_bytes >= (8 * 800 + asking) // 2
    copied = planned(counts, new, Needs(5, copied=1)).memory
    assert copied.index_bytes - lazy[0].index_bytes == 8 * 2 * 2_000
    for exact in ("i8", "M8[ns]", "m8[s]"):
        other = make_schema(["x", "z"], [np.dtype(exact), np.dtype("f8")])
        wide = planned(counts, new, schema=other).memory
        assert wide.gather_bytes - lazy[0].gather_bytes == 2 * 8 * 2_000
        held_once = planned(counts, new, schema=other, exact=()).memory
        assert held_once == lazy[0]
    # A sample to learn from, up to all rows.
    none, some, whole, more = (
        planned(counts, new, Needs(5, sample=n)).memory.gather_bytes
        for n in (0, 2_000, 11_000, 2**62)
    )
    assert none < some < whole == more


def test_a_slip_of_the_finger_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="Did you mistype sampling_strategy"):
        planned({0: 90, 1: 10}, {1: 250_000 * (MOST_BLOCKS + 1)})
    monkeypatch.setattr("dsmote.plan.plan.MOST_BLOCKS", 10)  # of all classes together
    with pytest.raises(ValueError, match="Did you mistype sampling_strategy"):
        planned({0: 90, 1: 10, 2: 10}, {1: 250_000 * 6, 2: 250_000 * 6})
