"""Same seed, same advice: whatever holds the table, and however it is cut."""

import dask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote.advice.run import advise_on, draw
from tests.tables import (
    CONTAINERS,
    counted_computes,
    dask_frame,
    lengths_of,
    mixed,
    numbers,
    pair_in,
)

N = 400
CUTS = st.lists(st.integers(0, N), max_size=6).map(lambda cuts: lengths_of(N, cuts))


@settings(max_examples=6)
@given(CUTS, st.integers(0, 3))
@pytest.mark.parametrize("container", CONTAINERS)
def test_same_sample_from_every_container(container, lengths, seed):
    frame = numbers(N, 100)
    X, y = frame.drop(columns="y"), frame["y"]
    ours = draw(X.to_numpy(), y.to_numpy(), rows=150, seed=seed).sample
    with dask.config.set(scheduler="synchronous"):
        theirs = draw(*pair_in(container, X, y, lengths), rows=150, seed=seed).sample
    assert theirs.X.tobytes() == ours.X.tobytes()
    assert theirs.y.tobytes() == ours.y.tobytes()


@settings(max_examples=6)
@given(CUTS)
def test_same_sample_of_mixed_columns(lengths):
    frame = mixed(N, 200)
    ours = draw(frame, target="y", rows=200)
    with dask.config.set(scheduler="synchronous"):
        theirs = draw(dask_frame(frame, lengths), target="y", rows=200)
    assert theirs.sample.X.tobytes() == ours.sample.X.tobytes()
    assert (theirs.rare, theirs.counts) == (ours.rare, ours.counts)


def test_same_table_and_few_passes():
    from sklearn.naive_bayes import GaussianNB

    frame = numbers(N, 100)
    ours = advise_on(draw(frame, target="y", rows=200), GaussianNB(), 1)
    with counted_computes() as computes:
        drawn = draw(dask_frame(frame, [100, 0, 300]), target="y", rows=200)
    assert len(computes) == 2  # the target, and the rows
    assert advise_on(drawn, GaussianNB(), 1).table.equals(ours.table)
