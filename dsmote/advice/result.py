"""What is said: one table of scores, what is named, and a job that does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd

from dsmote.advice import choice
from dsmote.advice.screen import FOLDS, NOTHING, UNDER, WEIGHTS, Candidate, Drawn, Held
from dsmote.plan.labels import visible

AP, F1 = "AP", "F1"
#: Below so many rows of the rare class nothing was measurably better than nothing.
ENOUGH = 60
#: The name of the regularised learner in tables.
CONTROL = "control"
#: What is said of all tables, measured by tests/benchmarks/advise.py.
MEASURED = (
    "Measured on 32 tables: a tuned threshold is what F1 gains from (+0.092 +- 0.015 over 0.5), "
    "and no resampling was measurably better than it. With 60 and more rows of the rare class "
    "resampling moved AP by 0.000 +- 0.000, SMOTE to equal classes by -0.008 +- 0.002; gains are "
    "found below 20 rows, and are noisy."
)


@dataclass(frozen=True)
class Advice:
    """What :func:`dsmote.advise` found. Print it.

    Attributes
    ----------
    table : DataFrame
        A row for each learner, metric and candidate: ``learner``, ``metric`` ("AP" or "F1"),
        ``method``, ``ratio`` (of the rare class to the others), ``score`` (mean of the folds),
        ``difference`` to nothing (paired by fold), its ``standard_error``, ``threshold`` (the best
        for F1) and ``named``. The learner ``control`` is a regularised one, without resampling.
    words : tuple of str
        What is named for each learner and metric.
    warnings : tuple of str
    rare : object
        The class that is to be found.
    rows, rare_rows : int
        Rows of the sample, and those of the rare class.
    counts : dict of label to int
        Rows of each class in the table.
    """

    table: pd.DataFrame
    words: tuple[str, ...]
    warnings: tuple[str, ...]
    rare: Any
    rows: int
    rare_rows: int
    counts: dict[Any, int]
    target: Any
    settings: dict[str, Any]  # seed, carry and categorical columns, the sampler of "smote"

    def __str__(self) -> str:
        return "\n".join(
            [
                *(self._head(), "", *self._lines(), "", *self.words, *self.warnings, ""),
                *wrap(MEASURED, 96),
            ]
        )

    def _head(self) -> str:
        total, share = sum(self.counts.values()), self.rare_rows / self.rows
        rest = "the other class" if len(self.counts) == 2 else f"{len(self.counts) - 1} others"
        return (
            f"{self.rows:,} of {total:,} rows, {self.rare_rows:,} of class {visible(self.rare)} "
            f"({share:.2%}) against {rest}; {FOLDS} folds"
        )

    def _lines(self) -> list[str]:
        """Return the table as text: a block for each learner, both metrics side by side."""
        lines = []
        for learner, of in self.table.groupby("learner", sort=False):
            head = f"{visible(learner):<28}"
            lines.append(
                f"{head}{AP:>8}{'differs':>9}{'+-':>8}{F1:>9}{'differs':>9}{'+-':>8}{'threshold':>11}"
            )
            for _, both in of.groupby(["method", "ratio"], sort=False):
                line = f"{_called(both['method'].iloc[0], both['ratio'].iloc[0]):<28}"
                for one in both.to_dict("records"):
                    line += f"{one['score']:>{8 if one['metric'] == AP else 9}.4f}"
                    known = one["method"] != NOTHING
                    line += (
                        f"{one['difference']:>+9.4f}{one['standard_error']:>8.4f}"
                        if known
                        else " " * 17
                    )
                line += f"{both['threshold'].iloc[0]:>11.4g}"
                lines.append(line + ("  <" if both["named"].any() else ""))
        return lines

    @property
    def named(self) -> pd.DataFrame:
        """The rows of the table that are named, the surest first; none, where nothing is."""
        found = self.table[self.table["named"]]
        sure = found["difference"] / found["standard_error"].clip(lower=1e-12)
        return found.loc[sure.sort_values(ascending=False, kind="stable").index]

    def job(self, input: str, output: str) -> dict[str, Any] | None:
        """Return the keys of a job that resamples as named; None where nothing that does is.

        Class weights are no job: they are a parameter of the learner.
        """
        found = self.named[self.named["method"] != WEIGHTS]
        if not len(found):
            return None
        best = found.iloc[0]
        params: dict[str, Any] = {
            "sampling_strategy": self._strategy(str(best["method"]), float(best["ratio"])),
            "random_state": self.settings["seed"],
        }
        sampler = self.settings["samplers"][best["method"]]
        # Only these have such parameters; SMOTEN takes every column as categories.
        has = {"carry": sampler != "random-under", "categorical": sampler == "smotenc"}
        named = {key: list(map(str, self.settings[key])) for key in has}
        params |= {key: names for key, names in named.items() if names and has[key]}
        job = {"input": input, "target": str(self.target), "output": output, "sampler": sampler}
        return {**job, "params": params}

    def _strategy(self, method: str, ratio: float) -> Any:
        """Return a ratio; of more than two classes, whose ratio is not one, their rows."""
        if len(self.counts) == 2:
            return ratio
        rest = {label: n for label, n in self.counts.items() if label != self.rare}
        total, rare = sum(rest.values()), self.counts[self.rare]
        if method == UNDER:
            return {str(label): max(1, int(n * rare / ratio / total)) for label, n in rest.items()}
        return {str(self.rare): int(ratio * total)}

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data that JSON can hold."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        return {
            "rows": self.rows,
            "rare_rows": self.rare_rows,
            "rare": self.rare if isinstance(self.rare, bool | int) else _finite(self.rare),
            "counts": {str(label): n for label, n in self.counts.items()},
            "seed": self.settings["seed"],
            "words": list(self.words),
            "warnings": list(self.warnings),
            "table": rows,
        }

    def figure(self) -> Any:
        """Return a matplotlib figure: how each candidate differs from nothing.

        It needs the extra ``report``.
        """
        check_figure()
        from matplotlib.figure import Figure

        table = self.table[self.table["learner"] != CONTROL]
        learners = list(dict.fromkeys(table["learner"]))
        n = max(len(of) for _, of in table.groupby(["learner", "metric"]))
        figure = Figure(figsize=(9, 1 + len(learners) * (0.6 + 0.2 * n)), layout="constrained")
        axes = figure.subplots(len(learners), 2, squeeze=False, sharex="col")
        for learner, row in zip(learners, axes, strict=True):
            for metric, axis in zip((AP, F1), row, strict=True):
                of = table[(table["learner"] == learner) & (table["metric"] == metric)]
                places = np.arange(len(of))[::-1]
                colours = np.where(of["named"], "#c8500a", "#0067a8")
                axis.axvline(0, color="#9aa1aa", linewidth=1)
                axis.hlines(
                    places,
                    of["difference"] - choice.STANDARD_ERRORS * of["standard_error"],
                    of["difference"] + choice.STANDARD_ERRORS * of["standard_error"],
                    colors=colours,
                )
                axis.scatter(of["difference"], places, c=colours, s=16, zorder=3)
                names = map(_called, of["method"], of["ratio"])
                axis.set_yticks(places, list(names) if metric == AP else [""] * len(of))
                nothing = of["score"].iloc[0]
                axis.set_title(
                    f"{visible(learner)}: {metric} ({nothing:.3f} of nothing)", fontsize=9
                )
                axis.tick_params(labelsize=8)
        for axis in axes[-1]:
            axis.set_xlabel("difference to nothing, two standard errors", fontsize=8)
        return figure


def check_figure() -> None:
    """Raise, before any work starts, if no figure could be drawn."""
    if find_spec("matplotlib") is None:
        raise ImportError(
            "the figure needs matplotlib, which is not installed: pip install "
            '"dsmote[report]", or ask for advice without a figure'
        )


def _finite(label: Any) -> float | str:
    """Return a label as JSON has it: as text, unless it is a number there."""
    return label if isinstance(label, float) and np.isfinite(label) else str(label)


def _called(method: str, ratio: float) -> str:
    return method if method == NOTHING else f"{method}, ratio {ratio:g}"


def judged(
    drawn: Drawn,
    every: Sequence[Candidate],
    learners: Sequence[str],
    held: Held,
    truths: Sequence[np.ndarray],
) -> Advice:
    """Score what was held out, choose, and say so."""
    rows: list[dict[str, Any]] = []
    said: list[str] = []
    weights, scores = list[str](), dict[tuple[str, str], np.ndarray]()
    for learner in learners:
        there = [c for c in every if (learner, c) in held]
        weights += [learner] if every[-1] in there and len(there) < len(every) else []
        thresholds = [
            choice.best_threshold(np.concatenate(truths), np.concatenate(held[learner, c]))
            for c in there
        ]
        for metric in (AP, F1):
            found = np.array([_scored(metric, truths, held[learner, c]) for c in there])
            named = choice.choose(found, [c.method for c in there])
            gains = found - found[0]
            errors = choice.standard_error(gains)
            scores[learner, metric] = found[named]
            for i, c in enumerate(there):
                rows.append(
                    {
                        "learner": learner,
                        "metric": metric,
                        "method": c.method,
                        "ratio": c.ratio,
                        "score": float(found[i].mean()),
                        "difference": float(gains[i].mean()),
                        "standard_error": float(errors[i]),
                        "threshold": thresholds[i],
                        "named": i == named != 0,
                    }
                )
            if learner == CONTROL:
                continue
            said.append(
                f"{visible(learner)}, {metric}: " + _named(rows[len(rows) - len(there) + named])
            )
            if metric == F1:
                said[-1] += f"; threshold {thresholds[named]:.4g}"
                said[-1] += _at_half(truths, held[learner, every[0]], found[0].mean())
    said += _controls(rows, scores)
    return Advice(
        table=pd.DataFrame(rows),
        words=tuple(said),
        warnings=tuple(_warnings(drawn, every, weights)),
        rare=drawn.rare,
        rows=len(drawn.sample.y),
        rare_rows=int(drawn.sample.y.sum()),
        counts=drawn.counts,
        target=drawn.target,
        settings={
            "seed": drawn.seed,
            "carry": list(drawn.carry),
            "categorical": list(drawn.categorical),
            "samplers": {
                c.method: c.sampler(drawn.sample.nominal)
                for c in every
                if c.method not in (NOTHING, WEIGHTS)
            },
        },
    )


def _scored(metric: str, truths: Sequence[np.ndarray], held: Sequence[np.ndarray]) -> np.ndarray:
    if metric == F1:
        return choice.tuned_f1(truths, held)
    return np.array([choice.average_precision(y, s) for y, s in zip(truths, held, strict=True)])


def _named(row: Mapping[str, Any]) -> str:
    if not row["named"]:
        return "nothing is as good"
    called = _called(row["method"], row["ratio"])
    gain = f"{row['difference']:+.4f} +- {row['standard_error']:.4f} over nothing"
    if row["method"] == WEIGHTS:
        called += " (class_weight of the learner)"
    return f"{called}, {gain}"


def _at_half(truths: Sequence[np.ndarray], held: Sequence[np.ndarray], tuned: float) -> str:
    """Say what the threshold alone gains; scores that are no probabilities have no half."""
    if min(map(np.min, held)) < 0 or max(map(np.max, held)) > 1:
        return ""
    at_half = np.mean([choice.f1(y, s, 0.5) for y, s in zip(truths, held, strict=True)])
    return f" (F1 of nothing: {tuned:.4f} with its threshold tuned, {at_half:.4f} at 0.5)"


def _controls(rows: Sequence[Mapping[str, Any]], scores: Mapping[Any, np.ndarray]) -> list[str]:
    """Compare what is named with a regularised learner that got nothing resampled."""
    said = []
    for row in rows:
        if not row["named"]:
            continue
        learner, metric = row["learner"], row["metric"]
        over = scores[CONTROL, metric] - scores[learner, metric]
        error = float(choice.standard_error(over))
        text = (
            f"control for {visible(learner)}, {metric}: a regularised learner without resampling "
        )
        text += f"differs from it by {over.mean():+.4f} +- {error:.4f}"
        if over.mean() + error >= 0:
            text += ", so it is as good: the gain may be that of a learner that over-fits"
        said.append(text)
    return said


def _warnings(drawn: Drawn, every: Sequence[Candidate], weights: Sequence[str]) -> list[str]:
    few, said = int(drawn.sample.y.sum()), []
    if few < ENOUGH:
        said.append(
            f"Warning: {few:,} rows of class {visible(drawn.rare)} are few; below {ENOUGH} no "
            "choice was measurably better than nothing"
        )
    if len(drawn.counts) > 2:
        said.append(
            f"Warning: the target has {len(drawn.counts):,} classes; the rarest, "
            f"{visible(drawn.rare)}, is compared with all others together"
        )
    if len(every) == 1:
        said.append("Warning: the classes are balanced; there is no ratio to try")
    said += [f"Warning: {name} takes no weights: class weights are left out" for name in weights]
    return said
