"""The sample, and the advice that it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from dsmote.advice import screen
from dsmote.advice.result import CONTROL, Advice, judged
from dsmote.advice.screen import Drawn, Sample
from dsmote.execute import read_frame, read_pair
from dsmote.execute.columnar import as_pandas
from dsmote.execute.partition import incomplete_columns, missing_labels
from dsmote.execute.resources import compute
from dsmote.execute.rows import factorized, numeric_values
from dsmote.plan import Schema, plain, root_seed, shares, sort_labels
from dsmote.plan.schema import column_name, is_flag_dtype
from dsmote.samplers.columns import nominal_features
from dsmote.samplers.random_under import RandomUnderSampler

#: Rows that are looked at, at most.
ROWS = 50_000
#: Of fewer rows of the rare class no fold tells candidates apart: no advice is given.
FEWEST = 20


def draw(
    X: Any,
    y: Any = None,
    *,
    target: Any = None,
    rows: int = ROWS,
    seed: Any = 0,
    carry: Sequence[Any] = (),
    categorical_features: Any = "auto",
) -> Drawn:
    """Draw the rows that are looked at; which ones does not depend on the partitioning."""
    if (y is None) == (target is None):
        raise ValueError("advise takes X and y, or a frame and target=")
    if isinstance(rows, bool) or not isinstance(rows, Integral) or rows < 1:
        raise ValueError(f"rows is a whole number from 1 on, not {rows!r}")
    seed = root_seed(seed)
    table = read_pair(X, y) if target is None else read_frame(X, target)
    carry = [column_name(name) for name in carry]
    nominal = nominal_features(table, categorical_features, carry)
    named = [] if isinstance(categorical_features, str) else [table.names[i] for i in nominal]
    if named:  # beside those that can be nothing else
        nominal = sorted({*nominal, *nominal_features(table, "auto", carry)})
    elif all(is_flag_dtype(table.dtypes[i]) for i in nominal):
        nominal = []  # as in jobs: bools alone do not make a table mixed
    schema = table.schema(carry=carry, nominal=nominal, sampler="advise")
    counted = table.counted()
    counts, rare = counted.counts, _rarest(counted, table)
    few = counts[rare]
    if sum(counts.values()) > rows:
        labels = sort_labels(counts)
        share = shares(np.array([counts[label] for label in labels], dtype=float), rows)
        wanted = dict(zip(labels, share.tolist(), strict=True))
        few = wanted[rare]
        sampler = RandomUnderSampler(sampling_strategy=wanted, random_state=seed)
        sampler._counted = counted  # so that they are not counted again
    if few < FEWEST:
        raise ValueError(_too_few(rare, few, counts, rows))
    if sum(counts.values()) <= rows:
        drawn = (X,) if target is not None else (X, y)
    elif target is not None:
        drawn = (sampler.resample(X, target=target),)
    else:
        drawn = sampler.fit_resample(X, y)
    # Dask warns of an array and a frame together.
    together = len({hasattr(part, "chunks") for part in drawn}) == 1
    drawn = compute(*drawn) if together else tuple(compute(part)[0] for part in drawn)
    found: Any = read_pair(*drawn) if target is None else read_frame(drawn[0], target)
    features = pd.DataFrame(as_pandas(drawn[0]))
    features.columns = pd.Index([column_name(name) for name in found.names], dtype=object)
    is_rare = [plain(label) == rare for label in found.labels]
    sample = Sample(_numbers(features, schema), np.array(is_rare, np.int64), _nominal(schema))
    name = target if target is not None else table.target_name
    return Drawn(sample, name, rare, counts, tuple(carry), tuple(named), seed)


def _rarest(counted: Any, table: Any) -> Any:
    """Return the class that is to be found, or refuse a target that has none."""
    counts = counted.counts
    if not counted.rows:
        raise ValueError("the table has zero rows: there is nothing to advise on")
    if counted.missing:
        raise ValueError(missing_labels(counted.missing, table.target_name))
    labels = sort_labels(counts)
    if len(labels) < 2:
        raise ValueError(
            f"the target needs at least 2 classes, but has 1: {labels[0]!r} ({counted.rows:,} "
            "rows); check the target column, or that the table was not filtered down to one class"
        )
    return min(labels, key=counts.__getitem__)


def _too_few(rare: Any, few: int, counts: Mapping[Any, int], rows: int) -> str:
    remedy = "collect more rows of it; until then leave the table as it is and tune the threshold"
    if counts[rare] >= FEWEST:
        remedy = f"raise rows={rows:,}, of which the sample is at most"
    return (
        f"no advice: class {rare!r} has {few:,} row{'' if few == 1 else 's'} in the sample "
        f"({counts[rare]:,} in the table), and with fewer than {FEWEST} candidates cannot be told "
        f"apart; {remedy}"
    )


def _nominal(schema: Schema) -> np.ndarray:
    places = sorted([*schema.numeric, *schema.nominal])
    return np.isin(places, schema.nominal)


def _numbers(features: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return the features as one matrix: categories as codes, in sorted order."""
    columns, missing, infinite = [], dict[int, int](), dict[int, int]()
    for i in sorted([*schema.numeric, *schema.nominal]):
        values = features.iloc[:, i]
        if i in schema.nominal:
            columns.append(_codes(values))
            continue
        column, _ = numeric_values(values, schema.columns[i].kind)
        missing[i] = int(np.isnan(column).sum())
        infinite[i] = int(np.isinf(column).sum())
        columns.append(column)
    if any(missing.values()) or any(infinite.values()):
        raise ValueError(
            f"NaN, missing values or infinity in numeric features, of {len(features):,} rows: "
            f"{incomplete_columns(missing, infinite, schema)}; fill them, drop those rows, or name "
            "the columns in carry, which leaves them out"
        )
    return np.column_stack(columns)


def _codes(values: pd.Series) -> np.ndarray:
    """Return the number of each category among the sorted ones, the last for missing values."""
    codes, levels = factorized(values)
    keys = [(gone, str(plain(of))) for gone, of in zip(levels.isna().tolist(), levels, strict=True)]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    places = np.empty(len(levels))
    places[order] = range(len(levels))
    numbers: np.ndarray = places[codes]
    return numbers


def named_learners(learners: Any) -> dict[str, Any]:
    """Return learners by name; refuse what is no classifier, before anything is fitted."""
    if learners is None:
        return screen.default_learners()
    given = learners if isinstance(learners, Mapping) else None
    if given is None:
        several = learners if isinstance(learners, Sequence) else [learners]
        given = {}
        for one in several:
            name, same = type(one).__name__, 1
            while name in given:
                same += 1
                name = f"{type(one).__name__} {same}"
            given[name] = one
    for name, one in given.items():
        scores = hasattr(one, "predict_proba") or hasattr(one, "decision_function")
        if isinstance(one, type) or not scores or not hasattr(one, "get_params"):
            raise TypeError(
                f"the learner {name!r} is no scikit-learn classifier with predict_proba or "
                f"decision_function, but {one!r}; pass one such as LogisticRegression()"
            )
        if name == CONTROL:
            raise ValueError(f"no learner can be named {CONTROL!r}: that is the regularised one's")
    if not given:
        raise ValueError("learners is empty: pass at least one classifier, or leave it out")
    return dict(given)


def find_learner(name: str) -> Any:
    """Return a classifier of scikit-learn by its class's name, or of a package by its path."""
    import importlib

    from sklearn.utils import all_estimators

    from dsmote.samplers.registry import near

    for known, learner in screen.default_learners().items():
        if name in (known, type(learner).__name__):
            return learner
    module, _, kind = name.rpartition(".")
    if module:
        try:
            return getattr(importlib.import_module(module), kind)()
        except (ImportError, AttributeError, TypeError) as error:
            raise ValueError(f"there is no learner {name!r}: {error}") from error
    listed = dict(all_estimators(type_filter="classifier"))
    if name not in listed:
        raise ValueError(
            f"there is no learner {name!r}{near(name, listed)}; give the name of a classifier of "
            "scikit-learn, or the path of a class, such as lightgbm.LGBMClassifier"
        )
    try:
        return listed[name]()
    except TypeError as error:
        raise ValueError(f"{name} needs parameters: use dsmote.advise in Python") from error


def advise_on(
    drawn: Drawn,
    learners: Any = None,
    n_jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Advice:
    """Compare the candidates on a sample."""
    models = named_learners(learners)
    every = screen.candidates(drawn.sample)
    folds = screen.folds_of(drawn.sample.y, drawn.seed)
    held = screen.cross_validated(
        drawn.sample,
        every,
        models,
        folds,
        n_jobs or -1,  # all processors that this process may use
        drawn.seed,
        progress or (lambda done, total: None),
        only={CONTROL: screen.control_learner()},
    )
    truths = [drawn.sample.y[out] for _, out in folds]
    return judged(drawn, every, [*models, CONTROL], held, truths)


def advise(
    X: Any,
    y: Any = None,
    *,
    target: Any = None,
    learners: Any = None,
    rows: int = ROWS,
    random_state: Any = 0,
    carry: Sequence[Any] = (),
    categorical_features: Any = "auto",
    n_jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Advice:
    """Say whether a table should be resampled at all, with what, and how far.

    Candidates are compared by cross-validation on a sample: the table as it is; class weights,
    random under- and over-sampling, SMOTE (of mixed or categorical columns SMOTENC or SMOTEN) and,
    of numeric tables, Borderline-SMOTE, each up to ratios of 0.1, 0.25, 0.5 and 1 of the rare class
    to all other rows. Only training folds are resampled.

    Parameters
    ----------
    X, y
        As :meth:`dsmote.SMOTE.fit_resample` takes them; or X is a frame that has `target`.
    target : hashable, optional
        Name of the target column, in place of y. Of more than two classes, the rarest is compared
        with all others together.
    learners : classifier, sequence or mapping of name to classifier, optional
        scikit-learn classifiers. By default HistGradientBoosting and logistic regression. Learners
        get categories as indicators and scaled numbers; HistGradientBoosting gets them as they are.
    rows : int, default=50_000
        A larger table is sampled: so many rows, with the shares of its classes.
    random_state : int, None, RandomState or Generator, default=0
        The seed of the sample, the folds and the candidates.
    carry : sequence of column names
        Columns that are no features, such as an id.
    categorical_features : "auto", names, positions or a mask
        Columns of numbers that are codes. Text and categories are categorical by themselves.
    n_jobs : int, optional
        Processes; by default one for each processor. Each fit has one thread.
    progress : callable, optional
        Called with the number of resamplings done, and of all.

    Returns
    -------
    Advice
        Printable; ``table`` has every score.

    Raises
    ------
    ValueError, TypeError
        The table has no rare class of at least 20 rows in the sample, or a feature with missing
        values; the message names the column or the class, and the remedy.

    Notes
    -----
    Scores are average precision (AP), and F1 at the threshold that is best on the other folds; so
    "nothing" has a tuned threshold, too. A candidate's difference to nothing is taken fold by fold.
    Candidates of a method are shrunk toward its mean as far as they differ by noise; then the
    simplest within one standard error of the best is taken, and named if it is better than nothing
    by more than two.

    The sample of a Dask collection is drawn in one lazy pass, after one in which the target is
    counted. It does not depend on the partitioning.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from dsmote import advise
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], [450, 50])
    >>> X = rng.normal(size=(500, 2)) + y[:, None]
    >>> advice = advise(X, y, learners=LogisticRegression(), n_jobs=1)
    >>> print(advice.words[0])
    LogisticRegression, AP: nothing is as good
    >>> advice.table.columns.tolist()[:4]
    ['learner', 'metric', 'method', 'ratio']
    """
    models = named_learners(learners)
    drawn = draw(
        *(X, y),
        target=target,
        rows=rows,
        seed=random_state,
        carry=carry,
        categorical_features=categorical_features,
    )
    return advise_on(drawn, models, n_jobs, progress)
