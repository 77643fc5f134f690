"""
Units: ``scale``
================

One column is in cents and one in years: the nearest row is the one with the same cents. With
``scale="standard"`` (or ``"minmax"``, ``"robust"``) neighbours are found among scaled columns;
new rows are made in the original units.
"""

from plane import compare, table

from dsmote import SMOTE

X, y = table()
X[:, 0] *= 1_000
compare(
    X,
    y,
    {
        "no scale": SMOTE(random_state=0).fit_resample(X, y),
        'scale="standard"': SMOTE(scale="standard", random_state=0).fit_resample(X, y),
    },
)
