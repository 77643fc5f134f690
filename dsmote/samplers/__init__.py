"""What users construct: one sampler per file, with scikit-learn parameters and tags."""

from dsmote.samplers.random_under_sampler import RandomUnderSampler
from dsmote.samplers.smote import SMOTE
from dsmote.samplers.smotenc import SMOTENC

__all__ = ["SMOTE", "SMOTENC", "RandomUnderSampler"]
