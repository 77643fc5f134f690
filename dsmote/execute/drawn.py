"""The random numbers of a run of new rows, by what they decide."""

from __future__ import annotations

import numpy as np

from dsmote.plan import Stream
from dsmote.plan.draws import GAP, NEIGHBOUR, NOISE, VOTE

__all__ = ["Draws"]


class Draws:
    """The random numbers that belong to the new rows ``start .. stop`` of a class."""

    def __init__(self, seed: int, class_rank: int, start: int, stop: int) -> None:
        self._of = (seed, class_rank)
        self.start, self.stop = start, stop

    @property
    def numbers(self) -> np.ndarray:
        """The numbers of the new rows among those of their class."""
        return np.arange(self.start, self.stop)

    def rank(self, k: int) -> np.ndarray:
        """Which of the k neighbours, int64 in {0, ..., k - 1}."""
        return Stream(*self._of, NEIGHBOUR).below(k, self.start, self.stop)

    def gap(self) -> np.ndarray:
        """Place on the segment, float64 in [0, 1)."""
        return Stream(*self._of, GAP).uniform(self.start, self.stop)

    def vote(self, column: int) -> np.ndarray:
        """Which of the tied levels of nominal column number `column`, float64 in [0, 1)."""
        return Stream(*self._of, VOTE + column).uniform(self.start, self.stop)

    def noise(self, column: int) -> np.ndarray:
        """Return a uniform draw for noise in numeric column number `column`, in (0, 1)."""
        words = Stream(*self._of, NOISE + column).bits(self.start, self.stop)
        return ((words >> np.uint64(12)) + 0.5) * 2.0**-52
