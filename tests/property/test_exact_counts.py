"""Exact counts: a class ends with the rows asked for, and synthetic partitions have their size."""

import dask
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote import ADASYN, SMOTE, SMOTENC
from tests.tables import dask_frame, even

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
    return table.assign(y=y)


def counts_of(table):
    return table["y"].value_counts().to_dict()


@given(
    counts=COUNTS,
    word=st.sampled_from(["auto", "all", "minority", "not minority"]),
    parts=st.integers(0, 4),
    data=st.data(),
)
def test_words(counts, word, parts, data):
    table = table_of(counts)
    sampler = SMOTENC(sampling_strategy=word, k_neighbors=3, random_state=0)
    if parts:
        frame = dask_frame(table, even(len(table), parts))
        with dask.config.set(scheduler="synchronous"):
            found = sampler.resample(frame, target="y").compute()
    else:
        found = sampler.resample(table, target="y")
    most = max(counts.values())
    grown = {label for label, n in sampler.sampling_strategy_.items() if n}
    assert counts_of(found) == {label: most if label in grown else n for label, n in counts.items()}
    assert sampler.plan_.counts_after == counts_of(found)
    if word in ("auto", "all"):
        assert set(counts_of(found).values()) == {most}


@given(counts=COUNTS, data=st.data())
def test_mappings(counts, data):
    wanted = {
        label: n + data.draw(st.integers(0, 60))
        for label, n in counts.items()
        if data.draw(st.booleans())
    }
    table = table_of(counts).drop(columns="c")
    sampler = SMOTE(sampling_strategy=wanted, k_neighbors=3, random_state=0)
    found = sampler.resample(table, target="y")
    assert counts_of(found) == {**counts, **wanted}
    assert len(found) == sampler.plan_.n_after


@pytest.mark.parametrize("ratio", [0.31, 0.5, 2 / 3, 1.0])
def test_ratios(ratio):
    found = SMOTE(sampling_strategy=ratio, random_state=0).fit_resample(
        np.random.default_rng(0).normal(size=(113, 2)), np.repeat(["a", "b"], [100, 13])
    )[1]
    assert (found == "b").sum() == int(100 * ratio)


def test_thirty_rows_become_a_million_in_several_partitions():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(1_000, 2)), columns=["a", "b"])
    table["y"] = (np.arange(1_000) < 30).astype("int64")
    sampler = SMOTE(sampling_strategy={1: 1_000_000}, random_state=0)
    lazy = sampler.resample(dask_frame(table, even(1_000, 2)), target="y")
    sizes = lazy.map_partitions(len).compute(scheduler="synchronous").tolist()
    assert sizes[:2] == [500, 500]
    assert sum(sizes[2:]) == 999_970
    assert max(sizes[2:]) <= 250_000
    assert min(sizes[2:]) > 200_000
    assert lazy["y"].sum().compute(scheduler="synchronous") == 1_000_000


def test_wide_rows_make_small_partitions():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60, 400)))
    table.columns = [f"c{i}" for i in range(400)]
    table["text"] = [f"{'long text ' * 20}{i % 7}" for i in range(60)]
    table["y"] = (np.arange(60) < 20).astype("int64")
    sampler = SMOTENC(sampling_strategy={1: 45_000}, random_state=0)
    lazy = sampler.resample(dask_frame(table, [60]), target="y")
    assert lazy.npartitions > 2
    part = lazy.partitions[1].compute(scheduler="synchronous")
    assert part.memory_usage(deep=True).sum() <= 1.2 * 64 * 2**20


def test_kdd_smtp(data_dir):
    table = pd.read_parquet(data_dir / "kdd_smtp.parquet")
    target = table.columns[-1]
    found = SMOTE(random_state=0).resample(table, target=target)
    counts = found[target].value_counts()
    assert counts.nunique() == 1
    assert counts.iloc[0] == 95_126
    pd.testing.assert_frame_equal(found[: len(table)], table)


def test_mammography_has_labels_that_are_quoted(data_dir):
    table = pd.read_parquet(data_dir / "mammography.parquet")
    sampler = SMOTE(random_state=0, sampling_strategy={"'1'": 1_000})
    found = sampler.resample(table, target="class")
    assert found["class"].value_counts().to_dict() == {"'-1'": 10_923, "'1'": 1_000}
    assert found["class"].dtype == table["class"].dtype
    pd.testing.assert_frame_equal(found[: len(table)], table)


def test_satimage_has_six_classes(data_dir):
    table = pd.read_parquet(data_dir / "satimage.parquet")
    found = SMOTE(random_state=0).resample(table, target="class")
    assert set(found["class"].value_counts()) == {1_533}


@pytest.mark.filterwarnings("ignore:the median of the continuous columns:UserWarning")
def test_kddcup_has_many_classes_and_tiny_ones(data_dir):
    table = pd.read_parquet(data_dir / "kddcup99_10pct.parquet").iloc[::10]
    counts = table["label"].value_counts()
    wanted = {label: 500 for label, n in counts.items() if 6 <= n < 500}
    small = [label for label, n in counts.items() if n < 6]
    assert wanted
    assert small
    sampler = SMOTENC(sampling_strategy=wanted, random_state=0)
    # In the smallest classes most columns are constant.
    with pytest.warns(UserWarning, match="standard deviations is 0"):
        found = sampler.resample(table, target="label")
    assert found["label"].value_counts().to_dict() == {**counts.to_dict(), **wanted}
    assert any(repr(small[0]) in warning for warning in sampler.plan_.warnings)
    with pytest.raises(ValueError, match="needs at least 6"):
        SMOTENC(random_state=0).resample(table, target="label")


@pytest.mark.filterwarnings("ignore:class.* standard deviations is 0:UserWarning")
@pytest.mark.parametrize("kind", [SMOTENC, ADASYN])
def test_kddcup_with_all_its_classes_in_one_call_on_dask(kind, data_dir):
    """From 2 to 280,790 rows; those too small are an error, are copied or stay."""
    columns = ["duration", "service", "src_bytes", "count", "srv_count", "dst_host_count", "label"]
    table = pd.read_parquet(data_dir / "kddcup99_10pct.parquet", columns=columns)
    if kind is ADASYN:
        table = table.drop(columns="service")
    counts = table["label"].value_counts().to_dict()
    assert (len(counts), min(counts.values()), max(counts.values())) == (23, 2, 280_790)
    wanted = {label: max(100, n + 10) for label, n in counts.items() if n < 3_000}
    wanted = {label: wanted.get(label, n) for label, n in counts.items()}
    frame = dask_frame(table, even(len(table), 3))
    how = {"sampling_strategy": wanted, "random_state": 0}
    with pytest.raises(ValueError, match=r"class 'perl\.' has 3 rows, .*=5 needs at least 6"):
        kind(**how).resample(frame, target="label")
    small = {label: n for label, n in counts.items() if n < 6}
    for on_small, expected in (("copy", wanted), ("skip", wanted | small)):
        sampler = kind(**how, on_small_class=on_small)
        lazy = sampler.resample(frame, target="label")
        found = lazy.compute(scheduler="synchronous")
        assert found["label"].value_counts().to_dict() == expected
        new = found[len(table) :]
        copies = new[new["label"].isin(list(small))].drop_duplicates()
        known = table[table["label"].isin(list(small))].drop_duplicates()
        assert len(copies.merge(known)) == len(copies) == (len(known) if on_small == "copy" else 0)
