"""Randomness keyed by what a row is, so that no partition, worker or call order can change it.

Every random number belongs to one *stream* and has one *place* in it::

    seed --+-- class 0 --+-- ALLOCATION   u0 u1 u2 ...   which row is a base
           |             +-- NEIGHBOUR    u0 u1 u2 ...   one per synthetic row
           |             +-- GAP          u0 u1 u2 ...   one per synthetic row
           |             +-- VOTE + j     u0 u1 u2 ...   one per synthetic row, nominal column j
           |             +-- INDEX        u0             seed of an engine that draws
           |             +-- SHARE        u0             division of the class, where it is drawn
           |             +-- REPORT       u0 u1 u2 ...   one per row: is it shown in the report
           |             +-- NOISE + j    u0 u1 u2 ...   one per synthetic row, numeric column j
           |             +-- SPLIT        u1 u2 u3 ...   one per node: rows kept of its left half
           |             +-- CHOICE       u0 u1 u2 ...   one per row (or per draw): is it kept
           |             +-- MIX          w0 w1 w2 ...   one per row of the output: its place
           +-- class 1 --+-- ...

A stream is a Philox counter generator whose key is derived from (seed, class, purpose). Because
the generator is counter-based, the numbers at places ``start .. stop`` are computed without
computing those before them: a block of synthetic rows draws exactly the numbers that belong to
its rows, whoever computes it, and however often.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

__all__ = [
    "ALLOCATION",
    "CHOICE",
    "GAP",
    "INDEX",
    "MIX",
    "NEIGHBOUR",
    "NOISE",
    "REPORT",
    "SHARE",
    "SPLIT",
    "VOTE",
    "Stream",
    "root_seed",
]

ALLOCATION, NEIGHBOUR, GAP, VOTE = 0, 1, 2, 3
# Beyond any column that is voted on.
INDEX, SPLIT, CHOICE, SHARE, MIX, REPORT = (2**31 + i for i in range(6))
NOISE = 2**31 + 16

_PER_COUNT = 4  # Philox4x64 gives four 64-bit words for each value of its counter


def root_seed(random_state: Any) -> int:
    """Return the one number that all draws of a run are derived from.

    Parameters
    ----------
    random_state : None, int, numpy.random.RandomState or numpy.random.Generator
        ``None`` takes fresh entropy; a generator is asked for one number, and so moves on.

    Returns
    -------
    int
        A non-negative integer, to be recorded so that the run can be repeated; where it is drawn
        here it is below 2**32, which every ``random_state`` takes.

    Raises
    ------
    ValueError
        A negative seed, or an object of another kind.

    Examples
    --------
    >>> root_seed(7)
    7
    """
    if random_state is None:
        entropy = np.random.SeedSequence().entropy
        return int(entropy) % 2**32  # type: ignore[arg-type]
    if isinstance(random_state, Integral):
        if random_state < 0:
            raise ValueError(f"random_state must not be negative, but is {random_state}")
        return int(random_state)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(0, 2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(0, 2**32))
    raise ValueError(
        "random_state must be None, an int, a RandomState or a Generator, but is "
        f"{type(random_state).__name__}"
    )


class Stream:
    """An unlimited, addressable sequence of random numbers.

    Parameters
    ----------
    seed : int
        The root seed of the run.
    class_rank : int
        Place of the class in sorted label order.
    purpose : int
        What the numbers decide: `ALLOCATION`, `NEIGHBOUR`, `GAP`, or `VOTE` + column.

    Examples
    --------
    >>> whole = Stream(0, 1, GAP).uniform(0, 10)
    >>> part = Stream(0, 1, GAP).uniform(3, 7)
    >>> bool((whole[3:7] == part).all())
    True
    """

    def __init__(self, seed: int, class_rank: int, purpose: int) -> None:
        sequence = np.random.SeedSequence(seed, spawn_key=(class_rank, purpose))
        self._key = sequence.generate_state(2, np.uint64)

    def words(self, start: int, stop: int) -> np.ndarray:
        """Return the 64-bit words at places ``start`` to ``stop``, shape (stop - start,)."""
        first = start // _PER_COUNT
        bits = np.random.Philox(key=self._key)
        bits.advance(first)
        words = bits.random_raw(stop - first * _PER_COUNT)
        return np.asarray(words[start - first * _PER_COUNT :], dtype=np.uint64)

    def uniform(self, start: int, stop: int) -> np.ndarray:
        """Return float64 draws from [0, 1) with 53 random bits."""
        return (self.words(start, stop) >> np.uint64(11)) * 2.0**-53

    def below(self, limit: int, start: int, stop: int) -> np.ndarray:
        """Return int64 draws from {0, ..., limit - 1}; limit at most 2**31.

        The upper 32 bits are scaled, so a value is off its exact probability by less than
        limit / 2**32 of itself.
        """
        words = self.words(start, stop) >> np.uint64(32)
        return ((words * np.uint64(limit)) >> np.uint64(32)).astype(np.int64)
