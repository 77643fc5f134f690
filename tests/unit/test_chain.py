"""Chains: what each step is given and told, seeds, plans, parameters; and `max_increase`."""

import json
import warnings
from dataclasses import replace

import dask
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from dsmote import (
    ADASYN,
    SMOTE,
    BorderlineSMOTE,
    Chain,
    EditedNearestNeighbours,
    RandomUnderSampler,
    SMOTETomek,
    TomekLinks,
)
from dsmote.plan import Limit, MemoryLimitError, make_chain_plan
from dsmote.plan.memory import USABLE_SHARE
from tests.samplers import family
from tests.tables import (
    CONTAINERS,
    assert_same_bits,
    compute_pair,
    counted_computes,
    dask_array,
    dask_frame,
    even,
    numbers,
    pair_in,
)

N, FEW = 300, 30
TABLE = numbers(N, FEW, 3)
X, Y = TABLE.drop(columns="y"), TABLE["y"]
HALF = {"sampling_strategy": 0.5}

#: Steps, and the passes over the data that they make before anything is computed.
CHAINS = {
    "over, under": ([SMOTE(**HALF), RandomUnderSampler(sampling_strategy=0.8)], 1),
    "under, over": ([RandomUnderSampler(**HALF), SMOTE()], 1),
    "over, clean": ([SMOTE(**HALF), TomekLinks(sampling_strategy="all")], 1),
    "over, over": ([SMOTE(**HALF), ADASYN()], 1),
    "over, over, under": (
        [SMOTE(**HALF), ADASYN(), RandomUnderSampler(sampling_strategy={0: 100})],
        1,
    ),
    "under, over, clean": ([RandomUnderSampler(**HALF), SMOTE(), EditedNearestNeighbours()], 1),
    "clean, over, under": ([TomekLinks(), SMOTE(**HALF), RandomUnderSampler()], 2),
    "clean, clean": ([TomekLinks(), EditedNearestNeighbours()], 2),
    "all rows, clean, over": ([BorderlineSMOTE(**HALF), TomekLinks(), SMOTE()], 2),
    "scaled": ([SMOTE(**HALF), SMOTE(scale="standard"), RandomUnderSampler()], 2),
    "a chain in a chain": ([Chain([SMOTETomek()]), RandomUnderSampler()], 2),
}
EACH = pytest.mark.parametrize("name", CHAINS)


def chain_of(name, **more):
    return Chain(CHAINS[name][0], **({"random_state": 0} | more))


def one_by_one(chain, given, **more):
    """Call the steps that a chain ran one after another, by hand."""
    for step in chain.steps_:
        given = clone(step).fit_resample(*given, **more)
    return given


# --- Rows


@EACH
def test_a_chain_is_its_steps_one_after_another(name):
    chain = chain_of(name)
    made = chain.fit_resample(X, Y)
    expected = one_by_one(chain, (X, Y))
    for one, other in zip(made, expected, strict=True):
        assert_same_bits(one, other)
    assert chain.plan_.counts_after == made[1].value_counts().to_dict()
    table = chain.resample(TABLE, target="y")
    assert_same_bits(table, pd.concat([*made], axis=1))


@pytest.mark.parametrize("name", ["over, under", "under, over, clean"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_lazily(name, container):
    expected = chain_of(name).fit_resample(X, Y)
    given = pair_in(container, X, Y, even(N, 4))
    chain = chain_of(name)
    with counted_computes() as computes:
        made = chain.fit_resample(*given)
    # A target that is an array does not tell the index of the frame.
    more = container == "dask frame and array target" and name.startswith("under")
    assert len(computes) == CHAINS[name][1] + more
    assert all(dask.is_dask_collection(one) for one in made)
    with dask.config.set(scheduler="synchronous"):
        found = compute_pair(*made)
    for one, other in zip(found, expected, strict=True):
        assert_same_bits(one, other)


@EACH
def test_lazily_with_no_pass_where_counts_are_known(name):
    frame = TABLE.set_axis(np.arange(N) * 7 + 1000, axis=0)
    expected = chain_of(name).resample(TABLE, target="y")
    for lengths in (even(N, 4), [1, 0, 199, 100]):
        chain = chain_of(name)
        with counted_computes() as computes:
            lazy = chain.resample(dask_frame(frame, lengths), target="y")
        assert len(computes) == CHAINS[name][1]
        made = lazy.compute(scheduler="synchronous")
        assert_same_bits(made, expected)
        assert made.index.is_unique
        old = made.index < 3000
        pd.testing.assert_frame_equal(made[old], frame.loc[made.index[old]])


def test_counts_that_are_given_save_the_pass_of_the_first_step():
    given = dask_frame(TABLE, even(N, 4))
    counts = {0: N - FEW, 1: FEW}
    for name, passes in (("over, clean", 0), ("over, over", 0), ("over, under", 1)):
        with counted_computes() as computes:
            made = chain_of(name).resample(given, target="y", class_counts=counts)
        # Under-samplers want those of each partition: of the target, which costs little.
        assert len(computes) == passes
        expected = chain_of(name).resample(TABLE, target="y")
        assert_same_bits(made.compute(scheduler="synchronous"), expected)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("name", ["over, under", "over, clean", "clean, over, under"])
def test_weights_and_groups_go_along(name, lazy):
    weights, groups = np.arange(N) + 1.0, np.arange(N) % 2
    chain = chain_of(name)
    made = chain.fit_resample(X, Y, sample_weight=weights, groups=groups)
    given = X, Y, weights, groups
    for step in chain.steps_:
        given = clone(step).fit_resample(*given[:2], sample_weight=given[2], groups=given[3])
    if lazy:
        lengths = even(N, 3)
        made = chain_of(name).fit_resample(
            dask_frame(X, lengths),
            dask_frame(TABLE[["y"]], lengths)["y"],
            sample_weight=dask_array(weights, lengths),
            groups=dask_array(groups, lengths),
        )
        made = compute_pair(*made)
    assert len(made) == 4
    for one, other in zip(made, given, strict=True):
        assert_same_bits(one, other)


# --- Seeds


def test_steps_without_a_seed_have_different_ones_of_the_chains():
    chain = Chain(
        [SMOTE(**HALF), SMOTE(random_state=5, sampling_strategy=0.7), SMOTE()], random_state=3
    )
    chain.fit_resample(X, Y)
    seeds = [step.random_state for step in chain.steps_]
    assert seeds[:2] == [3, 5]
    assert seeds[2] not in (3, 5)
    assert chain.plan_.seed == 3
    assert [step.random_state for step in chain.steps] == [None, 5, None]
    one = Chain([SMOTE()], random_state=3).fit_resample(X, Y)
    assert_same_bits(one[0], SMOTE(random_state=3).fit_resample(X, Y)[0])


# --- Plans


@EACH
@pytest.mark.parametrize("lazy", [False, True])
def test_the_plan_says_step_by_step_what_the_run_does(name, lazy):
    chain = chain_of(name)
    given = dask_frame(TABLE, even(N, 4)) if lazy else TABLE
    with counted_computes() as computes:
        plan = chain.plan(given, target="y")
    assert len(computes) == int(lazy)
    assert json.loads(json.dumps(plan.to_dict())) == plan.to_dict()
    made = chain.resample(TABLE, target="y")["y"].value_counts().to_dict()
    cleans = any("clean" in part for part in (name, name.replace("a chain", "clean")))
    assert plan.at_most == cleans
    if cleans:
        assert all(made[label] <= most for label, most in plan.counts_after.items())
        assert sum(made.values()) < plan.n_after
    else:
        assert plan.counts_after == made
        assert plan.to_dict()["rows_after"] == sum(made.values())
    text = str(plan)
    steps = chain.plan_.steps
    assert [one["sampler"] for one in plan.to_dict()["steps"]] == [one.sampler for one in steps]
    for number, step in enumerate(steps, start=1):
        assert f"step {number} of {len(steps)}: {step.sampler} (seed {step.seed})" in text
    assert ("rows after are upper bounds" in text) == cleans
    assert "rows after are upper bounds" not in str(chain.plan_)


def test_a_step_that_may_not_work_with_all_rows_is_a_warning_after_a_cleaning_method():
    chain = Chain([EditedNearestNeighbours(sampling_strategy="all"), SMOTE(sampling_strategy=0.1)])
    plan = chain.plan(X, Y)
    assert [step.sampler for step in plan.steps] == ["EditedNearestNeighbours"]
    (said,) = [one for one in plan.warnings if "with all rows that may be left" in one]
    assert "step 2 of 2, SMOTE: sampling_strategy=0.1 asks for" in said
    with pytest.raises(
        ValueError, match="step 2 of 2, RandomUnderSampler: sampling_strategy names"
    ):
        Chain([SMOTE(), RandomUnderSampler(sampling_strategy={"x": 3})]).plan(X, Y)


def test_a_callable_strategy_of_a_later_step_is_given_the_rows_that_will_be_there():
    seen = []

    def strategy(y):
        seen.append(dict(pd.Series(y).value_counts()) if not isinstance(y, dict) else y)
        return {0: 50}

    chain = Chain([SMOTE(**HALF), RandomUnderSampler(sampling_strategy=strategy)], random_state=0)
    chain.plan(X, Y)
    assert seen == [{0: 270, 1: 135}]
    assert chain.fit_resample(X, Y)[1].value_counts().to_dict() == {0: 50, 1: 135}
    made = chain.resample(dask_frame(TABLE, even(N, 3)), target="y")
    assert len(made.compute(scheduler="synchronous")) == 185
    assert all(one == seen[0] for one in seen)


def test_the_memory_of_steps_that_run_together_adds_up():
    gib = 2**30
    steps = []
    given = chain_of("over, clean").plan(dask_frame(TABLE, even(N, 4)), target="y").steps
    for step, worker, held in zip(given, (3, 4), (1, 2), strict=True):
        memory = replace(step.memory, worker_bytes=worker * gib, gather_bytes=held * gib)
        steps.append(replace(step, memory=memory))
    for size, fits in ((5, True), (4.9, False)):  # 2 besides what is held, 1 and 2
        limit = Limit(int(size * gib / USABLE_SHARE) + 8, 1, "a worker's memory limit")
        plan = make_chain_plan("Chain", 0, steps, limit)
        assert plan.memory.worker_bytes == 5 * gib
        if fits:
            plan.check()
            continue
        with pytest.raises(MemoryLimitError, match="the chain of 2 steps does not fit into a work"):
            plan.check()


def test_what_will_not_work_is_refused_before_the_first_step_works(monkeypatch):
    monkeypatch.setattr(SMOTE, "_made", lambda *_: pytest.fail("it worked"))
    few = Chain([SMOTE(**HALF), BorderlineSMOTE(k_neighbors=500, sampling_strategy="all")])
    few.set_params(borderlinesmote__sampling_strategy={1: 200})
    with pytest.raises(ValueError, match=r"class 1 has 135 rows, but k_neighbors=500"):
        few.fit_resample(X, Y)


# --- Provenance


@pytest.mark.parametrize("lazy", [False, True])
def test_provenance_of_the_last_step_and_through_those_that_look_at_no_column(lazy):
    given = dask_frame(TABLE, even(N, 4)) if lazy else TABLE

    def made(*steps):
        out = Chain([*steps], random_state=0).resample(given, target="y")
        return out.compute(scheduler="synchronous") if lazy else out

    flagged = made(SMOTE(provenance="flag", **HALF), RandomUnderSampler(sampling_strategy=0.8))
    assert 0 < flagged["synthetic"].sum() == 105
    assert made(SMOTE(**HALF), TomekLinks(provenance="flag"))["removed"].sum() > 0
    with pytest.raises(ValueError, match="of SMOTE, step 1 of 2: the steps after it would take"):
        made(SMOTE(provenance="flag"), TomekLinks())
    with pytest.raises(ValueError, match="of TomekLinks, step 1 of 2"):
        made(TomekLinks(provenance="flag"), RandomUnderSampler())


# --- An estimator


def test_parameters_by_the_names_of_the_steps():
    chain = Chain([SMOTE(), TomekLinks(), SMOTE(k_neighbors=3)], random_state=0)
    params = chain.get_params()
    assert (params["smote-1__k_neighbors"], params["smote-2__k_neighbors"]) == (5, 3)
    assert params["tomeklinks"] is chain.steps[1]
    copy = clone(chain)
    assert copy.steps is not chain.steps
    assert repr(copy) == repr(chain)
    copy.set_params(**{"smote-2__k_neighbors": 2, "tomeklinks": RandomUnderSampler()})
    assert (copy.steps[2].k_neighbors, chain.steps[2].k_neighbors) == (2, 3)
    assert type(copy.steps[1]) is RandomUnderSampler
    with pytest.raises(ValueError, match=r"Chain has no parameter 'smote__k'; it has smote-1, "):
        copy.set_params(smote__k=1)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "a chain needs at least one sampler"),
        ([SMOTE(), "tomek"], "step 2 of 2 of a chain must be a sampler of dsmote.*'tomek'"),
        ([SMOTE(k_neighbors=0)], "'k_neighbors' parameter of SMOTE"),
        ("smote", "'steps' parameter of Chain must be an instance of"),
    ],
)
def test_wrong_steps(steps, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Chain(steps).fit_resample(X, Y)


# --- max_increase

OVER = family(over=True, random_state=0)


@pytest.mark.parametrize("name", [n for n in OVER if n not in ("smoten", "smotenc")])
def test_a_class_grows_no_further_than_max_increase(name):
    kind, how = OVER[name]
    wanted = "max_increase=2.5 cuts class 1 to 75 rows of 270 wanted (it has 30)"
    sampler = kind(max_increase=2.5, **how)
    with pytest.warns(UserWarning, match="max_increase=2.5 cuts class 1") as said:
        made = sampler.fit_resample(X, Y)
    assert wanted in [str(one.message) for one in said]
    assert made[1].value_counts().to_dict() == {0: 270, 1: 75}
    assert wanted in sampler.plan_.warnings
    assert f"warning: {wanted}" in str(sampler.plan(X, Y))
    assert sampler.sampling_strategy_ == {1: 45}


def test_max_increase_that_cuts_nothing_or_all():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = SMOTE(random_state=0, max_increase=9).fit_resample(X, Y)
    assert_same_bits(whole[0], SMOTE(random_state=0).fit_resample(X, Y)[0])
    with pytest.warns(UserWarning, match="class 1 to 30 rows of 270"):
        assert len(SMOTE(max_increase=1).fit_resample(X, Y)[1]) == N
    for wrong in (0.5, 0, "2"):
        with pytest.raises(ValueError, match="'max_increase' parameter of SMOTE"):
            SMOTE(max_increase=wrong).fit_resample(X, Y)
