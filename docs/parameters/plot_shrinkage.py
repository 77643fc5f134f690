"""
Duplicates or a smoothed bootstrap: ``shrinkage``
=================================================

RandomOverSampler duplicates rows, of columns of any kind. With ``shrinkage`` it adds noise to
numbers (ROSE): the more, the wider.
"""

from plane import compare, table

from dsmote import RandomOverSampler

X, y = table()
compare(
    X,
    y,
    {
        f"shrinkage={shrinkage}": RandomOverSampler(
            shrinkage=shrinkage, random_state=0
        ).fit_resample(X, y)
        for shrinkage in (None, 0.5, 1.0)
    },
)
