"""Arrays and lists as arrays that pandas takes, and what is made of them as what was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from dask.base import is_dask_collection
from pandas.api.extensions import ExtensionArray
from scipy.sparse import issparse


def native(array: np.ndarray) -> np.ndarray:
    """Return an array in this machine's byte order, which is the only one that pandas takes."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def check_container(values: Any, what: str) -> None:
    """Refuse objects that NumPy would turn into one array, without their names and dtypes."""
    kind = type(values)
    known = np.ndarray | list | tuple | pd.DataFrame | pd.Series | pd.Index | ExtensionArray
    of_dask = is_dask_collection(values) and kind.__module__.startswith("dask")
    if isinstance(values, known) or of_dask or issparse(values):
        return
    ways = [way for way in ("to_pandas", "to_dataframe", "to_native") if hasattr(values, way)]
    maker = "pandas.DataFrame" if isinstance(values, Mapping) else "numpy.asarray"
    remedy = f"{what}.{ways[0]}()" if ways else f"{maker}({what})"
    named = f"{kind.__module__.split('.')[0]} {kind.__name__}".removeprefix("builtins ")
    raise TypeError(
        f"{what} is a {named}; dsmote takes NumPy arrays, lists, pandas and Dask: pass {remedy}"
    )


def refuse_mask(values: Any, what: str) -> None:
    """Refuse masked values: NumPy would take what lies under the mask."""
    hidden = int(np.ma.count_masked(values)) if isinstance(values, np.ma.MaskedArray) else 0
    if hidden:
        raise ValueError(
            f"{what} is a masked array, and {hidden:,} of its {values.size:,} values are masked; "
            "fill them, for example with nan as missing values, or leave those rows out"
        )


def label_array(y: Any) -> np.ndarray:
    """Return a target as an array; what NumPy would make one type, or two dimensions, of stays."""
    if isinstance(y, list | tuple) and not any(isinstance(v, list | np.ndarray) for v in y):
        kinds = set(map(type, y))
        if len(kinds) > 1 or kinds & {tuple, str, bytes}:
            return np.fromiter(y, dtype=object, count=len(y))
    return _array(y, "y")


def _array(values: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{what} is a list whose rows differ in length ({error}); give each row one value for "
            "each column"
        ) from error


def as_array(X: Any) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """Return features as an array of two dimensions, and what gives their kind back."""
    if issparse(X):
        raise TypeError(
            "sparse matrices are not supported: pass X.toarray(), or a frame of sparse columns, as "
            "pandas.DataFrame.sparse.from_spmatrix(X) makes it"
        )
    if isinstance(X, pd.Series):
        raise ValueError("Expected 2D input, got a Series instead; pass X.to_frame()")
    array = _array(X, "X")
    kind = array.dtype

    def as_list(made: np.ndarray) -> Any:
        return made.tolist()

    def as_given(made: np.ndarray) -> Any:
        return made if made.dtype == kind else made.astype(kind)

    if isinstance(X, list):
        if kind.kind in "US":
            array = np.array(X, dtype=object)
    elif kind.kind in "US":
        array = array.astype(object)
    else:
        array = native(array)
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array instead; reshape X to "
            "(n_samples, n_features)"
        )
    if array.dtype.kind == "c":
        raise ValueError("Complex data not supported: pass real and imaginary parts as columns")
    return array, as_list if isinstance(X, list) else as_given


def from_indicator(array: np.ndarray, columns: Any) -> tuple[np.ndarray, Callable[[Any], Any]]:
    """Return the labels of a one-hot encoded target, and what encodes them again."""
    values = pd.unique(array.reshape(-1))
    if len(values) > 2 or not np.isin(values, [0, 1]).all() or (array.sum(axis=1) != 1).any():
        raise ValueError(
            "Multilabel and multioutput targets are not supported. A two-dimensional y must "
            "be one-hot encoded: exactly one 1 in each row"
        )
    dtype, width = array.dtype, array.shape[1]

    def binarized(made: pd.Series) -> Any:
        hot = np.zeros((len(made), width), dtype=dtype)
        hot[np.arange(len(made)), made.to_numpy()] = 1
        return hot if columns is None else pd.DataFrame(hot, columns=columns)

    return array.argmax(axis=1), binarized
