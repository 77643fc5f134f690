"""
In which clusters: ``kmeans_estimator``, ``cluster_balance_threshold``
======================================================================

KMeansSMOTE makes rows inside clusters in which a class has its share. More clusters are smaller;
a higher threshold leaves out those with few rows of the class.
"""

from plane import compare, table

from dsmote import KMeansSMOTE

X, y = table()
given = ((5, 0.01), (20, 0.01), (20, 0.1))
compare(
    X,
    y,
    {
        f"{n} clusters, threshold {share}": KMeansSMOTE(
            kmeans_estimator=n, cluster_balance_threshold=share, random_state=0
        ).fit_resample(X, y)
        for n, share in given
    },
)
