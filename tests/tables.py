"""Tables, partitions and containers that the tests share, and the comparison to the bit."""

from __future__ import annotations

import contextlib
import itertools
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask import delayed

_NAMES = itertools.count()

CONTAINERS = (
    "dask frame",
    "dask frame and array target",
    "dask frame and column frame target",
    "dask array",
    "dask array, unknown sizes",
    "dask array, columns split",
    "dask array and series target",
)


def numbers(n: int = 120, minority: int = 24, columns: int = 3, seed: int = 0) -> pd.DataFrame:
    """Make a table of floats; the target ``y`` is 1 in `minority` rows at random places."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, columns)), columns=list("abcdefghij"[:columns]))
    frame["y"] = 0
    frame.loc[rng.choice(n, minority, replace=False), "y"] = 1
    return frame


def mixed(n: int = 120, minority: int = 24, seed: int = 0) -> pd.DataFrame:
    """Make a table of floats, whole numbers and names, three classes, the target in the middle."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=n),
            "c": rng.choice(["red", "green", "blue"], n),
            "y": np.repeat("most", n),
            "b": rng.integers(-50, 50, n),
            "d": pd.Categorical(rng.choice(list("uvw"), n), categories=list("wvux")),
        }
    )
    few = rng.choice(n, minority, replace=False)
    frame.loc[few[: minority // 2], "y"] = "few"
    frame.loc[few[minority // 2 :], "y"] = "less"
    return frame


def overlapping(n: int = 200, few: int = 44, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make two classes whose centres are as far apart as they are wide; the minority is last."""
    rng = np.random.default_rng(seed)
    X = np.concatenate([rng.normal(size=(n, 2)), rng.normal(1, 1, size=(few, 2))])
    return X, np.repeat([0, 1], [n, few])


def lengths_of(n: int, cuts: Sequence[int]) -> list[int]:
    """Turn cut points, repeated or not, into partition lengths that add up to n."""
    ends = [0, *sorted(min(n, max(0, c)) for c in cuts), n]
    return np.diff(ends).tolist()


def even(n: int, parts: int) -> list[int]:
    """Return the lengths of `parts` partitions of n rows."""
    return np.diff([n * i // parts for i in range(parts + 1)]).tolist()


def both_ways(call: Any, *parts: Any) -> list[Any]:
    """Return what a call makes of parts in memory, and of three partitions, one of them empty."""
    n = len(parts[0])
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        lazy = call(*(dask_frame(part, [n // 3, 0, n - n // 3]) for part in parts))
        (on_dask,) = dask.compute(lazy)
    return [call(*parts), on_dask]


def split(table: Any, lengths: Sequence[int]) -> list[Any]:
    """Cut a frame, series or array into consecutive parts, copied apart from one another."""
    ends = np.cumsum([0, *lengths])
    take = table.iloc if hasattr(table, "iloc") else table
    return [take[a:b].copy() for a, b in itertools.pairwise(ends)]


def dask_frame(table: Any, lengths: Sequence[int]) -> Any:
    """Make a Dask frame or series that has exactly these partitions, empty ones among them."""
    parts = [delayed(part, pure=False) for part in split(table, lengths)]
    return dd.from_delayed(parts, meta=table.iloc[:0], verify_meta=False)


def dask_array(array: np.ndarray, lengths: Sequence[int], *, known: bool = True) -> da.Array:
    """Make a Dask array with exactly these chunks of rows."""
    name = f"chunks-{next(_NAMES)}"
    tail = (0,) * (array.ndim - 1)
    graph = {(name, i, *tail): (np.array, part) for i, part in enumerate(split(array, lengths))}
    rows = tuple(lengths) if known else (np.nan,) * len(lengths)
    return da.Array(graph, name, (rows, *((n,) for n in array.shape[1:])), dtype=array.dtype)


def pair_in(container: str, X: pd.DataFrame, y: pd.Series, lengths: Sequence[int]) -> Any:
    """Put features and target into the containers that a name in `CONTAINERS` says."""
    if container == "dask frame":
        return dask_frame(X, lengths), dask_frame(y, lengths)
    if container == "dask frame and array target":
        return dask_frame(X, lengths), dask_array(y.to_numpy(), lengths)
    if container == "dask frame and column frame target":
        return dask_frame(X, lengths), dask_frame(y.to_frame(), lengths)
    values = X.to_numpy()
    if container == "dask array and series target":
        return dask_array(values, lengths), dask_frame(y, lengths)
    if container == "dask array, unknown sizes":
        return (
            dask_array(values, lengths, known=False),
            dask_array(y.to_numpy(), lengths, known=False),
        )
    array = dask_array(values, lengths)
    if container == "dask array, columns split":
        array = da.concatenate([array[:, :1], array[:, 1:]], axis=1)
        assert array.numblocks[1] == 2
    return array, dask_array(y.to_numpy(), lengths)


def compute_pair(*pair: Any) -> tuple[Any, ...]:
    """Compute all at once; Dask warns against that where one is an array and another a frame."""
    if len({isinstance(one, da.Array) for one in pair}) == 1:
        return dask.compute(*pair)
    return tuple(one.compute() for one in pair)


def columns_of(table: Any) -> list[np.ndarray]:
    """Return a table's columns as arrays, missing values and text comparable."""
    if isinstance(table, pd.DataFrame):
        return [table.iloc[:, i].to_numpy() for i in range(table.shape[1])]
    array = table.to_numpy() if isinstance(table, pd.Series) else np.asarray(table)
    return list(array.T) if array.ndim == 2 else [array]


def assert_same_bits(found: Any, expected: Any) -> None:
    """Compare two tables, whatever holds them, to the bit and in order; not their index."""
    ours, theirs = columns_of(found), columns_of(expected)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        if other.dtype.kind == "f":
            assert one.dtype == other.dtype
            bits = f"u{other.dtype.itemsize}"
            np.testing.assert_array_equal(
                np.ascontiguousarray(one).view(bits), np.ascontiguousarray(other).view(bits)
            )
        else:
            missing = pd.isna(other)
            np.testing.assert_array_equal(pd.isna(one), missing)
            np.testing.assert_array_equal(one[~missing], other[~missing])


def assert_same(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """Compare arrays, such as distances and rows, one by one."""
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def set_constant(patch: pytest.MonkeyPatch, layer: str, name: str, value: Any) -> None:
    """Give a constant another value in each module of a layer that has it."""
    modules = [m for key, m in sys.modules.items() if key.startswith(f"dsmote.{layer}")]
    known = [module for module in modules if name in vars(module)]
    assert known, f"no {name} in {layer}"
    for module in known:
        patch.setattr(module, name, value)


@contextlib.contextmanager
def counted_computes() -> Iterator[list[int]]:
    """Run Dask synchronously and record each compute."""
    computes: list[int] = []

    def get(dsk: Any, keys: Any, **kwargs: Any) -> Any:
        computes.append(1)
        return dask.get(dsk, keys, **kwargs)

    with dask.config.set(scheduler=get):
        yield computes


def naive_neighbours(
    matrix: np.ndarray,
    k: int,
    codes: np.ndarray | None = None,
    weight: float = 0.0,
    points: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest other rows of each row, or rows of each point, by looking at all pairs.

    The columns of points are those of the matrix and then those of the codes.
    """
    n, columns = matrix.shape
    numeric, levels = (matrix, codes) if points is None else np.split(points, [columns], axis=1)
    squares = np.zeros((len(numeric), n))
    for ours, theirs in zip(numeric.T, matrix.T, strict=True):
        squares += (ours[:, None] - theirs) ** 2
    if codes is not None:
        squares += weight**2 * (levels[:, None, :] != codes).sum(axis=2)
    if points is None:
        np.fill_diagonal(squares, np.inf)
    order = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return np.sqrt(np.take_along_axis(squares, order, 1)), order


def peak_of(call: Any) -> int:
    """Return the most bytes that a call held at once."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
