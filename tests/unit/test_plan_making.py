"""Making a plan: what a sampler needs becomes classes, problems, memory and passes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote.plan import COPY, Limit, MemoryLimitError, make_plan, make_schema, plan
from dsmote.plan.memory import PROCESS_BYTES, looking_bytes
from dsmote.plan.plan import MOST_BLOCKS, RULE_OF_THUMB, Needs

SCHEMA = make_schema(["x", "z"], [np.dtype("f8")] * 2)


def planned(counts, new, needs=Needs(5), schema=SCHEMA, **how):  # noqa: B008 - frozen
    how = {"usable": counts, "partition_bytes": 800, "row_bytes": 16, "limit": None} | how
    engines = dict.fromkeys(new, ("tree", "few directions"))
    return make_plan(
        sampler="X",
        seed=3,
        schema=schema,
        counts=counts,
        new=new,
        needs=needs,
        engines=engines,
        **how,
    )


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
    ("partition_bytes", "most"),
    [(800, 8 * 2**20), (12 * 2**20, 12 * 2**20), (2**30, 64 * 2**20)],
    ids=["small partitions", "usual ones", "large ones"],
)
def test_blocks_are_as_large_as_partitions_of_the_input_within_bounds(partition_bytes, most):
    how = {"partition_bytes": partition_bytes, "row_bytes": 1_000}
    plan = planned({0: 900_000, 1: 1_000}, {1: 500_000}, **how)
    largest = max(b.rows for b in plan.blocks) * 1_000
    assert 0.8 * most <= largest <= most


def test_blocks_depend_on_the_input_and_not_on_the_cluster():
    limits = [None, *(Limit(gib * 2**30, threads, "w") for gib in (1, 64) for threads in (1, 8))]
    plans = [
        planned({0: 900_000, 1: 1_000}, {1: 500_000}, row_bytes=1_000, limit=limit)
        for limit in limits
    ]
    assert len({plan.blocks for plan in plans}) == 1
    assert len(plans[0].blocks) > 1


def test_numbers_only_are_given_less_to_work_with():
    def generate(needs=Needs(5), engine="tree", schema=SCHEMA):  # noqa: B008 - frozen
        plan = make_plan(
            sampler="X",
            seed=0,
            schema=schema,
            counts={0: 90_000, 1: 10_000},
            usable={0: 90_000, 1: 10_000},
            new={1: 80_000},
            needs=needs,
            engines={1: (engine, "")} if engine else {},
            partition_bytes=800,
            row_bytes=24,
            limit=None,
        )
        return plan.memory.generate_bytes

    less = generate()
    assert generate(engine="tree (eps=0.5)") == less
    names = make_schema(["x", "z"], [np.dtype("f8"), pd.CategoricalDtype()], nominal=[1])
    others = [
        generate(engine="brute"),
        generate(engine=None),
        generate(Needs(5, around=10, looks=True)),
        generate(Needs(5, sample=100)),
        generate(schema=names),
    ]
    assert all(other >= less for other in others), (less, others)
    assert others[-1] > less


@pytest.mark.parametrize(
    ("on_small", "new", "engine", "problems"),
    [("error", 80, "tree", 1), ("copy", 80, COPY, 0), ("skip", 0, None, 0)],
)
def test_classes_that_are_too_small(on_small, new, engine, problems):
    plan = planned({"many": 90, "few": 5}, {"few": 80}, on_small=on_small)
    few = plan.classes[0]
    assert (few.new, few.engine, len(plan.too_small)) == (new, engine, problems)
    if problems:
        with pytest.raises(
            ValueError, match=r"class 'few' has 5 rows, but k_neighbors=5 needs at "
        ):
            plan.check()
        assert "lower k_neighbors to 4 or less" in plan.too_small[0]
    else:
        plan.check()
        said = {"copy": "so copied: class 'few' (5 rows)", "skip": "so unchanged: class 'few'"}[
            on_small
        ]
        assert any(said in warning for warning in plan.warnings)


@pytest.mark.parametrize("on_small", ["copy", "skip"])
def test_a_class_without_usable_rows_cannot_be_copied(on_small):
    usable = {"many": 90, "few": 0}
    plan = planned({"many": 90, "few": 5}, {"few": 80}, on_small=on_small, usable=usable)
    assert plan.n_new == 0
    plan.check()


def test_the_parameter_is_named_as_the_sampler_has_it():
    plan = planned({0: 90, 1: 3}, {1: 87}, Needs(5, k_name="n_neighbors"))
    assert "but n_neighbors=5 needs at least 6 (k + 1); lower n_neighbors to 2" in plan.too_small[0]


@pytest.mark.parametrize(("around", "fits"), [(11, True), (12, False)])
def test_the_table_must_have_the_nearest_of_all_rows(around, fits):
    plan = planned({0: 8, 1: 4}, {1: 4}, Needs(3, around=around))
    assert bool(plan.too_small) is not fits
    if not fits:
        with pytest.raises(ValueError, match="the table has 12 rows, but the 12 nearest of all"):
            plan.check()
    assert not planned({0: 8, 1: 4}, {}, Needs(3, around=around)).too_small


def test_the_nearest_of_all_rows_take_memory():
    counts, new = {0: 90_000, 1: 10_000}, {1: 80_000}
    plain = planned(counts, new).memory
    around = planned(counts, new, Needs(5, around=10)).memory
    values = planned(counts, new, Needs(5, around=10, values=5)).memory
    assert around.index_bytes - plain.index_bytes >= 10_000 * 10 * 20
    assert values.index_bytes - around.index_bytes >= 10_000 * 5 * 2 * 8
    assert plain.worker_bytes < around.worker_bytes < values.worker_bytes


def test_all_that_takes_memory_reaches_the_projection():
    counts, new = {0: 9_000, 1: 1_000, 2: 1_000}, {1: 8_000, 2: 8_000}
    looks = Needs(5, around=10, looks=True)
    lazy, held = (
        [planned(counts, new, n, in_memory=m).memory for n in (Needs(5), looks)]
        for m in (False, True)
    )
    table = 2 * (11_000 + 16_000) * 16
    assert held[0].worker_bytes - lazy[0].worker_bytes == table
    assert held[1].worker_bytes - lazy[1].worker_bytes == table + 8 * 8 * 2 * 11_000
    # All classes that grow ask together.
    asking = looking_bytes(2_000, 10, 0, 2)
    assert lazy[1].worker_bytes - lazy[0].worker_bytes >= (8 * 800 + asking) // 2
    copied = planned(counts, new, Needs(5, copied=1)).memory
    assert copied.index_bytes - lazy[0].index_bytes == 8 * 2 * 2_000
    for exact in ("i8", "M8[ns]", "m8[s]"):
        other = make_schema(["x", "z"], [np.dtype(exact), np.dtype("f8")])
        wide = planned(counts, new, schema=other).memory
        assert wide.gather_bytes - lazy[0].gather_bytes == 2 * 8 * 2_000
        held_once = planned(counts, new, schema=other, beyond=()).memory
        assert held_once == lazy[0]


def test_only_of_classes_that_grow_k_is_said_to_be_small():
    def said(new):
        plan = planned({0: 90_000, 1: 20_000, 2: 100}, new)
        return [w for w in plan.warnings if w.startswith(RULE_OF_THUMB)]

    (line,) = said({1: 70_000, 2: 100})
    assert "k_neighbors=5 is small for class 1 (20,000 rows); a report" in line
    assert said({2: 100}) == []


def test_a_sample_to_learn_from_takes_memory_up_to_all_rows():
    counts, new = {0: 90_000, 1: 10_000}, {1: 80_000}
    none, some, whole, more = (
        planned(counts, new, Needs(5, sample=n)).memory.gather_bytes
        for n in (0, 20_000, 100_000, 2**62)
    )
    assert none < some < whole == more


def test_what_does_not_fit_is_refused():
    limit = Limit(300 * 2**20, 1, "a worker's memory limit")
    counts, new = {0: 2_000_000, 1: 1_000_000}, {1: 1_000_000}
    plan = planned(counts, new, Needs(5, around=100), limit=limit)
    with pytest.raises(MemoryLimitError, match=r"class 1 .*does not fit into a worker's memory"):
        plan.check()


def test_passes_are_said():
    plan = planned({0: 90, 1: 10}, {1: 80}, Needs(5, passes=("counting", "the output")))
    assert plan.passes == ("counting", "the output")
    assert plan.to_dict()["passes"] == ["counting", "the output"]
    assert "passes over the data: 2 (counting; the output)" in str(plan)


def test_a_slip_of_the_finger_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="is the number a slip"):
        planned({0: 90, 1: 10}, {1: 250_000 * (MOST_BLOCKS + 1)})
    # Of all classes together.
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="is the number a slip"):
        patch.setattr(plan, "MOST_BLOCKS", 10)
        planned({0: 90, 1: 10, 2: 10}, {1: 250_000 * 6, 2: 250_000 * 6})


@pytest.mark.parametrize(
    ("rows", "columns", "group", "measured"),
    [(6_000, 5_000, 2_000, 779), (4_000, 10_000, 1_334, 1_128), (1_048_576, 40, 74_899, 270)],
)
def test_the_projection_of_wide_and_narrow_tables_is_what_was_measured(
    rows, columns, group, measured
):
    few, wanted = (rows // 10, rows) if columns > 40 else (rows // 100, rows // 20)
    plan = make_plan(
        sampler="X",
        seed=0,
        schema=make_schema([f"x{i}" for i in range(columns)], [np.dtype("f4")] * columns),
        counts={0: rows - few, 1: few},
        usable={0: rows - few, 1: few},
        new={1: wanted - few - few},
        needs=Needs(5),
        engines={1: ("brute", "")},
        partition_bytes=group * columns * 4,
        row_bytes=columns * 4,
        limit=Limit(2**40, 1, "w"),
        process=PROCESS_BYTES,
    )
    assert measured <= plan.memory.worker_bytes / 2**20 <= 1.5 * measured
