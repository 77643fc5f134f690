"""What users construct: one sampler per file. These imports are the list of samplers.

All that is made from the list (the public names of dsmote, the command line, jobs, the tests) finds
a sampler by its name here. None of these modules loads scikit-learn before a sampler is made: a
worker needs the recipes in them, and scikit-learn would take a fifth of its memory.
"""

from dsmote.samplers.adasyn import ADASYN as ADASYN
from dsmote.samplers.borderline_smote import BorderlineSMOTE as BorderlineSMOTE
from dsmote.samplers.kmeans_smote import KMeansSMOTE as KMeansSMOTE
from dsmote.samplers.polynom_fit_smote import PolynomFitSMOTE as PolynomFitSMOTE
from dsmote.samplers.random_over_sampler import RandomOverSampler as RandomOverSampler
from dsmote.samplers.random_under_sampler import RandomUnderSampler as RandomUnderSampler
from dsmote.samplers.registry import make_sampler as make_sampler
from dsmote.samplers.registry import samplers as samplers
from dsmote.samplers.safe_level_smote import SafeLevelSMOTE as SafeLevelSMOTE
from dsmote.samplers.smote import SMOTE as SMOTE
from dsmote.samplers.smoten import SMOTEN as SMOTEN
from dsmote.samplers.smotenc import SMOTENC as SMOTENC
from dsmote.samplers.svm_smote import SVMSMOTE as SVMSMOTE
