"""Profiles, counts of levels, scaling: the same bits for any partitioning and grouping."""

import functools

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dsmote.execute.partition import profile
from dsmote.plan import make_schema, merge_profiles
from dsmote.plan.profile import (
    LARGER_EQUAL,
    LARGER_LEAST,
    LARGER_VALUES,
    SAMPLE_ROWS,
    SCALES,
    larger_rows,
    look_at,
    merge_moments,
    sample_rows,
    scaling_of,
)
from tests.tables import lengths_of, mixed, split

N = 2_500
TABLE = mixed(N, 900).assign(
    b=lambda t: t["b"].astype(float),
    c=lambda t: t["c"].astype(object).where(np.arange(N) % 5 > 0, None),
    d=lambda t: t["d"].where(np.arange(N) % 7 > 0),
    e=pd.Series([1, "1", None, 2.5] * N, dtype=object)[:N],
    f=np.arange(N) % 2 == 0,
    g=pd.Categorical(np.arange(N) % 40),
)
TABLE.loc[5, "a"], TABLE.loc[[9, 10], "b"] = np.nan, -np.inf
NOMINAL = [list(TABLE).index(name) for name in "cdefg"]
SCHEMA = make_schema(list(TABLE), list(TABLE.dtypes), target="y", has_target=True, nominal=NOMINAL)
WHOLE = profile(TABLE, None, SCHEMA)


def assert_same_samples(found, expected):
    assert found.keys() == expected.keys()
    for label, some in found.items():
        for one, other in zip(some, expected[label], strict=True):
            np.testing.assert_array_equal(one, other)


MANY = 60_000
LARGE = pd.DataFrame(np.random.default_rng(0).normal(size=(MANY, 2)), columns=["a", "b"])
LARGE.loc[LARGE.index % 5 > 1, ["a", "b"]] = 0.0  # whose hash is the smallest
LARGE["y"] = np.arange(MANY) % 3
LARGE_SCHEMA = make_schema(list(LARGE), list(LARGE.dtypes), target="y", has_target=True)
LARGE_PROFILE = profile(LARGE, None, LARGE_SCHEMA)


@settings(max_examples=4)
@given(st.lists(st.integers(0, MANY), max_size=4))
def test_more_rows_are_kept_for_cells_but_few_equal_ones(cuts):
    parts = [profile(part, None, LARGE_SCHEMA) for part in split(LARGE, lengths_of(MANY, cuts))]
    merged = merge_profiles(parts)
    assert_same_samples(merged.larger, LARGE_PROFILE.larger)
    for some in merged.larger.values():
        assert len(some.keys) == LARGER_LEAST
        assert (some.keys == 0).sum() == LARGER_EQUAL


@pytest.mark.parametrize(("n_classes", "width"), [(2, 3), (2, 20), (40, 20), (3, 5_000)])
def test_rows_kept_for_cells_have_bounded_bytes(n_classes, width):
    hashes = np.random.default_rng(0).integers(0, 2**64, size=400_000, dtype=np.uint64)
    kept = larger_rows(hashes, width, dict.fromkeys(range(n_classes), 10**6))
    assert kept <= larger_rows(np.sort(hashes)[: 2 * kept], width, {0: 10**6})  # of a part
    assert n_classes * kept * width <= LARGER_VALUES or kept == sample_rows(width)


@given(st.lists(st.integers(0, N), max_size=6))
@settings(max_examples=8)
def test_any_partitions_give_the_same(cuts):
    parts = split(TABLE, lengths_of(N, cuts))
    for part in parts:  # as after reading files: each has the categories that occur in it
        part["g"] = part["g"].cat.remove_unused_categories()
    parts = [profile(part, None, SCHEMA) for part in parts]
    middle = len(parts) // 2
    for merged in (
        merge_profiles(parts),
        merge_profiles([merge_profiles(parts[:middle]), merge_profiles(parts[middle:])]),
    ):
        assert merged.rows == N
        assert merged.counts == TABLE["y"].value_counts().to_dict()
        assert merged.usable == WHOLE.usable
        assert {i: n for i, n in merged.missing.items() if n} == {0: 1}
        assert {i: n for i, n in merged.infinite.items() if n} == {3: 2}
        for label, some in merged.sample.items():
            rows = min(SAMPLE_ROWS, merged.usable[label])
            assert (len(some.keys), some.levels.shape) == (rows, (rows, 5))
            for found, expected in zip(some, WHOLE.sample[label], strict=True):
                np.testing.assert_array_equal(found, expected)
        assert_same_samples(merged.larger, WHOLE.larger)
    columns = WHOLE.sample["most"].levels.T[[0, 1, 3, 4]]
    assert [len(np.unique(column)) for column in columns] == [4, 4, 2, 40]


def merged(values, cuts, kind):
    """Look at parts of a column and merge them from the right."""
    parts = [look_at(part, kind) for part in reversed(np.split(values, cuts))]
    return scaling_of([functools.reduce(lambda right, left: merge_moments(left, right), parts)])


@pytest.mark.parametrize("outlier", [0.0, 1e12])
def test_quartiles_of_many_values_are_off_by_less_than_a_cell(outlier):
    values = np.random.default_rng(1).normal(size=300_000)
    values[0] = outlier or values[0]
    sketch = look_at(values, "robust")
    assert len(sketch.cells) <= 4096
    assert sketch.counts.sum() == len(values)
    ours = scaling_of([sketch])
    low, middle, high = np.percentile(values, [25, 50, 75])
    assert abs(ours.shift[0] - middle) <= 2.0**sketch.level
    assert abs(ours.spread[0] - (high - low)) <= 2 * 2.0**sketch.level
    assert 2.0**sketch.level < 0.01


@pytest.mark.parametrize("kind", SCALES)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 300),
    shape=st.sampled_from(["normal", "offset", "huge", "tiny", "integers", "wild"]),
    cuts=st.lists(st.integers(0, 300), max_size=6),
)
@example(seed=4_294_967_295, n=36, shape="wild", cuts=[2])  # negative values that underflow
@example(seed=0, n=23, shape="wild", cuts=[5])  # one part is tiny, the other overflows its cells
def test_partitions_do_not_change_a_bit(kind, seed, n, shape, cuts):
    rng = np.random.default_rng(seed)
    values = {
        "normal": lambda: rng.normal(size=n),
        "offset": lambda: 1e9 + rng.normal(size=n),
        "huge": lambda: 1e300 * rng.normal(size=n),
        "tiny": lambda: 1e-310 * rng.normal(size=n),
        "integers": lambda: rng.integers(-9, 9, n).astype(float),
        "wild": lambda: rng.normal(size=n) * 10.0 ** rng.integers(-300, 300, n),
    }[shape]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dsmote.plan.profile._CELLS", 16)
        whole = merged(values, [], kind)
        assert merged(values, sorted(cuts), kind) == whole
        assert merged(rng.permutation(values), sorted(cuts), kind) == whole


@pytest.mark.parametrize("power", [-1000, -700, 0, 600, 1000])
def test_deviations_whose_squares_float64_cannot_hold(power):
    column = np.random.default_rng(5).normal(size=500)
    plain, other = (scaling_of([look_at(x, "standard")]) for x in (column, np.ldexp(column, power)))
    assert other.spread[0] == np.ldexp(plain.spread[0], power)
