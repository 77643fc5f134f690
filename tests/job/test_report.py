"""The report: which rows it samples, and what the page says, against other computations."""

import re
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from dsmote import SMOTE, SMOTENC, RandomOverSampler, RandomUnderSampler
from dsmote.job.logs import Secrets
from dsmote.job.report import (
    PLACES,
    Sampling,
    clean,
    compare,
    distances,
    report_columns,
    report_html,
    sampling_for,
)
from dsmote.plan import ClassPlan, Stream
from dsmote.plan.draws import REPORT
from tests.conftest import ROOT

RARE, USUAL = 1, 0
ALL = {i: (i, 1.0, 1.0) for i in range(3)}  # rows of all classes are taken


def text_of(page):
    """Return the words of a page; it is whole, well-formed, and needs nothing but itself."""
    root = ElementTree.fromstring(page)
    for one in root.iter():
        assert one.tag not in {"script", "link", "img", "iframe", "object", "embed"}
        assert not {"src", "href", "data", "action", "srcset"} & set(one.attrib)
        assert not any(name.startswith("on") for name in one.attrib)
    ids = [one.get("id") for one in root.iter() if one.get("id")]
    assert len(ids) == len(set(ids))
    style = root.findtext("head/style")
    assert style and "url(" not in style and "@import" not in style
    for svg in root.iter("svg"):
        assert svg.get("role") == "img"
        assert svg[0].tag == "title" and svg[0].text
        drawn = (value for one in svg.iter() for value in one.attrib.values())
        assert not re.search(r"\b(nan|inf)\b", " ".join(drawn))
    return re.sub(r"\s+", " ", " ".join(root.find("body").itertext()))


def cut(frame, pieces):
    ends = np.linspace(0, len(frame), pieces + 1).astype(int)
    return [frame.iloc[a:b] for a, b in pairwise(ends)]


def resampled(sampler, frame):
    """Resample a table with target y, and sample the result as the tasks of a job do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = sampler.resample(frame, target="y")
    plan = sampler.plan_
    columns = report_columns(sampler, frame, "y") if plan.growing else {}
    sampling = sampling_for(plan, columns, "y")
    n = len(made) - plan.n_new
    parts = [sampling.take(part, i * PLACES, False) for i, part in enumerate(cut(made.iloc[:n], 3))]
    for b in plan.blocks:
        rows = made.iloc[n + b.offset : n + b.offset + b.rows]
        parts.append(sampling.take(rows, b.offset, True))
    return sampling, pd.concat(parts, ignore_index=True), plan


def page(plan, sampling, rows, /, **changes):
    counts = {"before": plan.n_before, "new": plan.n_new, "after": plan.n_after}
    memory = plan.memory.to_dict() if plan.memory else {}
    manifest = {
        "job": {"input": "in.parquet", "output": "out", "target": "y"},
        "sampler": plan.sampler,
        "parameters": {"k_neighbors": 5},
        "versions": {"dsmote": "9.8.7", "python": "3.11.0"},
        "rows": counts | ({"dropped": plan.n_dropped} if plan.n_dropped else {}),
        "seconds": 12.34,
        "memory": {**memory, "peak_bytes": {"tcp://w1": 300 * 2**20, "tcp://w2": 200 * 2**20}},
        "stages": {"counting classes": 2.0, "writing": 10.0},
        "warnings": list(plan.warnings),
        "neighbors": [{"label": 1, "engine": "tree", "exact": True, "recall": 1.0}],
        **changes,
    }
    made = datetime(2026, 3, 1, 12, tzinfo=UTC)
    return report_html(manifest, plan, sampling, rows, Secrets(), made)


def page_of(sampler, frame, **changes):
    sampling, rows, plan = resampled(sampler, frame)
    return page(plan, sampling, rows, **changes)


def every_kind(rows=600):
    rng = np.random.default_rng(0)
    rare = np.arange(rows) % 8 == 3
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "x": rng.normal(size=rows) + rare,
            "heavy": rng.standard_cauchy(rows) ** 3,
            "money": rng.lognormal(3, 3, rows),
            "i": rng.integers(0, 1000, rows),
            "few": rng.integers(0, 3, rows).astype("int8"),
            "big": pd.array(rng.integers(0, 9, rows), dtype="Int64"),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 9999, rows), "h"),
            "zone": (
                pd.Timestamp("2020-01-01", tz="Europe/Berlin")
                + pd.to_timedelta(rng.integers(0, 999, rows), "s")
            ),
            "span": pd.to_timedelta(rng.integers(0, 99_999, rows), "s"),
            "flag": rng.random(rows) < 0.5,
            "same": np.full(rows, 7.5),
            "text": rng.choice(["red", "green", "blue"], rows),
            "cat": pd.Categorical(rng.choice(["a", "b"], rows), ["a", "b", "never"]),
            "y": rare.astype(int),
        }
    )


def numeric(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    y = (np.arange(rows) % 6 == 0).astype(int)
    return pd.DataFrame({"a": rng.normal(size=rows) + y, "b": rng.normal(size=rows), "y": y})


def test_a_table_of_every_kind_of_column():
    with matplotlib.rc_context({"text.usetex": True, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        html = page_of(SMOTENC(random_state=0, carry=["id"]), every_kind())
        assert dict(matplotlib.rcParams) == before
    text = text_of(html).lower()
    for word in (
        *("in.parquet", "out", "SMOTENC", "9.8.7", "12.3 seconds", "2026-03-01 12:00 UTC"),
        *("600 before, 450 new, 1,050 written", "300.0 MiB", "counting classes", "10.0 s"),
        *("same = 7.5", "compressed axis", "true", "2020", "red", "calibrat", "recall"),
        "passes over the data",  # the plan's own text
    ):
        assert word.lower() in text, word
    assert 'lang="en"' in html
    assert "prefers-color-scheme: dark" in html
    # Each measured column once; the carried one is in no card.
    titles = re.findall(r'<h4 title="(.*?)">', html)
    assert sorted(titles) == sorted(set(every_kind()) - {"id", "y", "same"})
    assert html == page_of(SMOTENC(random_state=0, carry=["id"]), every_kind())


def classes(*sizes):
    return numeric(sum(sizes)).assign(y=np.repeat(list("abc"[: len(sizes)]), sizes))


def with_column(frame, **columns):
    return frame.assign(**{name: make(len(frame)) for name, make in columns.items()})


def every(step, value=1, other=0):
    """One row of so many has a value, the rows between them another."""
    return lambda rows: np.where(np.arange(rows) % step, other, value)


def some(*values):
    return lambda rows: np.random.default_rng(0).choice(values, rows)


def twins():
    frame = numeric(900)
    return pd.concat([frame, frame[frame["y"] == 1].iloc[:30]])


SMOTED, COPIED = SMOTE(random_state=0), RandomOverSampler(random_state=0)
HALF = SMOTE(random_state=0, sampling_strategy=0.5)
HALF_COPIED = RandomOverSampler(random_state=0, sampling_strategy=0.5)
NOISY_CHAIN = {
    "steps": [{"sampler": "RandomOverSampler"}, {"sampler": "RandomUnderSampler"}],
    "parameters": {"steps": [{"random": {"shrinkage": 0.3}}, {"random-under": {}}]},
}
UNDER = RandomUnderSampler(random_state=0)
SYNTHETIC = {"input": "in", "output": "out", "target": "y", "mode": "synthetic"}
HELD_BACK = {"before": 240, "new": 160, "after": 400, "test": 60}
BUSY = {"worker_bytes": 100, "allowed_bytes": 300, "peak_bytes": {"tcp://w": 290}}
POOR = [{"label": "<b>", "engine": "faiss", "exact": False, "recall": 0.5}]
SMOOTHED = RandomOverSampler(random_state=0, shrinkage=0.3)
EVEN = with_column(numeric(100), y=every(2))
SIZES = [20_000, 5_000, *range(3, 24)]
MANY = pd.DataFrame({"x": np.arange(sum(SIZES)) * 0.7 % 1, "y": np.repeat(range(23), SIZES)})
TO_100 = SMOTE(k_neighbors=2, random_state=0, sampling_strategy=dict.fromkeys(range(2, 23), 100))
MEASURED = {"warnings": ["the plan's own words & such"], "neighbors": POOR, "memory": BUSY}
# A sampler, a table, and changes to the manifest.
PAGES = {
    "exact counts": (
        SMOTE(k_neighbors=2, sampling_strategy={"b": 1000}),
        classes(4897, 100, 3),
        {},
    ),
    "nothing changed": (SMOTED, EVEN, {}),
    "rows dropped": (UNDER, numeric(), {"neighbors": []}),
    "missing": (
        SMOTE(missing="skip", random_state=0),
        with_column(numeric(400), b=every(12, np.nan, 1)),
        {},
    ),
    "interpolated": (SMOTED, numeric(600), {}),
    "copies": (COPIED, numeric(600), {}),
    "smoothed": (SMOOTHED, numeric(600), {"parameters": {"shrinkage": 0.3}}),
    "smoothed in a chain": (HALF_COPIED, with_column(numeric(1000), y=every(10)), NOISY_CHAIN),
    "duplicates": (SMOTE(k_neighbors=1, random_state=0), twins(), {}),
    "calibration": (HALF, with_column(numeric(1000), y=every(10)), {}),
    "random calibration": (HALF_COPIED, with_column(numeric(1000), y=every(10)), {}),
    "measured": (SMOTED, numeric(), MEASURED),
    "a whole table": (SMOTED, numeric(), {}),
    "new rows and a test": (SMOTED, numeric(), {"job": SYNTHETIC, "rows": HELD_BACK}),
    "many classes": (TO_100, MANY, {}),
}
# Patterns that a page has, or with a "-" has not.
SAYS = r"""
exact counts: 4,897 97.94 %
exact counts: 100 2 %
exact counts: 3 0.06 %
exact counts: 1,000 16.95 % \(\+900\)
nothing changed: There are no new rows to compare
nothing changed: Nothing was changed. .* the output has the rows of the input
nothing changed: scores are as calibrated as before
nothing changed:-dropped rows says|no longer probabilities|Always|what always holds
rows dropped: There are no new rows to compare
rows dropped: 300 before, 200 dropped, 100 written
rows dropped: 50 50 %
rows dropped:-beside its parents
missing: missing: (49|50)\.\d % of originals, 0 % of new rows
interpolated: are practically copies of one
interpolated:-as intended
copies: New rows are copies: 100.0 % lie at the place of an original
copies: In class 1 all new rows are copies of originals, as intended
copies:-are practically copies of one
smoothed: A new row is typically
smoothed:-as intended|between two originals
duplicates: % are practically copies.*among themselves: [2-9]\d\.
duplicates:-little
calibration: Recalibrate on rows that were not resampled .* New rows are not anonymous
calibration:-predicted odds
random calibration: Recalibrate on rows .* odds .* of class 1, .* from 10 % to 33.33 %
random calibration: by 0.2222: the score 0.5 then means 18.18 %
rows dropped: left out at random, so a factor
rows dropped:-not anonymous
smoothed in a chain:-so a factor|as intended
measured: the plan's own words & such
measured: Missed neighbours.*50.0 % in class '<b>'
measured: More memory than projected.*Memory is nearly used up
measured: (Since it started, a worker used up to 290 B.*){2}
a whole table: A model trained on this table
a whole table:-only these are written
a whole table: 250 original rows of other classes, 50 original and 200 new rows of class 1
new rows and a test: trained on the training rows of the input together with these new rows
new rows and a test: After: the training rows of the input together with
new rows and a test: 60 more left in the input
new rows and a test: Score on the 60 rows that were left in the input
new rows and a test:-test/
many classes: 15 more classes grew
many classes: Very few originals
many classes: 3 0.01187 %
"""


@pytest.mark.parametrize("case", PAGES)
def test_the_page_says(case):
    sampler, frame, changes = PAGES[case]
    text = text_of(page_of(sampler, frame, **changes))
    patterns = re.findall(rf"^{case}:([ -])(.*)$", SAYS, re.M)
    assert patterns
    for sign, pattern in patterns:
        assert bool(re.search(pattern, text)) == (sign == " "), pattern


def plan_of(*counts):
    """Plan for classes of so many rows before and after."""
    made = [ClassPlan(i, i, a, a, b - a) for i, (a, b) in enumerate(counts)]
    return replace(resampled(SMOTED, numeric(40))[2], classes=tuple(made))


def test_the_same_rows_are_drawn_however_new_rows_are_cut():
    """Which ones, their numbers say, and no partition."""
    frame = numeric(9000)
    sampler = SMOTE(random_state=3)
    sampling, rows, plan = resampled(sampler, frame)
    whole = rows[rows["new"]].reset_index(drop=True)
    made = sampler.resample(frame, target="y").iloc[plan.n_before :]
    assert 1500 < len(whole) < 2500 < len(made)
    first, parts = 0, []
    for part in cut(made, 7):
        parts.append(sampling.take(part, first, True))
        first += len(part)
    pd.testing.assert_frame_equal(whole, pd.concat(parts, ignore_index=True))
    draws = Stream(3, 1, REPORT).uniform(0, len(made))
    assert whole["draw"].tolist() == draws[draws < sampling.classes[1][2]].tolist()
    other = resampled(SMOTE(random_state=4), frame)[1]
    assert not whole.equals(other[other["new"]].reset_index(drop=True))


def test_sample_is_bounded_and_fair():
    """A hundred thousand rows give thousands, of all parts of the table alike; wide rows fewer."""
    frame = pd.DataFrame({"x": np.arange(100_000.0), "y": (np.arange(100_000) % 4 == 0) * 1})
    sampling, rows, plan = resampled(RandomOverSampler(random_state=0), frame)
    old = rows[~rows["new"]]
    assert 2700 < (old["rank"] == 0).sum() < 3300
    assert 19_000 < (old["rank"] == 1).sum() < 21_000
    assert 1800 < rows["new"].sum() < 2200
    quarters = np.histogram(old[old["rank"] == 0][0], bins=4, range=(0, 100_000))[0]
    assert quarters.min() > 600
    assert sampling.classes[0][1] == pytest.approx(3000 / 75_000)
    wide = sampling_for(plan, dict.fromkeys(range(100_000), "float"), "y")
    assert wide.classes[1][1] == pytest.approx(200 / 25_000)


def test_values_of_the_sample_are_those_of_the_table():
    frame = every_kind(80)
    sampling, rows, _ = resampled(SMOTENC(random_state=0, carry=["id"]), frame)
    own = frame[frame["y"] == 1]
    kinds = sampling.columns
    assert "id" not in kinds
    assert kinds["text"] == kinds["cat"] == kinds["flag"] == "nominal"
    rare = rows[(rows["rank"] == 1) & ~rows["new"]][[*range(len(kinds))]].set_axis([*kinds], axis=1)
    assert rare["text"].tolist() == own["text"].tolist()
    np.testing.assert_array_equal(rare["x"], own["x"])
    assert pd.to_datetime(rare["when"], unit="s").tolist() == own["when"].tolist()


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "\" onmouseover='x' ",
        "&amp;",
        "{{ 7 * 7 }}",
        "a\x00b",
        "",
        "  ",
    ],
)
def test_names_and_values_are_text_and_nothing_else(name):
    frame = numeric(120).rename(columns={"a": name})
    frame["t"] = np.where(np.arange(120) % 2, name, "other")
    frame["y"] = np.where(frame["y"] == 1, name, "usual")
    job = {"input": name, "output": name, "target": "y"}
    html = page_of(SMOTENC(random_state=0), frame, job=job)
    text = text_of(html)
    assert "49" not in re.sub(r"[\d.]{3,}", "", text) or "{{" not in name
    if name.isprintable():
        assert (name.strip() or "' '" if name else "''") in text  # blank names are quoted


def test_columns_that_changed_are_drawn_and_named(monkeypatch):
    """Many columns alike and one that is not: it is among those shown, and a warning."""
    monkeypatch.setattr("dsmote.job.report.FIRST_COLUMNS", 6)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(900, 20)), columns=[f"{i}-" * 90 for i in range(20)])
    sampling, rows, plan = resampled(SMOTED, frame.assign(y=(np.arange(900) % 3 == 0) * 1))
    before = page(plan, sampling, rows)
    rows.loc[rows["new"], 17] += 5.0
    html = page(plan, sampling, rows)
    changed = r"Changed distributions.*In class 1 .* 17-[17-]*… \((0\.9\d|1\.00)\)"
    assert re.search(changed, text_of(html))
    assert not re.search(changed, text_of(before))
    drawn = re.findall('<h4 title="(.*?)"', html)
    assert len(drawn) == 6 and any(name.startswith("17-17-") for name in drawn)
    assert "14 more columns, which differ less" in html
    assert all(f"{i}-{i}-" in html for i in range(20))  # listed, if not drawn


names = st.text(st.characters(), max_size=200)


@st.composite
def samples(draw):
    n_old, n_new = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    kinds = {
        "float": st.floats(),
        "int": st.integers(-(2**63), 2**63 - 1).map(float),
        "few": st.sampled_from([0.0, 1.0, 2.0]),
        "datetime": st.floats(-1e12, 1e12),
        "timedelta": st.floats(-1e9, 1e9),
        "bool": st.sampled_from(["True", "False", None]),
        "nominal": st.none() | st.text(max_size=9).map(clean),
    }
    told, rows = {}, pd.DataFrame(index=range(n_old + n_new))
    for i, name in enumerate(draw(st.lists(names, max_size=4, unique=True))):
        kind = draw(st.sampled_from(list(kinds)))
        few = draw(st.lists(kinds[kind], min_size=1, max_size=6))
        picks = draw(st.lists(st.sampled_from(few), min_size=len(rows), max_size=len(rows)))
        told[name] = "int" if kind == "few" else kind
        rows[i] = pd.Series(picks, dtype=object if kind in ("nominal", "bool") else float)
    ranks = draw(st.lists(st.integers(0, 1), min_size=n_old, max_size=n_old)) + [1] * n_new
    return told, rows.assign(rank=ranks, draw=0.5, new=np.arange(len(rows)) >= n_old)


@given(samples())
@settings(max_examples=10, deadline=None)
def test_any_samples_give_a_whole_page(drawn):
    told, rows = drawn
    sampling = Sampling(0, "y", told, ALL)
    text_of(page(plan_of((50, 50), (10, 50)), sampling, rows))


def sample(*columns):
    return pd.DataFrame(dict(enumerate(columns)))


def of_two(kinds, old, new, others=(), usual=(9_000, 9_000)):
    """Return a page about original and new rows of a class: one column x of a kind, or a frame."""
    kinds = {"x": kinds} if isinstance(kinds, str) else kinds
    parts = [of if isinstance(of, pd.DataFrame) else sample(of) for of in (others, old, new)]
    sizes = [len(of) for of in parts]
    rows = pd.concat([of for of in parts if len(of)], ignore_index=True)
    rows = rows.assign(
        rank=np.repeat([USUAL, RARE, RARE], sizes), draw=0.5, new=np.repeat([0, 0, 1], sizes) > 0
    )
    sampling = Sampling(0, "y", kinds, ALL)
    return page(plan_of(usual, (sizes[1], sizes[1] + sizes[2])), sampling, rows)


def test_distances_are_those_of_every_pair():
    """Of the class: the other one lies where the new rows do."""
    rng = np.random.default_rng(0)
    old, new = (
        sample(rng.normal(5, 100, n), rng.exponential(size=n), *rng.choice(levels, (2, n)))
        for n, levels in ((70, list("abc")), (30, list("abcd")))
    )

    def coordinates(some):
        # Levels that differ are the square root of 1/2 apart in each of two columns: 1 in all.
        marks = [(some[[2, 3]] == level) * 0.5**0.5 for level in "abcd"]
        scaled = (some[[0, 1]] - old[[0, 1]].mean()) / old[[0, 1]].std(ddof=0)
        return np.hstack([scaled, *marks])

    among = cdist(coordinates(old), coordinates(old))
    np.fill_diagonal(among, np.inf)
    kinds = ["float", "float", "nominal", "bool"]
    of_old, of_new = distances(kinds, old, new)
    np.testing.assert_allclose(of_old, among.min(axis=1))
    np.testing.assert_allclose(of_new, cdist(coordinates(new), coordinates(old)).min(axis=1))
    text = text_of(of_two(dict(zip("wxyz", kinds, strict=True)), old, new, others=new))
    ratio = np.median(of_new) / np.median(of_old)
    assert f"typically {ratio:.2f} times as far from its nearest original" in text


def tops(svg, name):
    """Where the bins of a histogram begin and how tall they are, read back from its figure."""
    (path,) = re.findall(rf'd="([^"]*)"[^>]*style="[^"]*: var\(--{name}\)', svg)
    points = [tuple(map(float, p.split())) for p in re.findall(r"[ML] ?(\S+ \S+)", path)]
    base = max(y for _, y in points)
    return sorted(
        (min(a, c), base - b) for (a, b), (c, d) in pairwise(points) if b == d < base and a != c
    )


def test_page_compares_old_with_new_and_not_the_other_way_round():
    """Medians, histograms and bars, each on its own side; bars are to scale."""
    html = of_two("float", [3.0, 5.0, *[7.0] * 38], [12.0, *[11.5] * 99])
    assert "median 7 → 11.5" in html
    svg = html.split("<h4")[1]
    assert max(x for x, _ in tops(svg, "old")) < min(x for x, _ in tops(svg, "new"))
    html = of_two("bool", ["True"] * 2 + ["False"] * 38, ["True"] + ["False"] * 99)
    assert ">5.0 % → 1.0 %</span>" in html
    assert ">95.0 % → 99.0 %</span>" in html
    html = of_two("nominal", ["red"] * 40, ["blue"] * 100)
    assert ">100.0 % → 0 %</span>" in html and ">0 % → 100.0 %</span>" in html
    assert '<i class="new" style="width:100.000%">' in html.split(">blue</span>")[1][:200]
    few = of_two("float", [0.0, 0.5, 2.0] * 30, [0.5] * 70 + [0.7] * 30)
    assert "Values that no original row has" in few and "x (30.0 % of new values)" in few
    whole = of_two("float", np.arange(90.0), [3.0] * 60 + [3.5] * 40)
    assert "Fractions where originals are whole" in whole and "x (40.0 % of new" in whole
    frame = numeric(100).assign(y=np.repeat([0, 1], [80, 20]))
    html = page_of(SMOTE(random_state=0, sampling_strategy=0.75), frame)
    bars = re.findall(r'<i class="(\w+)" style="width:([\d.]+)%">', html.split("<tbody>")[1])[:5]
    assert [kind for kind, _ in bars] == ["old", "old", "old", "old", "new"]
    assert [float(width) for _, width in bars] == [100, 100, 25, 25, 50]


@pytest.mark.parametrize("n_growing", [1, 2, 6, 30])
def test_rows_looked_at_are_as_many_as_the_guide_says(n_growing):
    million = 1_000_000
    sizes = [(million, million * (1 + (i < n_growing))) for i in range(n_growing + 3)]
    found = sampling_for(plan_of(*sizes), {}, "y")
    rows = sum(million * sum(shares) for _, *shares in found.classes.values())
    assert 20_000 < rows <= 35_000
    assert "some 35,000 rows at most" in (ROOT / "docs/guide/jobs.md").read_text("utf-8")


def test_chance_alone_is_no_change():
    """Of 220 columns of small samples of one distribution none is named; then one is moved."""
    rng = np.random.default_rng(0)

    def drawn(n):
        letters = [rng.choice(list("abcdefghijklmnopqrstuvwxyz"), n) for _ in range(20)]
        return sample(*rng.normal(size=(200, n)), *letters)

    def visible():
        kinds = enumerate(["float"] * 200 + ["nominal"] * 20)
        found = {i: compare(str(i), kind, old[i], new[i]) for i, kind in kinds}
        assert max(one.difference for one in found.values()) > 0.2
        return [i for i, one in found.items() if one.visible]

    old, new = drawn(60), drawn(80)
    assert visible() == []
    new[7] += 1.5
    new[207] = "z"
    assert visible() == [7, 207]
