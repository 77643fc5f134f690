"""Candidates, learners and cross-validation: what each candidate scores on the same folds.

::

    fold     training rows --> candidate: resampled once --> every learner is fitted
             held-out rows, as they are -------------------> its scores

Resampling sees the training rows of a fold alone. Each fit has one thread, and fits run side by
side.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dsmote.execute.resources import single_threaded
from dsmote.samplers.registry import make_sampler

FOLDS = 5
#: Ratios of minority to majority rows that are tried, where the table's own is smaller.
RATIOS = (0.1, 0.25, 0.5, 1.0)
#: A ratio that is hardly above the table's own changes nothing.
ABOVE = 1.05
NOTHING, WEIGHTS, UNDER, OVER, SMOTE, BORDERLINE = METHODS = (
    *("nothing", "class weights", "random under", "random over", "smote", "borderline"),
)
#: Neighbours; others gained nothing on 32 tables.
K = 5
#: HistGradientBoosting takes so many categories of a column at most; of more, it gets numbers.
MOST_LEVELS = 255
#: Categories of a column that get an indicator of their own, for other learners.
INDICATORS = 30


@dataclass(frozen=True)
class Candidate:
    """A method, and the ratio of minority to majority rows that it makes."""

    method: str
    ratio: float = 0.0

    def sampler(self, nominal: np.ndarray) -> str:
        """Return the name of the sampler, which class weights and nothing have none of."""
        smote = "smoten" if nominal.all() else "smotenc" if nominal.any() else "smote"
        names = {UNDER: "random-under", OVER: "random", SMOTE: smote, BORDERLINE: "borderline"}
        return names[self.method]


@dataclass(frozen=True)
class Sample:
    """Rows as numbers: categories as codes; `y` is 1 for the rare class."""

    X: np.ndarray
    y: np.ndarray
    nominal: np.ndarray

    def take(self, rows: np.ndarray) -> Sample:
        """Return some of the rows."""
        return Sample(self.X[rows], self.y[rows], self.nominal)


@dataclass(frozen=True)
class Drawn:
    """A stratified sample of a table, and what is said of the table it is from."""

    sample: Sample
    target: Any
    rare: Any
    counts: dict[Any, int]
    carry: tuple[Any, ...]
    categorical: tuple[Any, ...]  # categorical features that are so because they were named
    seed: int


def candidates(sample: Sample) -> list[Candidate]:
    """Return what is compared, the simplest first. Borderline is for numeric features."""
    few = int(sample.y.sum())
    present = few / (len(sample.y) - few)
    methods = METHODS[1:] if not sample.nominal.any() else METHODS[1:-1]
    ratios = [ratio for ratio in RATIOS if ratio > ABOVE * present]
    return [Candidate(NOTHING), *(Candidate(m, ratio) for m in methods for ratio in ratios)]


def resampled(
    candidate: Candidate, rows: Sample, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return what learners are fitted on: features, target, and weights where there are any."""
    few = int(rows.y.sum())
    wanted = int(candidate.ratio * (len(rows.y) - few))
    if candidate.method == NOTHING or wanted <= few:
        return rows.X, rows.y, None
    if candidate.method == WEIGHTS:
        return rows.X, rows.y, np.where(rows.y == 1, wanted / few, 1.0)
    name = candidate.sampler(rows.nominal)
    how: dict[str, Any] = {"sampling_strategy": candidate.ratio, "random_state": seed}
    if candidate.method in (SMOTE, BORDERLINE):
        if few < 2:  # which has no neighbour
            return rows.X, rows.y, None
        how["k_neighbors"] = min(K, few - 1)
    if candidate.method == BORDERLINE:
        how["on_empty"] = "smote"
    if name == "smotenc":
        how["categorical_features"] = np.flatnonzero(rows.nominal).tolist()
    X, y = make_sampler(name, **how).fit_resample(rows.X, rows.y)
    return X, y, None


# --- Learners


def default_learners() -> dict[str, Any]:
    """Return the learners that are compared where none are named."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    boosting = HistGradientBoostingClassifier(early_stopping=False)
    return {
        "HistGradientBoosting": boosting,
        "LogisticRegression": LogisticRegression(max_iter=300),
    }


def control_learner() -> Any:
    """Return a learner that can hardly over-fit: what it reaches needs no resampling."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_leaf_nodes=8,
        min_samples_leaf=50,
        l2_regularization=10.0,
        early_stopping=False,
    )


def takes_weights(learner: Any) -> bool:
    """Tell whether class weights are possible: the fit takes a weight for each row."""
    from sklearn.utils.validation import has_fit_parameter

    return bool(has_fit_parameter(learner, "sample_weight"))


def _fitted(learner: Any, rows: Sample, seed: int) -> Callable[..., np.ndarray]:
    """Return a function of resampled rows, weights and held-out features to scores."""
    from sklearn.base import clone
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = clone(learner)
    if "random_state" in model.get_params(deep=False) and model.random_state is None:
        model.set_params(random_state=seed)
    if isinstance(model, HistGradientBoostingClassifier):
        if isinstance(model.categorical_features, str):  # by the dtype, which numbers have none of
            few = np.array([len(np.unique(column)) <= MOST_LEVELS for column in rows.X.T])
            few &= rows.nominal
            model.set_params(categorical_features=few if few.any() else None)
        return _of_boosting(model, rows)
    return _of_any(model, rows)


def _of_boosting(model: Any, rows: Sample) -> Callable[..., np.ndarray]:
    def scores(X: np.ndarray, y: np.ndarray, weights: Any, held: np.ndarray) -> np.ndarray:
        if weights is None:
            return _scores(model.fit(X, y), held)
        # With weights, scikit-learn 1.9 takes seven times as long to find the bins of a column.
        X, held = binned(X, held, ~rows.nominal)
        return _scores(model.fit(X, y, sample_weight=weights), held)

    return scores


def _of_any(model: Any, rows: Sample) -> Callable[..., np.ndarray]:
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    indicators = OneHotEncoder(
        handle_unknown="ignore", max_categories=INDICATORS, sparse_output=False
    )
    parts = [("c", indicators, rows.nominal), ("n", StandardScaler(), ~rows.nominal)]
    # Shares of a power of two are scaled to the same numbers, and their squares are numbers.
    powers = np.where(rows.nominal, 0, np.frexp(np.abs(rows.X).max(axis=0))[1])
    encoder = ColumnTransformer(parts).fit(np.ldexp(rows.X, -powers))

    def encoded(X: np.ndarray) -> Any:
        return encoder.transform(np.ldexp(X, -powers))

    def scores(X: np.ndarray, y: np.ndarray, weights: Any, held: np.ndarray) -> np.ndarray:
        how = {} if weights is None else {"sample_weight": weights}
        return _scores(model.fit(encoded(X), y, **how), encoded(held))

    return scores


def _scores(model: Any, held: np.ndarray) -> np.ndarray:
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(held)[:, 1], dtype=np.float64)
    return np.asarray(model.decision_function(held), dtype=np.float64)


def binned(X: np.ndarray, held: np.ndarray, numeric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return numeric columns as the numbers of at most 255 bins, made from `X`."""
    X, held = X.copy(), held.copy()
    for j in np.flatnonzero(numeric):
        distinct = np.unique(X[:, j])
        edges = (distinct[1:] + distinct[:-1]) / 2
        if len(distinct) > 255:
            edges = np.unique(np.quantile(X[:, j], np.linspace(0, 1, 256)[1:-1]))
        X[:, j] = np.searchsorted(edges, X[:, j])
        held[:, j] = np.searchsorted(edges, held[:, j])
    return X, held


# --- Cross-validation


def fit_scores(
    candidate: Candidate,
    learners: Mapping[str, Any],
    rows: Sample,
    held: np.ndarray,
    seed: int,
) -> dict[str, np.ndarray]:
    """Resample once, fit every learner, and return its scores of the held-out rows."""
    with single_threaded(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of one fit of hundreds: no convergence, a rule of thumb
        X, y, weights = resampled(candidate, rows, seed)
        return {
            name: _fitted(learner, rows, seed)(X, y, weights, held)
            for name, learner in learners.items()
        }


def folds_of(y: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return training and held-out rows of each fold, in which classes have their shares."""
    from sklearn.model_selection import StratifiedKFold

    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed % 2**32).split(y, y))


#: Scores of the held-out rows of each fold, by learner and candidate.
Held = dict[tuple[str, Candidate], list[np.ndarray]]


def cross_validated(
    sample: Sample,
    every: Sequence[Candidate],
    learners: Mapping[str, Any],
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    n_jobs: int,
    seed: int,
    on_fit: Callable[[int, int], None],
    only: Mapping[str, Any] | None = None,
) -> Held:
    """Score every candidate on every fold; `only` are learners that get nothing resampled."""
    tasks = [(fold, candidate) for candidate in every for fold in range(len(folds))]
    plain = {name: one for name, one in learners.items() if not takes_weights(one)}
    found: dict[tuple[int, Candidate], dict[str, np.ndarray]] = {}
    for done, (task, scores) in enumerate(
        _side_by_side(tasks, sample, learners, plain, only or {}, folds, n_jobs, seed), 1
    ):
        found[task] = scores
        on_fit(done, len(tasks))
    held: Held = {}
    for fold, candidate in sorted(tasks, key=lambda task: task[0]):
        for name, one in found[fold, candidate].items():
            held.setdefault((name, candidate), []).append(one)
    return held


def _side_by_side(
    tasks: Sequence[tuple[int, Candidate]],
    sample: Sample,
    learners: Mapping[str, Any],
    plain: Mapping[str, Any],
    only: Mapping[str, Any],
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    n_jobs: int,
    seed: int,
) -> Iterator[tuple[tuple[int, Candidate], dict[str, np.ndarray]]]:
    """Yield the tasks as they end, with their scores."""
    from sklearn.utils.parallel import Parallel, delayed

    calls = []
    for task in tasks:
        fold, candidate = task
        asked = dict(learners)
        if candidate.method == NOTHING:
            asked |= only
        elif candidate.method == WEIGHTS:
            asked = {name: one for name, one in asked.items() if name not in plain}
        calls.append(
            delayed(_task)(task, candidate, asked, sample, *folds[fold], (seed + fold) % 2**32)
        )
    made: Any = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(calls)
    yield from made


def _task(
    task: tuple[int, Candidate],
    candidate: Candidate,
    learners: Mapping[str, Any],
    sample: Sample,
    train: np.ndarray,
    test: np.ndarray,
    seed: int,
) -> tuple[tuple[int, Candidate], dict[str, np.ndarray]]:
    return task, fit_scores(candidate, learners, sample.take(train), sample.X[test], seed)
