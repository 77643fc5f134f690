"""Draw the figure of the first screen, light and dark: python docs/first_figure.py

Left two classes in a plane before and after SMOTE, right seconds and memory, read from what the
benchmarks printed (docs/benchmarks). Text stays text in the SVG: the tests compare its numbers.
"""

import re
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification

from dsmote import SMOTE

HERE = Path(__file__).parent
FIGURES = HERE / "figures"
THEMES = {
    "light": {"text": "#1f2328", "many": "#9aa4af", "few": "#d55e00", "us": "#0072b2"},
    "dark": {"text": "#e6edf3", "many": "#7d8590", "few": "#ff9a4d", "us": "#58a6ff"},
}


TITLES = {
    "smote": "SMOTE in memory: 381,109 rows, 287,689 new",
    "smotenc": "SMOTENC in memory: the same, mixed columns",
    "files": "Parquet to Parquet: 10,000,000 rows, 9,600,000 new",
}


def found(file, pattern):
    """Return the numbers that a pattern finds in what a benchmark printed."""
    text = (HERE / "benchmarks" / file).read_text(encoding="utf-8")
    return [float(n.replace(",", "")) for n in re.search(pattern, text, re.M).groups()]


def numbers():
    """Return name, seconds and memory or machine of each bar, in three groups."""
    line = r"^{}: SMOTE[\s\S]*?^ *{} +[\d,]+ +\S+ +([\d.]+) +([\d,]+)$"
    groups = {}
    for case in ("smote", "smotenc"):
        sides = {
            side: found("in_memory.txt", line.format(case, side))
            for side in ("dsmote", "imbalanced-learn")
        }
        groups[case] = [(side, took, f"{mib:,.0f} MiB") for side, (took, mib) in sides.items()]
    (ours,) = found("out_of_core.txt", r"^ *dsmote resample +([\d.]+)")
    (copy,) = found("out_of_core.txt", r"^ *plain copy +([\d.]+)")
    peaks = found("out_of_core.txt", r"run 1: peaks ([\d,]+), ([\d,]+)")
    few, many = found("published.txt", r"^Approx-SMOTE +([\d.]+) .* ([\d.]+)$")
    groups["files"] = [
        ("dsmote", ours, f"2 workers, 2 cores, {max(peaks):,.0f} MiB each"),
        ("plain copy (Dask)", copy, "2 workers, 2 cores"),
        ("Approx-SMOTE*", many, "10 workers, 28 vCPU"),
        ("Approx-SMOTE*", few, "2 workers, 12 vCPU"),
    ]
    return groups


def bars(axis, lines, title, colours):
    """Draw bars with their numbers; what was not measured here is an outline."""
    axis.set_title(title, loc="left", fontsize=9.5, color=colours["text"])
    longest = max(seconds for _, seconds, _ in lines)
    for place, (name, seconds, memory) in enumerate(lines):
        ours, published = name == "dsmote", name.endswith("*")
        colour = colours["us"] if ours else colours["many"]
        face = "none" if published else colour
        axis.barh(place, seconds, height=0.66, facecolor=face, edgecolor=colour, linewidth=1)
        shown = f"{seconds:.1f} s, {memory}"
        inside = seconds > 0.6 * longest and not published and len(shown) < 20
        axis.text(
            seconds + (-1 if inside else 1) * 0.015 * longest,
            place,
            shown,
            va="center",
            ha="right" if inside else "left",
            color="white" if inside else colours["text"],
            fontsize=8.5,
            fontweight="bold" if ours else "normal",
        )
    axis.set_yticks(range(len(lines)), [name for name, *_ in lines], fontsize=9)
    axis.set_xlim(0, 1.62 * longest)
    axis.set_xticks([])
    axis.invert_yaxis()
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0, colors=colours["text"])


def plane(axis, X, y, new, title, colours):
    """Draw rows, the new ones as small points."""
    for label, colour in ((0, colours["many"]), (1, colours["few"])):
        of = (y == label) & ~new
        axis.scatter(*X[of].T, s=7, c=colour, linewidths=0, alpha=0.9)
    axis.scatter(*X[new].T, s=2.5, c=colours["few"], linewidths=0, alpha=0.8)
    axis.set_title(title, loc="left", fontsize=9.5, color=colours["text"])
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_color(colours["many"])
    axis.spines[:].set_linewidth(0.5)


def draw(theme, colours):
    """Draw the figure in one theme."""
    X, y = make_classification(
        n_samples=400, n_features=2, n_redundant=0, n_clusters_per_class=1, weights=[0.94],
        class_sep=0.9, flip_y=0, random_state=3,
    )  # fmt: skip
    X_res, y_res = SMOTE(random_state=0).fit_resample(X, y)
    X_res = np.round(X_res, 2)
    figure = plt.figure(figsize=(10.4, 3.5), layout="constrained")
    grid = figure.add_gridspec(3, 3, width_ratios=[1, 1, 2.1], height_ratios=[1, 1, 1.7])
    before, after = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[:, 1])
    new = np.arange(len(y_res)) >= len(y)
    plane(
        before,
        X.round(2),
        y,
        new[: len(y)],
        f"before: {(y == 0).sum()} and {(y == 1).sum()} rows",
        colours,
    )
    plane(
        after,
        X_res,
        y_res,
        new,
        f"after SMOTE: {(y_res == 0).sum()} and {(y_res == 1).sum()}",
        colours,
    )
    for place, (case, lines) in enumerate(numbers().items()):
        bars(figure.add_subplot(grid[place, 2]), lines, TITLES[case], colours)
    figure.text(
        0.995, 0.0, "* as published, of 2.9 to 7.3 million rows of other data, on other machines",
        ha="right", va="bottom", fontsize=7.5, color=colours["text"],
    )  # fmt: skip
    figure.get_layout_engine().set(rect=(0, 0.05, 1, 0.95))
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / f"first-{theme}.svg", transparent=True, metadata={"Date": None})
    plt.close(figure)


def main():
    """Draw both."""
    mpl.use("Agg")
    # Viewers have a font of their own; the same file each time.
    mpl.rcParams.update(
        {"svg.fonttype": "none", "svg.hashsalt": "dsmote", "font.family": "sans-serif"}
    )
    for theme, colours in THEMES.items():
        draw(theme, colours)


if __name__ == "__main__":
    main()
