"""What the report says, in numbers and words, against what is computed here by other means."""

from __future__ import annotations

import re
from itertools import product
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp

from dsmote import SMOTE, SMOTENC, RandomOverSampler, RandomUnderSampler
from dsmote.job.report import Sample, Sampling, Shown, report_html, sampling_for
from dsmote.job.report.axis import axis_of
from dsmote.job.report.class_words import departing
from dsmote.job.report.columns import as_names, clean
from dsmote.job.report.compare import (
    Compared,
    Levels,
    compare_columns,
    distances,
    histogram,
)
from dsmote.job.report.figures import bars_figure, levels_figure, scatter_figure
from dsmote.job.report.projection import Projection, project_rows
from dsmote.job.report.sample import detailed_ranks
from dsmote.job.report.sections import _others, balance_of, workers_of
from tests.conftest import ROOT
from tests.job.test_report import checked, manifest_of, numeric, page_of, resampled

RARE, USUAL = 1, 0


def sample(rank: int, numbers: Any, names: Any = ()) -> Sample:
    """Rows of one class, columns given one by one."""
    columns = [np.asarray(column, dtype=float) for column in numbers]
    words = [np.asarray(column, dtype=object) for column in names]
    n = len([*columns, *words][0])
    return Sample(
        np.full(n, rank),
        np.column_stack(columns) if columns else np.empty((n, 0)),
        np.column_stack(words) if words else np.empty((n, 0), dtype=object),
    )


def balanced(before: dict[Any, int], after: dict[Any, int], **changes: Any) -> str:
    """The page of a plan that is no more than counts."""
    sampler = SMOTE(random_state=0, k_neighbors=1)
    frame = numeric(40)
    sampling, old, new, plan = resampled(sampler, frame)
    counts = [
        {"label": label, "before": n, "new": max(0, after[label] - n), "after": after[label]}
        for label, n in before.items()
    ]
    manifest = manifest_of(plan, classes=counts, neighbors=[], **changes)
    return checked(report_html(manifest, plan, sampling, old, new)).text


@pytest.mark.parametrize(("before", "after"), [*product([(900, 100), (70, 30)], [0.5, 0.2, 1.5])])
def test_predicted_odds_are_corrected_to_those_of_before(
    before: tuple[int, int], after: float
) -> None:
    """A model that knows only the classes' shares predicts, after correction, the true share."""
    usual, rare = before
    grown = round(usual * after) if round(usual * after) > rare else rare + 1
    text = balanced({0: usual, 1: rare}, {0: usual, 1: grown})
    found = re.search(
        r"odds p / \(1 - p\) of this class by ([\d.]+): the score 0.5 .*? ([\d.]+) %", text
    )
    assert found is not None
    factor, half = float(found.group(1)), float(found.group(2)) / 100
    predicted = grown / (grown + usual)
    odds = predicted / (1 - predicted) * factor
    assert odds / (1 + odds) == pytest.approx(rare / (rare + usual), rel=1e-3)
    assert half == pytest.approx(factor / (1 + factor), rel=1e-3)


def test_correction_for_many_classes_gives_the_shares_of_before() -> None:
    before, after = {"a": 700, "b": 250, "c": 50}, {"a": 700, "b": 700, "c": 300}
    assert "by its share before, divided by its share after, and divide by the sum" in balanced(
        before, after
    )
    n, m = sum(before.values()), sum(after.values())
    right = {k: after[k] / m * (before[k] / n) / (after[k] / m) for k in before}
    assert right == pytest.approx({k: v / n for k, v in before.items()})


def test_same_shares_need_no_correction() -> None:
    text = balanced({0: 300, 1: 100}, {0: 600, 1: 200})
    assert "there is nothing to correct" in text
    assert "multiply" not in text


def test_distances_are_those_of_every_pair() -> None:
    rng = np.random.default_rng(0)
    old = sample(
        RARE,
        [rng.normal(5, 100, 70), rng.exponential(size=70)],
        [rng.choice(list("abc"), 70), rng.choice(list("xy"), 70)],
    )
    new = sample(
        RARE,
        [rng.normal(5, 100, 30), rng.exponential(size=30)],
        [rng.choice(list("abcd"), 30), rng.choice(list("xy"), 30)],
    )

    def coordinates(some: Sample) -> np.ndarray:
        # Names that differ are the square root of 1/2 apart in each of two columns: 1 in all.
        marks = [(some.names == level) * 0.5**0.5 for level in "abcdxy"]
        scaled = (some.numbers - old.numbers.mean(axis=0)) / old.numbers.std(axis=0)
        return np.hstack([scaled, *marks])

    among = cdist(coordinates(old), coordinates(old))
    np.fill_diagonal(among, np.inf)
    found = distances(old, new)
    assert found is not None
    np.testing.assert_allclose(found.old, among.min(axis=1))
    np.testing.assert_allclose(found.new, cdist(coordinates(new), coordinates(old)).min(axis=1))
    assert found.usual == pytest.approx(np.median(among.min(axis=1)))
    assert found.ratio == pytest.approx(np.median(found.new) / np.median(found.old))
    within = (found.old <= 0.3 * found.usual).mean()
    assert 0 < within < 1
    assert found.share_within(0.3, of_new=False) == pytest.approx(within)


def test_distances_of_the_page_are_to_rows_of_the_class() -> None:
    """The other class lies where the new rows do, and its own class does not."""
    frame = numeric(400)
    sampling, old, new, plan = resampled(SMOTE(random_state=0), frame)
    moved = Sample(old.ranks, old.numbers.copy(), old.names)
    moved.numbers[np.flatnonzero(old.ranks == USUAL)[: len(new)]] = new.numbers
    text = checked(report_html(manifest_of(plan), plan, sampling, moved, new)).text
    found = distances(old.rows(old.ranks == RARE), new)
    assert found is not None
    assert f"typically {found.ratio:.2f} times as far from its nearest original" in text
    assert 0.1 < found.ratio < 1


@pytest.mark.parametrize("seed", range(6))
def test_differences_are_those_of_the_literature(seed: int) -> None:
    rng = np.random.default_rng(seed)
    decimals = 1 if seed % 2 else 9  # with ties, and without
    a, b = rng.normal(size=80).round(decimals), rng.normal(0.5, 1, 50).round(decimals)
    names_a, names_b = rng.choice(list("abc"), 80), rng.choice(list("bcd"), 50)
    columns = (Shown("x", "float"), Shown("t", "nominal"))
    x, t = compare_columns(columns, sample(1, [a], [names_a]), sample(1, [b], [names_b]))
    assert x.difference == pytest.approx(ks_2samp(a, b).statistic)
    shares = [pd.Series(n).value_counts(normalize=True) for n in (names_a, names_b)]
    apart = shares[0].sub(shares[1], fill_value=0).abs().sum() / 2
    assert t.difference == pytest.approx(apart)
    told: Any = t.what
    for name, before, after in zip(told.names, told.old, told.new, strict=True):
        assert before == pytest.approx(shares[0].get(name, 0))
        assert after == pytest.approx(shares[1].get(name, 0))
    assert (told.n_old, told.n_new) == (3, 3)


def bars(svg: str) -> dict[str, list[tuple[float, float, float]]]:
    """Left, width and height of the bars of a figure."""
    found: dict[str, list[tuple[float, float, float]]] = {"old": [], "new": []}
    for rect in ElementTree.fromstring(svg).iter("rect"):
        of = [float(rect.attrib[name]) for name in ("x", "width", "height")]
        found[rect.attrib["class"]].append((of[0], of[1], of[2]))
    return found


@pytest.mark.parametrize("kind", ["float", "int", "heavy"])
def test_bars_stand_where_the_values_are(kind: str) -> None:
    """Read back from the drawing: a bar is as tall as its bin is full, and stands there."""
    rng = np.random.default_rng(0)
    old, new = rng.normal(10, 3, 400), rng.normal(12, 3, 300)
    if kind == "int":
        old, new = rng.integers(0, 9, 400).astype(float), rng.integers(3, 12, 300).astype(float)
    if kind == "heavy":
        old, new = (old - 10) ** 9, (new - 10) ** 9
    axis = axis_of([old, new], "int" if kind == "int" else "float")
    assert axis.compressed == (kind == "heavy")
    shares = [histogram(axis, values) for values in (old, new)]
    for values, (inside, beyond) in zip((old, new), shares, strict=True):
        assert inside.sum() + beyond == pytest.approx(1)
        assert beyond < 0.011
        places = axis.place(values)
        for share, low, high in zip(inside, axis.edges[:-1], axis.edges[1:], strict=True):
            last = high == axis.edges[-1]
            there = (places >= low) & ((places <= high) if last else (places < high))
            assert share == pytest.approx(there.mean())
    # What lies beyond the axis is what lies outside of its ends, and not what was dropped.
    outside = (axis.place(old) < axis.edges[0]) | (axis.place(old) > axis.edges[-1])
    assert shares[0][1] == pytest.approx(outside.mean())

    svg = bars_figure(axis, shares[0][0], shares[1][0], "t", "d", "k")
    drawn = bars(svg)
    ticks = re.findall(r'<line x1="([\d.]+)" y1="118" x2="\1" y2="121"', svg)
    inside_ticks = [(at, text) for at, text in axis.ticks if axis.edges[0] <= at <= axis.edges[-1]]
    assert len(ticks) == len(inside_ticks)
    # The scale of the drawing is that of two ticks; a pair of bars meets in the middle of its bin.
    (first, second), (a, b) = [at for at, _ in inside_ticks][:2], [float(x) for x in ticks[:2]]
    scale = (b - a) / (second - first)
    middles = a + scale * ((axis.edges[:-1] + axis.edges[1:]) / 2 - first)
    tallest = max(shares[0][0].max(), shares[1][0].max())
    for of, (inside, _), edge in (("old", shares[0], 1), ("new", shares[1], 0)):
        there = np.flatnonzero(inside)
        assert len(drawn[of]) == len(there)
        for (left, width, height), place in zip(drawn[of], there, strict=True):
            assert left + edge * width == pytest.approx(middles[place], abs=0.2)
            assert height == pytest.approx(max(0.75, inside[place] / tallest * 110), abs=0.01)


@pytest.mark.parametrize(
    ("low", "high", "at_zero"),
    [(100, 2_900, False), (100, 3_100, True), (-2_900, -100, False), (-100, 2_900, True)],
)
def test_a_compressed_axis_is_fine_where_the_values_are(low: int, high: int, at_zero: bool) -> None:
    """Around 0 where it reaches so far, else around the median: there a step is the longest."""
    middle = (500 if high > 0 else -500) + np.linspace(0, 1, 941)
    axis = axis_of([np.concatenate([np.full(30, low), middle, np.full(30, high)])], "float")
    assert axis.compressed
    centre = 0.0 if at_zero else float(middle[470])
    assert axis_place(axis, centre) == 0
    assert axis_place(axis, centre + 7) == pytest.approx(-axis_place(axis, centre - 7), rel=1e-9)
    assert axis_place(axis, centre + 7) > 0


def test_ticks_say_which_value_stands_there() -> None:
    axis = axis_of([np.linspace(-3, 17, 500)], "float")
    for at, text in axis.ticks:
        assert float(text) == at
    far = axis_of([np.concatenate([np.linspace(0, 5, 500), [1e7, -1e5, 1e6] * 3])], "float")
    assert far.compressed
    for at, text in far.ticks:
        assert axis_place(far, float(text.replace(",", ""))) == pytest.approx(at)
    assert len(far.ticks) > 1


def axis_place(axis: Any, value: float) -> float:
    return float(axis.place(np.array([value]))[0])


def test_page_compares_old_with_new_and_not_the_other_way_round() -> None:
    """Medians, bars, true and false, and names, each on its own side."""
    sampling, old, new, plan = resampled(SMOTE(random_state=0), numeric(240))
    own = old.ranks == RARE
    n = int(own.sum())
    columns = (Shown("x", "float"), Shown("flag", "bool"), Shown("text", "nominal"))
    before = Sample(
        old.ranks,
        np.column_stack([np.arange(240.0), np.arange(240) % 4 == 0]).astype(float),
        np.full((240, 1), "red", dtype=object),
    )
    before.numbers[np.flatnonzero(own)] = [[3.0, 1.0], [5.0, 1.0], *[[7.0, 0.0]] * (n - 2)]
    after = Sample(
        new.ranks,
        np.tile([11.5, 0.0], (len(new), 1)),
        np.full((len(new), 1), "blue", dtype=object),
    )
    after.numbers[0] = [12.0, 1.0]
    shown = type(sampling)(0, "y", columns, (0, 1), (1.0, 1.0), (0.0, 1.0))
    html = report_html(manifest_of(plan), plan, shown, before, after)
    text = checked(html).text
    assert "median 7 → 11.5" in text
    k = len(new)
    assert f">{100 * 2 / n:.1f} % → {100 / k:.1f} %</text>" in html  # true
    assert f">{100 * (n - 2) / n:.1f} % → {100 * (k - 1) / k:.1f} %</text>" in html  # false
    assert ">100.0 % → 0 %</text>" in html  # red
    assert ">0 % → 100.0 %</text>" in html  # blue
    drawn = bars(re.findall(r"<svg viewBox.*?</svg>", html.split("<h4")[1])[0])
    assert max(left for left, _, _ in drawn["old"]) < min(left for left, _, _ in drawn["new"])


def test_projection_keeps_the_kinds_apart_and_tells_the_variance() -> None:
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(3, 5))
    others = sample(USUAL, list((rng.normal(size=(900, 3)) @ basis).T))
    old = sample(RARE, list((rng.normal(size=(900, 3)) @ basis + 1).T))
    new = sample(RARE, [old.numbers[:, j] + 40 for j in range(5)])
    found = project_rows(others, old, new)
    assert found is not None
    assert (len(found.others), len(found.old), len(found.new)) == (900, 900, 900)
    # As many of either kind: plain principal components, but for the cut of the far values.
    both = np.vstack([others.numbers, old.numbers])
    ends = [np.quantile(part, [0.005, 0.995], axis=0) for part in (others.numbers, old.numbers)]
    cut = np.clip(both, np.minimum(*[e[0] for e in ends]), np.maximum(*[e[1] for e in ends]))
    values = np.linalg.eigvalsh(np.corrcoef(cut.T))[::-1]
    assert found.explained == pytest.approx(tuple(values[:2] / values.sum()), abs=1e-6)
    # New rows are far out, and the originals are not.
    assert np.linalg.norm(found.new.mean(axis=0)) > 4 * np.linalg.norm(found.old.mean(axis=0))
    assert np.linalg.norm(found.old.mean(axis=0) - found.others.mean(axis=0)) > 0.5


def test_copies_are_copies_also_where_not_all_originals_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dsmote.job.report.sample.OWN_ROWS", 400)
    monkeypatch.setattr("dsmote.job.report.sample.NEW_ROWS", 300)
    page = checked(page_of(RandomOverSampler(random_state=0), numeric(6_000)))
    assert "In class 1 all new rows are copies of originals, as intended" in page.text
    found = re.search(
        r"New rows are copies: (\d+\.\d) % lie at the place of one of the (\d+) originals looked "
        r"at\. The others are copies of those that were not\.",
        page.text,
    )
    assert found is not None
    assert 300 < int(found.group(2)) < 500
    assert float(found.group(1)) == pytest.approx(100 * int(found.group(2)) / 1_000, abs=8)
    assert "typically" not in page.text


def test_a_class_too_small_for_neighbours_is_said_to_be_copied() -> None:
    frame = numeric(60).assign(y=(np.arange(60) % 20 == 0) * 1)
    page = checked(page_of(SMOTE(random_state=0, on_small_class="copy"), frame))
    assert "In class 1 all new rows are copies of originals, as intended" in page.text
    assert "New rows are copies: 100.0 % lie at the place of an original" in page.text


def test_smoothed_copies_are_not_called_copies_or_rows_between() -> None:
    changes = {"parameters": {"shrinkage": 0.3}}
    page = checked(
        page_of(RandomOverSampler(random_state=0, shrinkage=0.3), numeric(600), **changes)
    )
    assert "A new row is typically" in page.text
    assert "as intended" not in page.text
    assert "between two originals" not in page.text


def test_many_near_rows_are_not_called_few() -> None:
    """A third of the originals have an equal, and so of the rows between them."""
    frame = numeric(900)
    twins = frame[frame["y"] == 1].iloc[:30]
    page = checked(page_of(SMOTE(random_state=0, k_neighbors=1), pd.concat([frame, twins])))
    found = re.search(
        r"([\d.]+) % are practically copies.*?among themselves: ([\d.]+) %", page.text
    )
    assert found is not None
    assert float(found.group(2)) > 20
    assert "little" not in page.text


@pytest.mark.parametrize("jitter", [0.0, 1e-8])
@pytest.mark.parametrize("times", [1, 20])
def test_rows_that_nearly_all_equal_originals_are_said_to(times: int, jitter: float) -> None:
    """Whether the originals are all different or nearly all duplicates themselves."""
    frame = numeric(2_000)
    few = frame[frame["y"] == 1].iloc[: 400 // times]
    many = pd.concat([few] * times + [frame[frame["y"] == 0]], ignore_index=True)
    many["a"] += jitter * np.random.default_rng(0).normal(size=len(many))
    page = checked(page_of(SMOTE(random_state=0), many))
    found = re.search(
        r"Near copies\. +In class 1 ([\d.]+) % of the new rows lie at practically the same place",
        page.text,
    )
    assert (found is not None) == (times > 1)
    if found is not None:
        assert float(found.group(1)) > 95
        assert "drop duplicates before resampling" in page.text


def test_what_the_plan_guessed_is_not_said_where_it_was_measured() -> None:
    frame = numeric(60_000).assign(y=np.arange(60_000) % 3 == 0)
    sampler = SMOTE(random_state=0, k_neighbors=1)
    page = checked(page_of(sampler, frame))
    assert any("rule of thumb" in warning for warning in sampler.plan_.warnings)
    assert "practically copies" in page.text  # as measured
    assert "rule of thumb" not in page.text
    sampling, old, new, plan = resampled(sampler, frame)
    none = new.rows(np.zeros(len(new), dtype=bool))
    html = report_html(manifest_of(plan), plan, sampling, old, none)
    assert "rule of thumb" in html


def test_what_is_alike_in_several_classes_is_said_once() -> None:
    frame = numeric(600).assign(y=np.repeat(["a", "b", "c"], [400, 150, 50]))
    page = checked(page_of(RandomOverSampler(random_state=0), frame))
    assert "In classes 'c', 'b' all new rows are copies of originals, as intended" in page.text
    assert page.text.count("as intended") == 1


def test_numbers_in_lists_of_classes_say_what_they_are() -> None:
    frame = numeric(9_000).assign(y=(np.arange(9_000) % 200 == 0) * 1)
    page = checked(page_of(SMOTE(random_state=0), frame))
    assert "For each original there are so many new rows: 198 in class 1." in page.text
    small = numeric(900).assign(y=(np.arange(900) % 100 == 0) * 1)
    page = checked(page_of(SMOTE(random_state=0), small))
    assert "grew from fewer than 30 rows: 1 (9 rows)." in page.text


@pytest.mark.parametrize("mode", ["full", "synthetic"])
def test_nothing_changed_is_no_reason_for_advice(mode: str) -> None:
    frame = numeric(100).assign(y=np.arange(100) % 2)
    job = {"input": "in", "output": "out", "target": "y", "mode": mode}
    page = checked(page_of(SMOTE(random_state=0), frame, job=job))
    assert "Nothing was changed" in page.text
    assert ("the output has the input's rows" in page.text) == (mode == "full")
    assert ("the output is empty" in page.text) == (mode == "synthetic")
    assert "nothing was done to the calibration" in page.text
    for untrue in ("rows left out says", "no longer probabilities", "Always", "what always holds"):
        assert untrue not in page.text
    under = checked(page_of(RandomUnderSampler(random_state=0), frame, neighbors=[]))
    assert "Nothing was changed" in under.text


def test_only_new_rows_are_told_from_the_table_they_belong_to() -> None:
    job = {"input": "in", "output": "out", "target": "y", "mode": "synthetic"}
    text = checked(page_of(SMOTE(random_state=0), numeric(), job=job)).text
    assert "A model trained on the input together with these new rows" in text
    assert "After: the input together with the new rows, which alone are written" in text
    text = checked(page_of(SMOTE(random_state=0), numeric())).text
    assert "A model trained on this table" in text
    assert "which alone are written" not in text
    rows = {"before": 240, "new": 160, "after": 400, "test": 60}
    text = checked(page_of(SMOTE(random_state=0), numeric(), job=job, rows=rows)).text
    assert "trained on the training rows of the input together with these new rows" in text
    assert "After: the training rows of the input together with" in text
    assert "60 more left in the input" in text
    assert "Score on the 60 rows that were left in the input" in text
    assert "test/" not in text  # there is no such folder


def test_memory_is_said_to_be_of_the_worker_and_not_of_the_job() -> None:
    """A worker of a standing cluster may have done other work before."""
    memory = {"worker_bytes": 100, "allowed_bytes": 300, "peak_bytes": {"tcp://w": 290}}
    text = checked(page_of(SMOTE(random_state=0), numeric(), memory=memory)).text
    assert text.count("Since it started, a worker held up to 290 B") == 2
    assert "If it did nothing else before" in text


def test_ends_of_float64_have_a_median() -> None:
    frame = numeric(120)
    frame["a"] = np.where(np.arange(120) % 18 == 0, 1.7e308, 1.6e308)
    frame["b"] = np.where(np.arange(120) % 12 == 0, 1.7e308, -1.7e308)
    page = checked(page_of(RandomOverSampler(random_state=0), frame))
    assert "median 1.600e+308 → 1.600e+308" in page.text
    assert "median –" not in page.text


@pytest.mark.parametrize("n_growing", [1, 2, 6, 30])
def test_rows_looked_at_are_as_many_as_the_readme_says(n_growing: int) -> None:
    million = 1_000_000
    classes = [
        SimpleNamespace(rank=i, label=i, before=million, new=million * (i < n_growing))
        for i in range(n_growing + 3)
    ]
    found = sampling_for(SimpleNamespace(classes=classes, seed=0), (), "y")
    rows = sum(share * million for share in (*found.original, *found.new))
    assert 20_000 < rows <= 35_000
    assert "some 35,000 rows at most" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_rows_of_other_classes_are_drawn_in_their_true_proportions() -> None:
    """Of one class a tenth was sampled, and of another, which grows as well, all."""
    text = checked(page_of(SMOTE(random_state=0), numeric(300))).text
    assert "250 original rows of other classes, 50 original and 200 new rows of class 1" in text
    ranks = np.repeat([0, 1, 2], [300, 200, 40])
    old = Sample(ranks, np.zeros((540, 1)), np.empty((540, 0), dtype=object))
    sampling = Sampling(0, "y", (Shown("x", "float"),), (0, 1, 2), (0.1, 1.0, 1.0), (0, 1.0, 1.0))
    assert np.bincount(ranks[_others(old, 2, sampling)], minlength=3).tolist() == [300, 20, 0]
    assert np.bincount(ranks[_others(old, 0, sampling)], minlength=3).tolist() == [0, 20, 4]


def test_chance_alone_is_no_change() -> None:
    """Of 220 columns of small samples of one distribution none is named; then one is moved."""
    rng = np.random.default_rng(0)

    def drawn(n: int) -> Sample:
        names = [rng.choice(list("abcdefghijklmnopqrstuvwxyz"), n) for _ in range(20)]
        return sample(RARE, list(rng.normal(size=(200, n))), names)

    old, new = drawn(60), drawn(80)
    columns = [Shown(i, "float") for i in range(200)] + [Shown(i, "nominal") for i in range(20)]
    found = compare_columns(columns, old, new)
    assert max(one.difference for one in found) > 0.2
    assert departing(found) == []
    new.numbers[:, 7] += 1.5
    assert [one.column.name for one in departing(compare_columns(columns, old, new))] == [7]


def test_a_column_departs_from_a_tenth_on_and_beyond_chance() -> None:
    names = Levels((), (), (), 0, 0)
    apart = {"a": (0.099, 0.0), "b": (0.101, 0.0), "c": (0.3, 0.31), "d": (0.3, 0.29)}
    found = [Compared(Shown(name, "nominal"), names, *of) for name, of in apart.items()]
    assert [one.column.name for one in departing(found)] == ["d", "b"]


def test_shares_of_values_that_no_original_has() -> None:
    rng = np.random.default_rng(0)
    codes, whole = rng.choice([0.0, 0.5, 2.0], 90), rng.integers(0, 99, 90).astype(float)
    strange = np.array([0.5] * 70 + [0.7] * 30)
    halves = np.array([3.0] * 60 + [3.5] * 40)
    columns = (Shown("codes", "float"), Shown("whole", "float"))
    found = compare_columns(columns, sample(RARE, [codes, whole]), sample(RARE, [strange, halves]))
    told: list[Any] = [one.what for one in found]
    assert [(one.between, one.few) for one in told] == [(pytest.approx(0.3), 3), (0.4, None)]


def test_workers_with_the_highest_peaks_come_first() -> None:
    peaks = {"a": 100, "b": 200, "c": 50}
    told = workers_of({"allowed_bytes": 400, "peak_bytes": peaks})
    assert told == ([("b", "200 B", 50.0), ("a", "100 B", 25.0), ("c", "50 B", 12.5)], 0)
    (highest, *_), more = workers_of({"peak_bytes": {str(i): i + 1 for i in range(30)}})
    assert (highest, more) == (("29", "30 B", 100.0), 6)


def test_seconds_of_a_time_are_told() -> None:
    frame = numeric(60).assign(when=pd.Timestamp("2024-02-29 13:00:07"))
    assert "when = 2024-02-29 13:00:07" in checked(page_of(SMOTE(random_state=0), frame)).text


def test_names_that_cannot_be_seen_are_written_out() -> None:
    frame = numeric(60).rename(columns={"a": "", "b": "  "})
    frame["t"] = np.where(np.arange(60) % 4, "", "word")
    html = page_of(SMOTENC(random_state=0), frame)
    checked(html)
    assert re.findall(r"<h4 title=\".*?\">(.*?)</h4>", html)[:2] == ["&#39;&#39;", "&#39;  &#39;"]
    assert ">''<title>''</title></text>" in html


def test_names_do_not_turn_round_what_follows_them() -> None:
    hostile = "evil \u202e(desrever) \u2067x"
    assert clean(hostile) == "evil \ufffd(desrever) \ufffdx"
    arabic = "\u0639\u0645\u0631 \u200f5"
    assert clean(arabic) == arabic


def test_long_names_that_begin_alike_are_two() -> None:
    long = "https://example.org/" + "a" * 200
    names = as_names(pd.Series([f"{long}1", f"{long}2", f"{long}1", "short", None]))
    assert names[0] == names[2] != names[1]
    assert names[3:].tolist() == ["short", None]
    assert all(len(name) <= 120 and clean(name) == name for name in names[:4])


def test_points_and_bars_are_drawn_to_scale() -> None:
    corners = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 1.0]])
    nothing = np.empty((0, 2))
    drawn = scatter_figure(Projection(nothing, corners, nothing, (0.5, 0.5), 2), "t", "d", "ab")
    path = re.findall(r"M([\d.]+) ([\d.]+)h0", drawn.split("</svg>")[0])
    origin, right, above = [(float(x), float(y)) for x, y in path]
    assert right[0] > origin[0] + 200
    assert right[1] == origin[1]
    assert above[0] == origin[0]
    assert above[1] < origin[1] - 150  # upwards is less in SVG
    svg = levels_figure(["a", "b"], [0.8, 0.2], [0.4, 0.6], "t", "d", "k")
    widths = {of: [width for _, width, _ in told] for of, told in bars(svg).items()}
    assert widths == {"old": [318, 79.5], "new": [159, 238.5]}
    counts = [{"label": 0, "before": 80, "after": 60}, {"label": 1, "before": 20, "after": 60}]
    usual, rare = balance_of({"classes": counts})
    assert (usual.before_bar, usual.kept_bar, usual.new_bar) == (100, 75, 0)
    assert (rare.before_bar, rare.kept_bar, rare.new_bar) == (25, 25, 50)


def test_classes_with_most_new_rows_are_shown_first() -> None:
    classes = [SimpleNamespace(rank=i, before=50, new=new) for i, new in enumerate([0, 5, 90, 40])]
    assert detailed_ranks(SimpleNamespace(classes=classes)) == [2, 3, 1]
    classes[2].before = 9  # too few for a distribution
    assert detailed_ranks(SimpleNamespace(classes=classes)) == [3, 1, 2]


def test_a_label_leaves_room_for_its_shares() -> None:
    """By the widths of DejaVu Sans, the broadest of the usual fonts: 11 px, x is 6.5 wide."""
    svg = levels_figure(["x" * 150, "ab" * 75], [0.5, 0.5], [0.5, 0.5], "t", "d", "k")
    labels = [t for t in ElementTree.fromstring(svg).iter("text") if t.get("x") == "1"]
    assert len(labels) == 2
    for label in labels:
        assert 20 < len(str(label.text)) <= (320 - 100) / 6.5
