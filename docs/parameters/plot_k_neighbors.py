"""
How far rows reach: ``k_neighbors``
===================================

With few neighbours new rows stay on short segments and come close to copies; with many they fill
the space between the rows of a class, and may cross another one. On large classes the neighbours
of a row come closer: raise k there.
"""

from plane import compare, table

from dsmote import SMOTE

X, y = table()
compare(
    X,
    y,
    {
        f"k_neighbors={k}": SMOTE(k_neighbors=k, random_state=0).fit_resample(X, y)
        for k in (1, 5, 40)
    },
)
