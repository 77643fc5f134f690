"""What users construct: one sampler per file, with scikit-learn parameters and tags."""

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
