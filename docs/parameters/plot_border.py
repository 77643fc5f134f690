"""
Where the class meets others: ``kind``, ``m_neighbors``, ``out_step``
=====================================================================

BorderlineSMOTE starts from rows half of whose ``m_neighbors`` are of other classes. The second
kind goes toward rows of those, too. SVMSMOTE starts from support vectors; ``out_step`` is how
far safe ones reach outward.
"""

from plane import compare, table

from dsmote import SVMSMOTE, BorderlineSMOTE

X, y = table()
compare(
    X,
    y,
    {
        title: sampler.fit_resample(X, y)
        for title, sampler in {
            "borderline-1": BorderlineSMOTE(random_state=0),
            "borderline-2": BorderlineSMOTE(kind="borderline-2", random_state=0),
            "out_step=0.1": SVMSMOTE(out_step=0.1, random_state=0),
            "out_step=1.0": SVMSMOTE(out_step=1.0, random_state=0),
        }.items()
    },
)
