"""Which rows are for training: only those are resampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsmote.job.labels import plain_label

__all__ = ["Split"]


@dataclass(frozen=True)
class Split:
    """How rows are told apart: by a column, or by chance.

    Parameters
    ----------
    column : str, optional
        Holds values that say what a row is for.
    train : tuple, optional
        The value or values that mean training; every other value, and none, is not.
    test_fraction : float, optional
        The share of rows that is held back, where there is no column.
    seed : int
        Of the choice of these rows.
    stratify : bool
        Hold the same share of each class back.

    Raises
    ------
    ValueError
        When neither or both of the two ways are given, or half of one.

    Notes
    -----
    The column is never measured, also where a job says to carry it: a new row has its base row's
    value, which is one that means training. Values match as labels do, by their text, else by
    value. By chance exactly ``ceil(test_fraction * rows)`` rows are held back, with `stratify`
    shared out over the classes by largest remainders; which ones depends on the seed and the number
    of a row in the table (or in its class) only.

    Examples
    --------
    >>> Split(test_fraction=0.2).seed
    0
    """

    column: str | None = None
    train: tuple[Any, ...] = ()
    test_fraction: float | None = None
    seed: int = 0
    stratify: bool = False

    def __post_init__(self) -> None:
        """Refuse what is neither of the two ways."""
        if not isinstance(self.train, tuple):
            several = hasattr(self.train, "__iter__") and not isinstance(self.train, str | bytes)
            object.__setattr__(self, "train", tuple(self.train) if several else (self.train,))
        if (self.column is None) == (self.test_fraction is None):
            raise ValueError(
                "a split names either a column (with the values that mean training) or a "
                "test_fraction"
            )
        if self.column is not None and not self.train:
            raise ValueError(
                f"the split by column {self.column!r} lacks the value or values that mean "
                "training: give train"
            )
        if self.column is None and self.train:
            raise ValueError("train is for a split by a column: name the column")
        if self.test_fraction is not None and not 0 < self.test_fraction < 1:
            raise ValueError(f"test_fraction must lie between 0 and 1, not {self.test_fraction}")
        if self.column is not None and self.stratify:
            raise ValueError("stratify is for a split by test_fraction: the column decides here")
        if self.column is not None and self.seed:
            raise ValueError("seed is for a split by test_fraction: the column decides here")
        if self.seed < 0:
            raise ValueError(f"the seed of the split must not be negative, got {self.seed}")

    def to_dict(self) -> dict[str, Any]:
        """Return the split as plain data that JSON can hold."""
        if self.column is not None:
            return {"column": self.column, "train": [plain_label(v) for v in self.train]}
        return {
            "test_fraction": self.test_fraction,
            "seed": self.seed,
            "stratify": self.stratify,
        }
