"""What is taken out of a partition: class rows with all that goes with them, and a sample."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote.execute.extract import Take, extract, join_extracts
from dsmote.plan import make_schema
from tests.tables import lengths_of, split

TABLE = pd.DataFrame(
    {
        "a": [0.0, 1.0, np.nan, 3.0, 4.0, 5.0],
        "id": [10, 11, 12, 13, 14, 15],
        "g": ["p", None, "p", "q", None, "q"],
        "y": ["few", "most", "few", "few", "most", "few"],
    }
)
SCHEMA = make_schema(
    list(TABLE), list(TABLE.dtypes), target="y", has_target=True, carry=["id"], group="g"
)


def taken(lengths, weights=None, groups=None, **how):
    take = Take(how.pop("schema", SCHEMA), {"few": 0}, **how)
    n = len(lengths)
    w = [None] * n if weights is None else split(weights, lengths)
    g = [None] * n if groups is None else split(groups, lengths)
    parts = [
        extract(part, None, w[i], g[i], take=take) for i, part in enumerate(split(TABLE, lengths))
    ]
    return join_extracts(parts, take=take)


@given(cuts=st.lists(st.integers(0, 6), max_size=5))
def test_class_rows_with_what_goes_with_them(cuts):
    lengths = lengths_of(6, cuts)
    found = taken(lengths, weights=np.arange(6), skip=True, beside=(1,))
    rows = found.rows[0]
    assert found.counts == {"few": 4, "most": 2}
    assert found.starts.tolist() == np.cumsum([0, *lengths]).tolist()
    assert rows.numbers.tolist() == [0, 3, 5]
    assert rows.numeric.ravel().tolist() == [0, 3, 5]
    assert rows.weights.tolist() == [0, 3, 5]
    assert rows.weights.dtype == np.float64
    assert rows.group_levels[rows.group].tolist() == ["p", "q", "q"]
    assert rows.beside["id"].tolist() == [10, 13, 15]


@given(cuts=st.lists(st.integers(0, 6), max_size=5))
def test_groups_beside_the_table_go_before_the_column(cuts):
    found = taken(lengths_of(6, cuts), groups=np.array([1, 1, 1, 2, 2, 1]), skip=True)
    rows = found.rows[0]
    assert rows.group_levels[rows.group].tolist() == [1, 2, 1]


def test_incomplete_rows_are_an_error_or_left_out():
    with pytest.raises(ValueError, match=r"measured columns: 'a' \(1 missing\)"):
        taken([3, 3])


@given(cuts=st.lists(st.integers(0, 6), max_size=5))
def test_whole_rows_are_taken_as_they_are(cuts):
    found = taken(lengths_of(6, cuts), whole=True)
    rows = found.rows[0]
    assert rows.numeric.shape == (4, 0)
    assert rows.numbers.tolist() == [0, 2, 3, 5]
    pd.testing.assert_frame_equal(
        rows.beside, TABLE[TABLE["y"] == "few"].reset_index(drop=True), check_dtype=True
    )


@given(
    cuts=st.lists(st.integers(0, 80), max_size=6),
    quota=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_the_sample_is_the_same_however_the_table_is_cut(cuts, quota, seed):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.integers(0, 3, (80, 2)) * 1.0, columns=["a", "b"])
    table["y"] = rng.choice(["few", "most"], 80)
    schema = make_schema(list(table), list(table.dtypes), target="y", has_target=True)
    take = Take(schema, {"few": 0}, ranks={"few": 0, "most": 1}, quotas={0: quota, 1: 5})

    def sample(lengths):
        parts = [extract(part, take=take) for part in split(table, lengths)]
        halves = [join_extracts(parts[:2], take=take), join_extracts(parts[2:], take=take)]
        return join_extracts(halves if parts[2:] else halves[:1], take=take).sample

    whole, cut = sample([80]), sample(lengths_of(80, cuts))
    for rank, label in enumerate(["few", "most"]):
        of = whole[rank]
        assert len(of.numbers) == min((table["y"] == label).sum(), [quota, 5][rank])
        assert (table["y"].iloc[of.numbers] == label).all()
        np.testing.assert_array_equal(table[["a", "b"]].to_numpy()[of.numbers], of.numeric)
        assert len(set(of.numbers.tolist())) == len(of.numbers)
        assert (np.diff(of.words.astype(object)) >= 0).all()
        for name in ("words", "numeric", "numbers"):
            np.testing.assert_array_equal(getattr(cut[rank], name), getattr(of, name))


def test_a_missing_label_is_an_error():
    with pytest.raises(ValueError, match="the target 'y' is missing in 1 row"):
        extract(TABLE.assign(y=["few", None, *["most"] * 4]), take=Take(SCHEMA, {"few": 0}))
