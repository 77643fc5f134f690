"""
How far a class grows: ``sampling_strategy``
============================================

``"auto"`` makes every class as large as the largest. A mapping says how many rows a class has in
the end; of two classes a ratio such as ``0.1`` does. ``max_increase`` stops a class that would
grow to too many times its rows.
"""

import warnings

from plane import compare, table

from dsmote import SMOTE

X, y = table()
given = {
    '"auto"': {},
    '"minority"': {"sampling_strategy": "minority"},
    "{0: 500, 1: 500}": {"sampling_strategy": {0: 500, 1: 500}},
    "max_increase=5": {"max_increase": 5},
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # max_increase says what it cut
    results = {
        title: SMOTE(random_state=0, **params).fit_resample(X, y) for title, params in given.items()
    }
compare(X, y, results)
