"""Fidelity: models trained on what dsmote makes score as those on what imbalanced-learn makes.

Run: python tests/benchmarks/fidelity.py [--only SAMPLER] [--tables N] [--jobs 2] [--data FOLDER]

Tables: 22 KEEL sets and six larger tables, those cut to a seeded 4,000 rows; in each the rarest
class of at least 16 rows against the rest, left out where that is no minority. Five times two-fold
cross-validation, with the same folds and seeds on both sides; each side resamples the training half
only. A decision tree, a logistic regression (standardised, names one-hot) and gradient boosting are
scored by F1, G-mean (geometric mean of the two recalls) and average precision. "nothing" and "class
weights" are without a sampler; they and samplers that imbalanced-learn lacks have no other side.

What samplers are given: numbers scaled to 0..1, and names
  one-hot      to those that need numbers
  as they are  to SMOTENC, on tables with numbers and names
  alone        to SMOTEN, on tables with names

Where one side refuses a fold, neither is scored on it, and the fold is counted. So is one in which
BorderlineSMOTE finds no row in danger: imbalanced-learn leaves the class alone then.
"""

import argparse
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from harness import SIDES, parser, print_table, sampler_of, tables_of, theirs
from joblib import Parallel, delayed
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, recall_score
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

LARGER = ["adult", "bank_full", "mammography", "phoneme", "oil_spill", "satimage"]
MODELS = ("tree", "logistic", "boosting")
METRICS = ("F1", "G-mean", "AP")
MOST_ROWS, FEWEST, REPEATS, ITERATIONS = 4_000, 16, 5, 100


class Sampler(NamedTuple):
    """A class, what it is given, and the largest table it is tried on; None where there is none."""

    name: str | None
    options: dict[str, Any] = {}  # noqa: RUF012
    kind: str = "numbers"
    most: int = MOST_ROWS

    @property
    def sides(self) -> tuple[str, ...]:
        """Libraries that have it."""
        return SIDES if self.name and theirs(self.name) else SIDES[:1]


SAMPLERS = {
    "nothing": Sampler(None),
    "class weights": Sampler(None, {"class_weight": "balanced"}),
    "SMOTE": Sampler("SMOTE"),
    "BorderlineSMOTE-1": Sampler("BorderlineSMOTE", {"kind": "borderline-1"}),
    "BorderlineSMOTE-2": Sampler("BorderlineSMOTE", {"kind": "borderline-2"}),
    "ADASYN": Sampler("ADASYN"),
    "SVMSMOTE": Sampler("SVMSMOTE", most=2_000),
    "KMeansSMOTE": Sampler("KMeansSMOTE", {"cluster_balance_threshold": 0.1}),
    "SafeLevelSMOTE": Sampler("SafeLevelSMOTE"),
    "PolynomFitSMOTE": Sampler("PolynomFitSMOTE"),
    "MGS": Sampler("MGS", {"on_small_class": "copy"}),
    "GeometricSMOTE": Sampler("GeometricSMOTE"),
    "DistanceSMOTE": Sampler("DistanceSMOTE"),
    "ADOMS": Sampler("ADOMS"),
    "GSMOTE": Sampler("GSMOTE"),
    "RandomSMOTE": Sampler("RandomSMOTE"),
    "MDO": Sampler("MDO"),
    "RandomOverSampler": Sampler("RandomOverSampler"),
    "RandomUnderSampler": Sampler("RandomUnderSampler"),
    "SMOTENC": Sampler("SMOTENC", kind="mixed"),
    "SMOTEN": Sampler("SMOTEN", kind="names"),
}


class Task(NamedTuple):
    """A table, whose last column says whether a row is of the minority."""

    name: str
    table: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """Columns of names."""
        return list(self.table.columns[:-1][self.table.dtypes.iloc[:-1] == "category"])

    @property
    def numbers(self) -> list[str]:
        """Columns of numbers."""
        return list(self.table.columns[:-1][self.table.dtypes.iloc[:-1] != "category"])

    def suits(self, sampler: Sampler) -> bool:
        """Tell whether a sampler can be tried on the table."""
        if len(self.table) > sampler.most:
            return False
        if sampler.kind == "mixed":
            return bool(self.names and self.numbers)
        return sampler.kind == "numbers" or bool(self.names)


def binary(table: pd.DataFrame, target: str) -> pd.DataFrame | None:
    """The rarest class with enough rows against the rest, or None where that is no minority."""
    if len(table) > MOST_ROWS:
        table = table.sample(MOST_ROWS, random_state=0)
    counts = table[target].value_counts()
    rare = counts[counts >= FEWEST].idxmin()
    if 2 * counts[rare] > len(table):
        return None
    features = table.drop(columns=target).reset_index(drop=True)
    for column in features:
        kind = float if pd.api.types.is_numeric_dtype(features[column]) else "category"
        features[column] = features[column].astype(kind)
    return features.assign(rare=(table[target] == rare).to_numpy().astype(int))


def tasks(folder: Path, most: int | None) -> list[Task]:
    """The tables, `most` of them, the smallest first; say which are left out."""
    found, without = [], []
    for name, table, target in tables_of(folder, LARGER):
        made = binary(table, target)
        if made is None:
            without.append(name)
        else:
            found.append(Task(name, made))
    print(f"{len(found)} tables; no minority class of {FEWEST} rows in {', '.join(without)}")
    # A few of them should still be of all kinds.
    found.sort(key=lambda task: len(task.table))
    kinds = [[t for t in found if t.names], [t for t in found if not t.names]]
    mixed = [t for pair in zip(*kinds, strict=False) for t in pair]
    return [*mixed, *(t for t in found if t not in mixed)][:most] if most else found


def prepared(task: Task, kind: str, train: np.ndarray) -> tuple[Any, Any, Callable]:
    """All rows as the sampler is given them, and as the models are; and how one becomes the other.

    What is learnt for that, extremes and levels, is learnt from the training rows.
    """
    frame = task.table[task.names if kind == "names" else task.table.columns[:-1]].copy()
    numbers = [] if kind == "names" else task.numbers
    if numbers:
        scaled = MinMaxScaler().fit(frame.iloc[train][numbers])
        frame[numbers] = scaled.transform(frame[numbers])
    onehot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    encoder = ColumnTransformer([("names", onehot, task.names)], remainder="passthrough")
    matrix = encoder.fit(frame.iloc[train]).transform(frame)
    if kind == "numbers":
        return matrix, matrix, lambda given: given
    return frame, matrix, encoder.transform


def scores(X: Any, y: np.ndarray, X_test: Any, y_test: np.ndarray, **options: Any) -> np.ndarray:
    """Scores of the models with these options, trained on X, y; shape (models, metrics)."""
    tree = DecisionTreeClassifier(random_state=0, **options)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, **options))
    few = {"max_iter": ITERATIONS, "early_stopping": False}
    boosting = HistGradientBoostingClassifier(random_state=0, **few, **options)
    found = []
    for model in (tree, logistic, boosting):
        chance = model.fit(X, y).predict_proba(X_test)[:, 1]
        said = chance > 0.5
        recalls = recall_score(y_test, said, average=None)
        precision = average_precision_score(y_test, chance)
        found.append([f1_score(y_test, said), np.sqrt(recalls.prod()), precision])
    return np.array(found)


def compared(task: Task, name: str) -> tuple[np.ndarray, Counter]:
    """Mean scores on a table, shape (sides, models, metrics); and folds refused, by who and why."""
    sampler, refused, found = SAMPLERS[name], Counter(), []
    y = task.table["rare"].to_numpy()
    folds = RepeatedStratifiedKFold(n_splits=2, n_repeats=REPEATS, random_state=0)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.filterwarnings("ignore", "lbfgs failed to converge", ConvergenceWarning)
        for seed, (train, test) in enumerate(folds.split(y, y)):
            given, matrix, as_numbers = prepared(task, sampler.kind, train)
            part = given.iloc[train] if isinstance(given, pd.DataFrame) else given[train]
            if sampler.name is None:
                of_test = matrix[test], y[test]
                found.append([scores(matrix[train], y[train], *of_test, **sampler.options)])
                continue
            both = []
            for side in sampler.sides:
                options = {**sampler.options, "random_state": seed}
                if sampler.kind == "mixed":
                    options["categorical_features"] = task.names
                resampler = sampler_of(side, sampler.name, **options)
                try:
                    X, y_new = resampler.fit_resample(part, y[train])
                except (ValueError, RuntimeError) as error:
                    why = re.sub(r"[\d,.]+", "#", str(error).splitlines()[0])
                    refused[side, why[:80]] += 1
                else:
                    both.append((as_numbers(X), y_new))
            if len(both) == len(sampler.sides):
                found.append([scores(*made, matrix[test], y[test]) for made in both])
    refused["folds"] = 2 * REPEATS - len(found)
    return np.mean(found, axis=0) if found else np.full(
        (len(sampler.sides), len(MODELS), len(METRICS)), np.nan
    ), refused


def summary(name: str, means: np.ndarray) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Print and return the lines of a sampler; `means` has shape (tables, sides, models, metrics).

    The mean of a table is one pair: its folds are not independent.
    """
    lines, n = {}, len(means)
    for (m, model), (j, metric) in product(enumerate(MODELS), enumerate(METRICS)):
        ours, *others = means[:, :, m, j].T
        alone = not others
        less = ours - (np.nan if alone else others[0])
        error = float(less.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
        lines[name, model, metric] = {
            "tables": n,
            "dsmote": float(ours.mean()),
            "theirs": float("nan") if alone else float(others[0].mean()),
            "difference": float(less.mean()),
            "error": error,
            "within": bool(abs(less.mean()) <= 2 * error + 1e-12) if n > 1 and not alone else None,
        }
    print_table(
        [
            {
                "sampler": name,
                "model": model,
                "metric": metric,
                "tables": f"{n}",
                **{side: told(of[side], ".4f") for side in ("dsmote", "theirs")},
                "difference": told(of["difference"], "+.4f"),
                "s.e.": told(of["error"], ".4f"),
                "<= 2": {True: "yes", False: "NO", None: "-"}[of["within"]],
            }
            for (_, model, metric), of in lines.items()
        ]
    )
    return lines


def told(number: float, how: str) -> str:
    """Write a number, or that there is none."""
    return "-" if np.isnan(number) else format(number, how)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compare all, print the table, return its numbers."""
    given = tasks(args.data, args.tables)
    lines: dict[tuple[str, str, str], dict[str, Any]] = {}
    left_out: dict[str, Counter] = {}
    with Parallel(n_jobs=args.jobs) as parallel:
        for name in args.only or SAMPLERS:
            suited = [task for task in given if task.suits(SAMPLERS[name])]
            results = parallel(delayed(compared)(task, name) for task in suited)
            left_out[name] = sum((refused for _, refused in results), Counter())
            left_out[name]["of"] = 2 * REPEATS * len(suited)
            means = [mean for mean, _ in results if not np.isnan(mean).any()]
            if means:
                lines.update(summary(name, np.array(means)))
    print("\nfolds left out on both sides, and who refused why:")
    for name, counts in left_out.items():
        print(f"{name:<19}{counts['folds']:>5} of {counts['of']}")
        for key, times in counts.most_common():
            if isinstance(key, tuple):
                print(f"{'':<19}{times:>5} {key[0]}: {key[1]}")
    judged = [line["within"] for line in lines.values() if line["within"] is not None]
    print(
        f"\n{sum(judged)} of {len(judged)} differences are within 2 standard errors. A table's mean"
        "\nover its folds is one pair. Of pairs that differ by chance alone one line in twenty"
        "\nwould be beyond, and the lines of a sampler are not independent. KMeansSMOTE's exponent"
        "\n(the paper's) and ADASYN's counts (exact) differ from imbalanced-learn's on purpose."
    )
    return {"lines": lines, "left_out": left_out}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its numbers."""
    options = parser(__doc__, "data")
    options.add_argument("--only", choices=SAMPLERS, action="append", help="may be repeated")
    options.add_argument("--tables", type=int, help="so many of the tables, small ones")
    options.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    return run(options.parse_args(arguments))


if __name__ == "__main__":
    main()
