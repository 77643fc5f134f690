"""What users construct: one sampler per file, with scikit-learn parameters and tags.

The names are loaded on first use: a worker that makes rows needs the recipe of one sampler, and
scikit-learn, which the samplers are built on, would take a sixth of the memory of its process.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsmote.samplers.adasyn import ADASYN
    from dsmote.samplers.borderline_smote import BorderlineSMOTE
    from dsmote.samplers.kmeans_smote import KMeansSMOTE
    from dsmote.samplers.random_over_sampler import RandomOverSampler
    from dsmote.samplers.random_under_sampler import RandomUnderSampler
    from dsmote.samplers.registry import make_sampler, samplers
    from dsmote.samplers.smote import SMOTE
    from dsmote.samplers.smoten import SMOTEN
    from dsmote.samplers.smotenc import SMOTENC
    from dsmote.samplers.svm_smote import SVMSMOTE

__all__ = [
    "ADASYN",
    "SMOTE",
    "SMOTEN",
    "SMOTENC",
    "SVMSMOTE",
    "BorderlineSMOTE",
    "KMeansSMOTE",
    "RandomOverSampler",
    "RandomUnderSampler",
    "make_sampler",
    "samplers",
]

_HOMES = {
    "ADASYN": "adasyn",
    "BorderlineSMOTE": "borderline_smote",
    "KMeansSMOTE": "kmeans_smote",
    "RandomOverSampler": "random_over_sampler",
    "RandomUnderSampler": "random_under_sampler",
    "SMOTE": "smote",
    "SMOTEN": "smoten",
    "SMOTENC": "smotenc",
    "SVMSMOTE": "svm_smote",
    "make_sampler": "registry",
    "samplers": "registry",
}


def __getattr__(name: str) -> Any:
    """Load a name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dsmote.samplers' has no attribute {name!r}")
    return getattr(importlib.import_module(f"dsmote.samplers.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the names, loaded or not."""
    return sorted(__all__)
