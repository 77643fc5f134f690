"""Exact counts: a class ends with the rows asked for, and synthetic partitions have their size."""

import dask
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote import SMOTE, SMOTENC, RandomUnderSampler
from tests.tables import dask_frame, even, lengths_of

COUNTS = st.dictionaries(
    st.integers(-5, 40) | st.text("abc", min_size=1, max_size=2),
    st.integers(4, 30),
    min_size=2,
    max_size=8,
).filter(lambda counts: len({type(label) for label in counts}) == 1)


def table_of(counts, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.array(list(counts)), list(counts.values())))
    table = pd.DataFrame(rng.normal(size=(len(y), 2)), columns=["a", "b"])
    table["c"] = rng.choice(["u", "v"], len(y))
    return table.assign(y=y, row=np.arange(len(y)))


def resampled(sampler, table, lengths):
    """Resample in memory, or in partitions where there are lengths."""
    if not lengths:
        return sampler.resample(table, target="y")
    with dask.config.set(scheduler="synchronous"):
        return sampler.resample(dask_frame(table, lengths), target="y").compute()


@given(
    counts=COUNTS,
    word=st.sampled_from(["auto", "all", "minority", "not minority", None]),
    parts=st.integers(0, 4),
    data=st.data(),
)
def test_over_sampling(counts, word, parts, data):
    most = max(counts.values())
    table = table_of(counts).drop(columns="row")
    wanted = {n: m + data.draw(st.integers(0, 60)) for n, m in list(counts.items())[::2]}
    sampler = SMOTENC(sampling_strategy=word or wanted, k_neighbors=3, random_state=0)
    found = resampled(sampler, table, even(len(table), parts) if parts else None)
    if word:
        grown = {label for label, n in sampler.sampling_strategy_.items() if n}
        wanted = dict.fromkeys(counts if word in ("auto", "all") else grown, most)
    assert found["y"].value_counts().to_dict() == {**counts, **wanted}
    assert sampler.plan_.counts_after == {**counts, **wanted}
    assert len(found) == sampler.plan_.n_after


@given(counts=COUNTS, data=st.data(), replacement=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_under_sampling_keeps_the_order(counts, data, replacement, seed):
    wanted = {label: data.draw(st.integers(0, n)) for label, n in list(counts.items())[::2]}
    table = table_of(counts)
    n = len(table)
    sampler = RandomUnderSampler(
        sampling_strategy=wanted, random_state=seed, replacement=replacement
    )
    lengths = lengths_of(n, data.draw(st.lists(st.integers(0, n), max_size=4)))
    found = resampled(sampler, table, data.draw(st.sampled_from([None, lengths])))
    after = found["y"].value_counts().to_dict()
    assert {label: after.get(label, 0) for label in counts} == {**counts, **wanted}
    assert found["row"].is_monotonic_increasing
    assert (table["y"].to_numpy()[found["row"]] == found["y"]).all()
    twice = found.loc[found["row"].duplicated(), "y"]
    assert set(twice) <= (set(wanted) if replacement else set())


def test_classes_of_equal_size_lose_different_rows_and_many_are_thinned():
    table = pd.DataFrame({"a": np.arange(6_000) // 500, "y": np.arange(6_000) % 500})
    table = table.drop(index=0)  # of class 0 there are 11 rows, of all others 12
    for lengths in (None, [50, 0, 5_949]):
        found = resampled(RandomUnderSampler(random_state=0), table, lengths)
        assert set(found["y"].value_counts()) == {11}
        left_out = 66 - found[found["y"] > 0].groupby("y")["a"].sum()
        assert len(set(left_out)) == 12
        again = RandomUnderSampler(random_state=0, replacement=True)
        assert resampled(again, table, lengths).duplicated().any()


def test_thirty_rows_become_a_million_in_several_partitions():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(1_000, 2)), columns=["a", "b"])
    table["y"] = (np.arange(1_000) < 30).astype("int64")
    sampler = SMOTE(sampling_strategy={1: 1_000_000}, random_state=0)
    lazy = sampler.resample(dask_frame(table, even(1_000, 2)), target="y")
    parts = lazy.map_partitions(lambda part: pd.Series([len(part), part["y"].sum()]), meta=(0, int))
    sizes, ones = parts.compute(scheduler="synchronous").to_numpy().reshape(-1, 2).T
    assert sizes[:2].tolist() == [500, 500]
    assert sizes[2:].sum() == 999_970
    assert ones.sum() == 1_000_000
    assert 200_000 < sizes[2:].min() <= sizes[2:].max() <= 250_000


@pytest.mark.parametrize(
    ("name", "strategy", "expected"),
    [
        ("kdd_smtp", "auto", {95_126}),
        ("mammography", {"'1'": 1_000}, {10_923, 1_000}),  # labels that are quoted
        ("satimage", "auto", {1_533}),  # six classes
    ],
)
def test_real_tables(data_dir, name, strategy, expected):
    table = pd.read_parquet(data_dir / f"{name}.parquet")
    target = table.columns[-1]
    found = SMOTE(random_state=0, sampling_strategy=strategy).resample(table, target=target)
    assert set(found[target].value_counts()) == expected
    pd.testing.assert_frame_equal(found[: len(table)], table)


@pytest.mark.filterwarnings("ignore:class.* standard deviations is 0:UserWarning")
def test_kddcup_with_all_its_classes_in_one_call_on_dask(data_dir):
    """From 2 to 280,790 rows; those too small are an error, are copied or stay."""
    columns = ["duration", "service", "src_bytes", "count", "srv_count", "dst_host_count", "label"]
    table = pd.read_parquet(data_dir / "kddcup99_10pct.parquet", columns=columns)
    counts = table["label"].value_counts().to_dict()
    assert (len(counts), min(counts.values()), max(counts.values())) == (23, 2, 280_790)
    wanted = {label: max(100, n + 10) for label, n in counts.items() if n < 3_000}
    wanted = {label: wanted.get(label, n) for label, n in counts.items()}
    frame = dask_frame(table, even(len(table), 3))
    how = {"sampling_strategy": wanted, "random_state": 0}
    with pytest.raises(ValueError, match=r"class 'perl\.' has 3 rows, .*=5 needs at least 6"):
        SMOTENC(**how).resample(frame, target="label")
    small = {label: n for label, n in counts.items() if n < 6}
    for on_small, expected in (("copy", wanted), ("skip", wanted | small)):
        sampler = SMOTENC(**how, on_small_class=on_small)
        lazy = sampler.resample(frame, target="label")
        found = lazy.compute(scheduler="synchronous")
        assert found["label"].value_counts().to_dict() == expected
        new = found[len(table) :]
        copies = new[new["label"].isin(list(small))].drop_duplicates()
        known = table[table["label"].isin(list(small))].drop_duplicates()
        assert len(copies.merge(known)) == len(copies) == (len(known) if on_small == "copy" else 0)
