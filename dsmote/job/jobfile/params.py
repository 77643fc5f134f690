"""The parameters of each sampler as a model, made from what the sampler says it takes."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from numbers import Integral
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model
from sklearn.utils._param_validation import Interval, Options, StrOptions

from dsmote.job.jobfile.model import Names, Text
from dsmote.job.labels import STRATEGY_NAMES
from dsmote.job.spec import AUTO
from dsmote.samplers.registry import find_sampler, parameters_of, samplers

__all__ = ["params_model", "sampler_class", "sampler_meant"]

#: What parameters are for, in a line.
MEANING = {
    "carry": "Columns that are kept but never measured, such as ids; missing in new rows.",
    "categorical": "Columns to take as nominal although they are numeric.",
    "categorical_features": "The nominal columns; auto takes text, category and bool columns.",
    "categorical_encoder": "Not needed; there for the sake of imbalanced-learn.",
    "cluster_balance_threshold": "The share of the class that a cluster needs to be used.",
    "density_exponent": "How much more sparse clusters get.",
    "k_neighbors": "Neighbours to choose from.",
    "kind": "Which of the two ways.",
    "kmeans_estimator": "The number of clusters.",
    "m_neighbors": "Neighbours of all classes that tell whether a row is in danger.",
    "max_fit_rows": "Rows that the model is fitted to, at most.",
    "missing": "skip keeps rows with missing values and makes none from them.",
    "n_components": "Find neighbours in that many principal components, or that share of variance.",
    "n_jobs": "Not needed; there for the sake of imbalanced-learn.",
    "n_neighbors": "Neighbours to choose from.",
    "neighbors": "How neighbours are found; fast approximates, and its recall is measured.",
    "on_empty": "What to do where no row is in danger.",
    "on_small_class": "What to do with classes of fewer than k + 1 rows.",
    "on_small_group": "What to do with groups of fewer than k + 1 rows.",
    "out_step": "How far beyond a row new rows may lie.",
    "provenance": "Columns that say where a row came from.",
    "random_state": "Seed; the same seed gives the same rows.",
    "replacement": "Keep rows with replacement.",
    "sampling_strategy": "A name, a ratio, or the total rows by label.",
    "svm_estimator": "For Python only: an SVM of another kind.",
    "scale": "Find neighbours among scaled columns.",
    "shrinkage": "How far copies are moved; one number, or one by label.",
}


def _texts(value: Any) -> Any:
    """Return labels as their text, which is how they are matched."""
    if not isinstance(value, Mapping):
        return value
    return {str(key).lower() if isinstance(key, bool) else str(key): n for key, n in value.items()}


Rows = Annotated[int, Field(ge=0)]
#: Parameters for which the job has types of its own.
OWN: dict[str, Any] = {
    "sampling_strategy": Annotated[
        Literal[STRATEGY_NAMES]
        | Annotated[float, Field(gt=0, le=1)]
        | Annotated[dict[str, Rows], Field(min_length=1)],
        BeforeValidator(_texts),
    ],
    "carry": Names | None,
    "random_state": Annotated[int, Field(ge=0, lt=2**32)] | None,
    "categorical_features": Literal["auto"] | list[Text | int | bool],
    "n_components": Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] | None,
    "neighbors": None,
}


def sampler_class(name: str) -> type:
    """Return the class of a sampler; where it is to be chosen, the one that takes most parameters.

    Examples
    --------
    >>> sampler_class("auto").__name__
    'SMOTENC'
    """
    return find_sampler("smotenc" if name == AUTO else name)


def sampler_meant(name: Any) -> type | None:
    """Return the class of a sampler whose name may be misspelled; None where it cannot be told.

    Examples
    --------
    >>> sampler_meant("smotencc").__name__, sampler_meant("forest")
    ('SMOTENC', None)
    """
    close = get_close_matches(str(name), [AUTO, *samplers()], n=1)
    return sampler_class(close[0]) if close else None


@cache
def params_model(sampler: type) -> type[BaseModel]:
    """Return the model of a sampler's parameters.

    Parameters
    ----------
    sampler : type

    Returns
    -------
    type of pydantic.BaseModel

    Examples
    --------
    >>> sorted(params_model(find_sampler("random-under")).model_fields)
    ['random_state', 'replacement', 'sampling_strategy']
    """
    constraints: Mapping[str, list[Any]] = sampler._parameter_constraints  # type: ignore[attr-defined]
    fields: dict[str, Any] = {}
    for name, default in parameters_of(sampler).items():
        kind = OWN.get(name) or _kind(constraints[name])
        fields[name] = (kind, Field(default, description=MEANING.get(name)))
    if "n_neighbors" in fields:
        fields["k_neighbors"] = fields["n_neighbors"]
    if "categorical_features" in fields:
        fields["categorical"] = (Names, Field((), description=MEANING["categorical"]))
    made: Any = create_model(
        f"{sampler.__name__}Params",
        __config__=ConfigDict(extra="forbid", strict=True),
        __doc__=f"Parameters of {sampler.__name__}.",
        **fields,
    )
    return made


def _kind(constraints: list[Any]) -> Any:
    """Return the type of what a file can hold of scikit-learn's constraints: no objects."""
    found = [each for each in map(_one_kind, constraints) if each is not ...]
    return Union[tuple(found)]  # noqa: UP007


def _one_kind(constraint: Any) -> Any:
    if constraint is None:
        return None
    if isinstance(constraint, Interval):
        low, high = constraint.left, constraint.right
        limits = {
            ("ge" if constraint.closed in ("left", "both") else "gt"): low,
            ("le" if constraint.closed in ("right", "both") else "lt"): high,
        }
        number = int if constraint.type is Integral else float
        return Annotated[number, Field(**{k: v for k, v in limits.items() if v is not None})]
    if isinstance(constraint, StrOptions):
        return Literal[tuple(sorted(constraint.options))]
    if isinstance(constraint, Options):
        return Literal[tuple(sorted(constraint.options))]
    if constraint == "boolean":
        return bool
    if isinstance(constraint, type) and issubclass(constraint, Mapping):
        return dict[str | int | float | bool, float]
    if isinstance(constraint, type) and constraint.__module__ == "numbers":
        return int if constraint is Integral else float
    return ...
