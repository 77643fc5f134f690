"""What the pictures of the gallery share: a table in a plane, and how it is drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import make_classification

#: Of the rarest class, the other rare one, the majority. Told apart by colour-blind people, too.
COLOURS = {0: "#d55e00", 1: "#0072b2", 2: "#b3b9c1"}


def table(rows=5_000, weights=(0.01, 0.05, 0.94), levels=(), seed=0):
    """Return the table of imbalanced-learn's comparison of over-samplers: X, shape (n, 2), and y.

    Parameters
    ----------
    levels
        Columns that are cut into levels, and are categorical.
    """
    X, y = make_classification(
        n_samples=rows,
        n_features=2,
        n_informative=2,
        n_redundant=0,
        n_classes=len(weights),
        n_clusters_per_class=1,
        weights=list(weights),
        class_sep=0.8,
        random_state=seed,
    )
    frame = pd.DataFrame(X, columns=["x1", "x2"])
    for column in levels:
        name = frame.columns[column]
        frame[name] = (frame[name] * 2).round().astype(int).astype("category")
    return (frame if len(levels) else X), y


def places(X, rng):
    """Return where rows are drawn: levels are spread a little, so that rows are seen."""
    frame = pd.DataFrame(X)
    shown = frame.astype(float).to_numpy()
    for column, dtype in enumerate(frame.dtypes):
        if isinstance(dtype, pd.CategoricalDtype):
            shown[:, column] += rng.uniform(-0.3, 0.3, len(shown))
    return shown


def changed(X, y, X_res, y_res):
    """Return which rows of the input are gone, and which of the output are new."""
    before, after = (
        pd.DataFrame(np.asarray(X_, dtype=float), columns=["a", "b"]).assign(y=y_)
        for X_, y_ in ((X, y), (X_res, y_res))
    )
    for frame in (before, after):
        frame["copy"] = frame.groupby(["a", "b", "y"]).cumcount()
    keys = pd.MultiIndex.from_frame
    return ~keys(before).isin(keys(after)), ~keys(after).isin(keys(before))


def scatter(axis, X, y, size, **how):
    """Draw rows, the largest class first."""
    for label in sorted(np.unique(y), reverse=True):
        of = y == label
        axis.scatter(X[of, 0], X[of, 1], s=size, c=COLOURS[label], linewidths=0, **how)


def after(axis, X, y, X_res, y_res, title):
    """Draw what a sampler returned: new rows as small points, rows that are gone as crosses."""
    y, y_res = np.asarray(y), np.asarray(y_res)
    gone, new = changed(X, y, X_res, y_res)
    rng = np.random.default_rng(0)
    shown, shown_res = places(X, rng), places(X_res, rng)
    few = gone.mean() < 0.15  # those are to be found; many are only to be told from those that stay
    colour = "#24292f" if few else "#d9dce0"
    axis.scatter(*shown[gone].T, s=9, c=colour, marker="x", linewidths=0.6, zorder=3 if few else 1)
    scatter(axis, shown_res[~new], y_res[~new], 9, zorder=2)
    scatter(axis, shown_res[new], y_res[new], 3, alpha=0.5, zorder=2)
    counts = f"{new.sum():,} new, {gone.sum():,} gone"
    axis.set_title(f"{title}\n{counts}", fontsize=10)


def axes(n, height=3.6):
    """Return axes beside one another, with one frame for all."""
    _, found = plt.subplots(
        1, n, figsize=(3.3 * n, height), sharex=True, sharey=True, layout="constrained"
    )
    for axis in np.atleast_1d(found):
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[["top", "right", "left", "bottom"]].set_color("#c8ccd1")
    return np.atleast_1d(found)


def draw(X, y, X_res, y_res, title):
    """Draw a table before and after."""
    left, right = axes(2)
    y = np.asarray(y)
    scatter(left, places(X, np.random.default_rng(0)), y, 9)
    counts = " / ".join(f"{n:,}" for n in np.bincount(y))
    left.set_title(f"before\n{counts} rows", fontsize=10)
    after(right, X, y, X_res, y_res, title)


def compare(X, y, results, height=3.6):
    """Draw what several samplers made of one table: titles, and pairs of X_res and y_res."""
    for axis, (title, (X_res, y_res)) in zip(
        axes(len(results), height), results.items(), strict=True
    ):
        after(axis, X, y, X_res, y_res, title)
