"""What goes with the rows: weights and groups, and what pipelines request of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from dsmote.plan.labels import listed


def companions_of(X: Any, weight: Any, groups: Any) -> tuple[dict[str, Any], Any]:
    """Tell weights and groups that are containers of their own from a column of groups."""
    companions = {} if weight is None else {"sample_weight": weight}
    if np.isscalar(groups):
        if groups not in (names := list(getattr(X, "columns", ()))):
            shown = listed(map(repr, names)) or "no names (X is an array)"
            raise ValueError(f"there is no column {groups!r} of groups; the columns are {shown}")
        return companions, groups
    if groups is not None:
        companions["groups"] = groups
    return companions, None


def routed_requests(sampler: Any, supported: Collection[str]) -> set[str]:
    """Return what a sampler requests by metadata routing; refuse what no pipeline can serve."""
    from sklearn import get_config

    if not get_config()["enable_metadata_routing"]:
        return set()
    # Without imbalanced-learn there is no pipeline, and no such request.
    request = getattr(sampler.get_metadata_routing(), "fit_resample", None)
    aliases = {} if request is None else request.requests
    routed = {name for name, alias in aliases.items() if alias not in (None, False)}
    for name in sorted(routed - set(supported)):
        raise ValueError(
            f"{type(sampler).__name__} cannot take {name} by metadata routing: a pipeline takes "
            f"back X and y only; leave out set_fit_resample_request({name}=...), or call "
            f"fit_resample(X, y, {name}=...) outside the pipeline"
        )
    return routed
