"""A table in memory that is one array: profiled and taken apart without a frame.

A frame over such an array is looked at column by column, which for a table of a thousand rows takes
longer than all the rest. What comes out is, to the bit, what :mod:`dsmote.execute.partition`
gives for a frame of the same values.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dsmote.execute.extract import Extract, Take, sampled
from dsmote.execute.partition import Samples, incomplete, label_codes, missing_labels
from dsmote.execute.rows import Rows, all_finite
from dsmote.plan import Profile, Schema, look_at

__all__ = ["Labelled", "extract_matrix", "is_matrix", "labelled", "profile_matrix"]


class Labelled(NamedTuple):
    """The classes of a table's rows.

    Attributes
    ----------
    codes : ndarray of int, shape (n,)
        Place of each row's label in `names`; -1 where it is missing.
    names : list
        The labels as plain Python values, in order of first appearance.
    counts : list of int
        Rows of each.
    """

    codes: np.ndarray
    names: list[Any]
    counts: list[int]


def labelled(labels: Any) -> Labelled:
    """Give each different label a number.

    Examples
    --------
    >>> labelled(np.array(["b", "a", "b"], dtype=object))
    Labelled(codes=array([0, 1, 0]), names=['b', 'a'], counts=[2, 1])
    """
    codes, names = label_codes(labels)
    counts = np.bincount(codes + 1, minlength=len(names) + 1)[1:].tolist()
    return Labelled(codes, names, counts)


def is_matrix(array: Any, schema: Schema) -> bool:
    """Tell whether all of a table is one array, of floats that are measured or to be copied."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iufb":
        return False
    kinds = {c.kind for c in schema.columns}
    return kinds == {"copied"} or (kinds == {"float"} and array.dtype.kind == "f")


def profile_matrix(
    matrix: np.ndarray, labels: Labelled, schema: Schema, scale: str | None = None
) -> Profile:
    """Profile a table that is one array, as :func:`dsmote.execute.partition.profile` does a frame.

    Parameters
    ----------
    matrix : ndarray, shape (n, d)
        All columns of the schema.
    labels : Labelled
        Its classes.
    schema, scale
        As there.
    """
    codes, names, counts = labels
    missing, infinite = {}, {}
    usable = counts
    good = codes
    if schema.numeric and not all_finite(matrix):
        finite = np.isfinite(matrix)
        for i in np.flatnonzero(~finite.all(axis=0)).tolist():
            missing[i] = int(np.isnan(matrix[:, i]).sum())
            infinite[i] = int(len(matrix) - finite[:, i].sum()) - missing[i]
        good = np.where(finite.all(axis=1), codes, -1)
        usable = np.bincount(good[good >= 0], minlength=len(names)).tolist()
    moments = [look_at(column.astype(np.float64), scale) for column in matrix.T] if scale else []
    return Profile(
        rows=len(matrix),
        bytes=matrix.nbytes,
        largest_bytes=matrix.nbytes,
        counts=dict(zip(names, counts, strict=True)),
        usable=dict(zip(names, usable, strict=True)),
        missing_target=len(codes) - sum(counts),
        missing=missing,
        infinite=infinite,
        sample=Samples(matrix.T if schema.numeric else [], good, names),
        moments=tuple(moments),
    )


def extract_matrix(matrix: np.ndarray, labels: Labelled, *, take: Take) -> Extract:
    """Take the complete rows of the classes to grow, as :func:`dsmote.execute.extract.extract`.

    Parameters
    ----------
    matrix, labels
        As for :func:`profile_matrix`.
    take : Take
        What is wanted.
    """
    codes, names, counts = labels
    if sum(counts) < len(codes):
        raise ValueError(missing_labels(len(codes) - sum(counts)))
    found, sample = {}, {}
    for code, name in enumerate(names):
        quota = take.quotas.get(take.ranks.get(name, -1), 0)
        if name not in take.grow and not quota:
            continue
        at = np.flatnonzero(codes == code)
        no_codes = np.empty((len(at), 0), dtype=np.int32)
        if take.whole:
            whole = pd.DataFrame(matrix[at], copy=False)
            empty = np.empty((len(at), 0))
            found[take.grow[name]] = Rows(empty, {}, no_codes, (), {}, at, beside=whole)
            continue
        rows = matrix[at].astype(np.float64, order="C", copy=False)
        if not all_finite(rows):
            finite = np.isfinite(rows)
            if not take.skip:
                nan = dict(enumerate(np.isnan(rows).sum(axis=0).tolist()))
                infinite = dict(enumerate(np.isinf(rows).sum(axis=0).tolist()))
                raise ValueError(incomplete(nan, infinite, take.schema))
            rows, at = rows[finite.all(axis=1)], at[finite.all(axis=1)]
        if name in take.grow:
            found[take.grow[name]] = Rows(rows, {}, no_codes[: len(at)], (), {}, at)
        if quota:
            sample[take.ranks[name]] = sampled(rows, at, quota)
    return Extract(dict(zip(names, counts, strict=True)), (len(matrix),), found, sample)
