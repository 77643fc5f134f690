"""Labels: one order and one form."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from dsmote.plan import plain, sort_labels


def test_plain_values():
    assert type(plain(np.int8(3))) is int
    assert type(plain(np.float32(0.5))) is float
    assert type(plain(np.bool_(True))) is bool
    assert plain("a") == "a"
    assert plain(pd.Timestamp("2020-01-01")) == pd.Timestamp("2020-01-01")


@given(st.permutations([3, 1, "b", 2.5, "a", True, None]))
def test_the_order_does_not_depend_on_where_labels_come_first(labels):
    assert sort_labels(labels) == sort_labels([3, 1, "b", 2.5, "a", True, None])


@given(st.lists(st.integers(-100, 100), unique=True))
def test_numbers_by_value(labels):
    assert sort_labels(labels) == sorted(labels)
