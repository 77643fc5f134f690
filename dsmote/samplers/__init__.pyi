"""The list of samplers, as type checkers and editors read it too.

A sampler has the name of its file. All that is made from the list (the public names of dsmote, the
command line, jobs, the tests) finds it here, and loads it when it is asked for. What is no sampler
by itself has a comment behind it, and is none of them.
"""

from dsmote.samplers.adasyn import ADASYN as ADASYN
from dsmote.samplers.adoms import ADOMS as ADOMS
from dsmote.samplers.all_knn import AllKNN as AllKNN
from dsmote.samplers.borderline import BorderlineSMOTE as BorderlineSMOTE
from dsmote.samplers.chain import Chain as Chain  # needs samplers
from dsmote.samplers.cluster_centroids import ClusterCentroids as ClusterCentroids
from dsmote.samplers.condensed import CondensedNearestNeighbour as CondensedNearestNeighbour
from dsmote.samplers.distance_smote import DistanceSMOTE as DistanceSMOTE
from dsmote.samplers.enn import EditedNearestNeighbours as EditedNearestNeighbours
from dsmote.samplers.geometric import GeometricSMOTE as GeometricSMOTE
from dsmote.samplers.gsmote import GSMOTE as GSMOTE
from dsmote.samplers.instance_hardness import InstanceHardnessThreshold as InstanceHardnessThreshold
from dsmote.samplers.kmeans import KMeansSMOTE as KMeansSMOTE
from dsmote.samplers.mdo import MDO as MDO
from dsmote.samplers.mgs import MGS as MGS
from dsmote.samplers.ncr import NeighbourhoodCleaningRule as NeighbourhoodCleaningRule
from dsmote.samplers.near_miss import NearMiss as NearMiss
from dsmote.samplers.one_sided import OneSidedSelection as OneSidedSelection
from dsmote.samplers.polynom_fit import PolynomFitSMOTE as PolynomFitSMOTE
from dsmote.samplers.random import RandomOverSampler as RandomOverSampler
from dsmote.samplers.random_smote import RandomSMOTE as RandomSMOTE
from dsmote.samplers.random_under import RandomUnderSampler as RandomUnderSampler
from dsmote.samplers.registry import make_sampler as make_sampler
from dsmote.samplers.registry import samplers as samplers
from dsmote.samplers.repeated_enn import (
    RepeatedEditedNearestNeighbours as RepeatedEditedNearestNeighbours,
)
from dsmote.samplers.safe_level import SafeLevelSMOTE as SafeLevelSMOTE
from dsmote.samplers.smote import SMOTE as SMOTE
from dsmote.samplers.smote_enn import SMOTEENN as SMOTEENN
from dsmote.samplers.smote_tomek import SMOTETomek as SMOTETomek
from dsmote.samplers.smoten import SMOTEN as SMOTEN
from dsmote.samplers.smotenc import SMOTENC as SMOTENC
from dsmote.samplers.svm import SVMSMOTE as SVMSMOTE
from dsmote.samplers.tomek import TomekLinks as TomekLinks
