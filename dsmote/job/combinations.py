"""What can be asked of a job, but not together."""

from __future__ import annotations

from typing import Any

__all__ = ["check_combination"]


def check_combination(spec: Any, kind: Any) -> None:
    """Refuse fields of a job that do not go together.

    Parameters
    ----------
    spec : JobSpec
    kind : class
        The sampler.

    Raises
    ------
    ValueError
        It names the fields, and says what to do.
    """
    under = kind._sampling_type != "over-sampling"
    if spec.mode == "synthetic" and under:
        raise ValueError(
            f"mode 'synthetic' writes the new rows only, and {kind.__name__} makes none: use "
            "mode 'full'"
        )
    if spec.shuffle and under:
        raise ValueError(
            f"shuffle mixes new rows with the original ones, and {kind.__name__} makes none: leave "
            "shuffle out"
        )
    _check_split(spec)
    _check_folders(spec)
    kept = spec.split.column if spec.split else None  # new rows have it, whoever says to carry it
    gone = [name for name in spec.partition_by if name in spec.carry and name != kept]
    if gone and not under:
        raise ValueError(
            f"partition_by names the column {gone[0]!r}, which is carried and so missing in new "
            "rows: no folder can be named by that; leave it out of one of them"
        )


def _check_split(spec: Any) -> None:
    column = spec.split.column if spec.split else None
    if column is None:
        return
    if column == spec.target:
        raise ValueError(
            f"the split's column {column!r} is the target: it cannot say both what a row is and "
            "what it is for"
        )
    if column in spec.categorical:
        raise ValueError(
            f"the split's column {column!r} is named in categorical, but it is never measured: "
            "leave it out there"
        )


def _check_folders(spec: Any) -> None:
    twice = sorted({name for name in spec.partition_by if spec.partition_by.count(name) > 1})
    if twice:
        raise ValueError(f"partition_by names the column {twice[0]!r} twice")
    for name in spec.partition_by:
        if not name or not name.isprintable() or set(name) & set("/\\=%?"):
            raise ValueError(
                f"partition_by names the column {name!r}, from which no folder's name can be made: "
                "rename it"
            )
        if name[0] in "_.":
            raise ValueError(
                f"partition_by names the column {name!r}, but readers leave out folders whose "
                f"names begin with {name[0]!r}: rename it"
            )
