"""Advice: whether a table should be resampled at all, with what, and how far."""

from dsmote.advice.result import Advice as Advice
from dsmote.advice.run import advise as advise
