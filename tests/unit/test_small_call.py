"""A small call stays short: its calls of dsmote's own functions are counted, not timed."""

import sys
from pathlib import Path

import numpy as np

import dsmote
from dsmote import SMOTE

#: Calls, different functions, files. Python 3.11 counts comprehensions as calls, later ones do not.
MOST = (142, 118, 19)


def test_calls_of_a_small_call():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), np.repeat([0, 1], [150, 50])
    SMOTE(random_state=0).fit_resample(X, y)  # the first one imports and fills caches
    inside, codes = str(Path(dsmote.__file__).parent), []

    def count(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(inside):
            codes.append(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        SMOTE(random_state=0).fit_resample(X, y)
    finally:
        sys.setprofile(before)
    found = len(codes), len(set(codes)), len({code.co_filename for code in codes})
    assert all(n <= most for n, most in zip(found, MOST, strict=True)), found
