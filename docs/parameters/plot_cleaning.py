"""
How strict a cleaning method is: ``n_neighbors``, ``kind_sel``, ``version``
===========================================================================

EditedNearestNeighbours drops a row if one of its neighbours is of another class (``"all"``), or
if most of them are (``"mode"``). NearMiss keeps as many rows as the smallest class has: those
near to their nearest rows of it (version 1), to its farthest ones (2), or those among the
nearest of each of its rows that are farthest (3).
"""

import warnings

from plane import compare, table

from dsmote import EditedNearestNeighbours, NearMiss

warnings.simplefilter("ignore")  # version 3 says where fewer rows were near than asked for
X, y = table()
methods = {
    "3 neighbours, all": EditedNearestNeighbours(),
    "11 neighbours, all": EditedNearestNeighbours(n_neighbors=11),
    "11 neighbours, mode": EditedNearestNeighbours(n_neighbors=11, kind_sel="mode"),
}
compare(X, y, {title: method.fit_resample(X, y) for title, method in methods.items()})

# %%
# The versions of NearMiss:

versions = {f"version={n}": NearMiss(version=n) for n in (1, 2, 3)}
compare(X, y, {title: method.fit_resample(X, y) for title, method in versions.items()})
