"""The report: which rows it samples, and what the page says, against other computations."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise, product
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp

from dsmote import SMOTE, SMOTENC, RandomOverSampler, RandomUnderSampler
from dsmote.job.report.page import (
    Compared,
    _others,
    compare_column,
    distances,
    format_number,
    format_value,
    histogram,
    percent,
    project_rows,
    report_html,
    rough,
    style,
)
from dsmote.job.report.sample import (
    PLACES,
    Column,
    Sampling,
    as_levels,
    clean,
    detailed_ranks,
    joined,
    report_columns,
    sampling_for,
)
from dsmote.plan import ClassPlan
from tests.conftest import ROOT

RARE, USUAL = 1, 0
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Checked(HTMLParser):
    """Every tag that is opened is closed, in order; what is referred to is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[tuple[str, str, str | None]] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
                self.references.append((tag, name, value))
            if name == "id":
                self.ids.append(str(value))
            if name.startswith("on"):
                self.wrong.append(f"{tag} {name}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.wrong.append(f"</{tag}> in {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def checked(html: str) -> Checked:
    """Parse a page; it is whole, well-formed, and needs nothing but itself."""
    found = Checked()
    found.feed(html)
    found.close()
    assert found.wrong == []
    assert found.open == []
    assert found.references == []
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(found.tags)
    assert len(found.ids) == len(set(found.ids))
    style = re.search(r"<style>(.*?)</style>", html, re.S)
    assert style is not None
    assert "url(" not in style.group(1)
    assert "@import" not in style.group(1)
    for svg in re.findall(r"<svg.*?</svg>", html, re.S):
        drawn = ElementTree.fromstring(svg)
        for element in drawn.iter():
            for name, value in element.attrib.items():
                if name in ("x", "y", "width", "height", "x1", "x2", "y1", "y2"):
                    assert np.isfinite(float(value)), (element.tag, name, value)
                assert not re.search(r"\b(nan|inf)\b", value) or name.startswith("aria"), value
        assert drawn.get("role") == "img"
        assert drawn[0].tag == "title" and drawn[0].text
    return found


def cut(frame: pd.DataFrame, pieces: int) -> list[pd.DataFrame]:
    ends = np.linspace(0, len(frame), pieces + 1).astype(int)
    return [frame.iloc[a:b] for a, b in pairwise(ends)]


def resampled(
    sampler: Any, frame: pd.DataFrame
) -> tuple[Sampling, pd.DataFrame, pd.DataFrame, Any]:
    """Resample a table with target y, and sample the result as the tasks of a job do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = sampler.resample(frame, target="y")
    plan = sampler.plan_
    sampling = sampling_for(plan, report_columns(sampler, frame, "y"), "y")
    n = len(made) - plan.n_new
    old = [sampling.take(part, i * PLACES, False) for i, part in enumerate(cut(made.iloc[:n], 3))]
    new = [
        sampling.take(made.iloc[n + b.offset : n + b.offset + b.rows], b.offset, True)
        for b in getattr(plan, "blocks", ())
    ]
    samples = [joined(some, len(sampling.columns)) for some in (old, new)]
    return sampling, samples[0], samples[1], plan


def manifest_of(plan: Any, **changes: Any) -> dict[str, Any]:
    rows = {"before": plan.n_before, "new": plan.n_new, "after": plan.n_after}
    if hasattr(plan, "n_dropped"):
        rows["dropped"] = plan.n_dropped
    return {
        "job": {"input": "in.parquet", "output": "out", "target": "y"},
        "sampler": plan.sampler,
        "parameters": {"k_neighbors": 5},
        "versions": {"dsmote": "9.8.7", "python": "3.11.0"},
        "classes": plan.to_dict()["classes"],
        "rows": rows,
        "seconds": 12.34,
        "memory": {
            **(plan.memory.to_dict() if plan.memory else {}),
            "peak_bytes": {"tcp://127.0.0.1:1": 300 * 2**20, "tcp://127.0.0.1:2": 200 * 2**20},
        },
        "stages": {"counting classes": 2.0, "writing": 10.0},
        "warnings": list(plan.warnings),
        "neighbors": [{"label": 1, "engine": "tree", "exact": True, "recall": 1.0}],
        **changes,
    }


def page_of(sampler: Any, frame: pd.DataFrame, **changes: Any) -> str:
    sampling, old, new, plan = resampled(sampler, frame)
    made = datetime(2026, 3, 1, 12, tzinfo=UTC)
    return report_html(manifest_of(plan, **changes), plan, sampling, old, new, made)


def every_kind(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
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


def numeric(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    y = (np.arange(rows) % 6 == 0).astype(int)
    return pd.DataFrame({"a": rng.normal(size=rows) + y, "b": rng.normal(size=rows), "y": y})


def test_a_table_of_every_kind_of_column() -> None:
    html = page_of(SMOTENC(random_state=0, carry=["id"]), every_kind())
    page = checked(html)
    for word in (
        *("in.parquet", "out", "SMOTENC", "9.8.7", "12.3 seconds", "2026-03-01 12:00 UTC"),
        *("600 before, 450 new, 1,050 written", "300.0 MiB", "counting classes", "10.0 s"),
        *("same = 7.5", "compressed axis", "true", "2020", "red", "calibrat", "recall"),
    ):
        assert word.lower() in page.text.lower(), word
    assert "passes over the data" in page.text  # the plan's own text
    assert 'lang="en"' in html
    assert "prefers-color-scheme: dark" in html
    assert page.text.count("id ·") == 0
    # Each measured column once; the carried one is in no card.
    titles = re.findall(r'<h4 title="(.*?)">', html)
    assert sorted(titles) == sorted(set(every_kind()) - {"id", "y", "same"})
    assert html.count('<th scope="col">') >= 9


def classes(*sizes: int, labels: str = "abc") -> pd.DataFrame:
    return numeric(sum(sizes)).assign(y=np.repeat(list(labels[: len(sizes)]), sizes))


def with_column(frame: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    return frame.assign(**{name: make(len(frame)) for name, make in columns.items()})


def every(step: int) -> Any:
    """Mark one row of so many."""
    return lambda rows: (np.arange(rows) % step == 0) * 1


def ends(step: int, value: float, other: float) -> Any:
    return lambda rows: np.where(np.arange(rows) % step, other, value)


def some(*values: float) -> Any:
    return lambda rows: np.random.default_rng(0).choice(values, rows)


def twins() -> pd.DataFrame:
    frame = numeric(900)
    return pd.concat([frame, frame[frame["y"] == 1].iloc[:30]])


SMOTED, COPIED = SMOTE(random_state=0), RandomOverSampler(random_state=0)
UNDER = RandomUnderSampler(random_state=0)
SYNTHETIC = {"input": "in", "output": "out", "target": "y", "mode": "synthetic"}
SECRET = {"input": "s3://key:hunter2@lake/in", "output": "s3://key:hunter2@lake/out", "target": "y"}
HELD_BACK = {"before": 240, "new": 160, "after": 400, "test": 60}
BUSY = {"worker_bytes": 100, "allowed_bytes": 300, "peak_bytes": {"tcp://w": 290}}
POOR = [{"label": "<b>", "engine": "faiss", "exact": False, "recall": 0.5}]
TINY = SMOTE(random_state=0, on_small_class="copy")
SMOOTHED = RandomOverSampler(random_state=0, shrinkage=0.3)
FLOATS = with_column(
    numeric(120), y=every(6), a=ends(18, 1.7e308, 1.6e308), b=ends(12, 1.7e308, -1.7e308)
)
SAME = [{"label": i, "before": n, "new": n, "after": 2 * n} for i, n in ((0, 30), (1, 9))]
MEASURED = {"warnings": ["the plan's own words & such"], "neighbors": POOR, "memory": BUSY}
# A sampler, a table, and changes to the manifest.
PAGES: dict[str, tuple[Any, pd.DataFrame, dict[str, Any]]] = {
    "exact counts": (
        SMOTE(k_neighbors=2, sampling_strategy={"b": 1000}),
        classes(4897, 100, 3),
        {},
    ),
    "nothing changed": (SMOTED, with_column(numeric(100), y=every(2)), {}),
    "nothing new": (SMOTED, with_column(numeric(100), y=every(2)), {"job": SYNTHETIC}),
    "nothing dropped": (UNDER, with_column(numeric(100), y=every(2)), {"neighbors": []}),
    "rows dropped": (UNDER, numeric(), {"neighbors": []}),
    "levels": (COPIED, with_column(numeric(200)[["y"]], a=some(*range(14))).astype({"a": str}), {}),
    "missing": (
        SMOTE(missing="skip", random_state=0),
        with_column(numeric(400), b=ends(12, np.nan, 1)),
        {},
    ),
    "interpolated": (SMOTED, numeric(600), {}),
    "copies": (COPIED, numeric(600), {}),
    "a class too small": (TINY, with_column(numeric(60), y=every(20)), {}),
    "copies of two": (COPIED, classes(400, 150, 50), {}),
    "smoothed": (SMOOTHED, numeric(600), {"parameters": {"shrinkage": 0.3}}),
    "duplicates": (SMOTE(k_neighbors=1, random_state=0), twins(), {}),
    "codes": (SMOTED, with_column(numeric(600), code=some(0.0, 0.5, 0.7)), {}),
    "calibration": (SMOTED, with_column(numeric(1000), y=every(10)), {}),
    "calibration of three": (SMOTED, classes(700, 250, 50), {}),
    "same shares": (SMOTED, numeric(), {"classes": SAME}),
    "measured": (SMOTED, numeric(), MEASURED),
    "memory": (SMOTED, numeric(), {"memory": BUSY}),
    "many new rows": (SMOTED, with_column(numeric(9_000), y=every(200)), {}),
    "few originals": (SMOTED, with_column(numeric(900), y=every(100)), {}),
    "a whole table": (SMOTED, numeric(), {}),
    "new rows only": (SMOTED, numeric(), {"job": SYNTHETIC}),
    "new rows and a test": (SMOTED, numeric(), {"job": SYNTHETIC, "rows": HELD_BACK}),
    "ends of float64": (COPIED, FLOATS, {}),
    "seconds": (SMOTED, numeric(60).assign(when=pd.Timestamp("2024-02-29 13:00:07")), {}),
    "secrets": (SMOTED, numeric(), {"job": SECRET}),
}
# Patterns that a page has, or with a "-" has not.
SAYS = r"""
exact counts: 4,897 97.94 %
exact counts: 100 2.00 %
exact counts: 3 0.0600 %
exact counts: 1,000 16.95 % \(\+900\)
exact counts: 4,897 83.00 %
nothing changed: There are no new rows to compare
nothing changed: Nothing was changed. .* the output has the rows of the input
nothing changed: scores are as calibrated as before
nothing changed:-dropped rows says|no longer probabilities|Always|what always holds
nothing new: Nothing was changed. .* the output is empty
nothing new:-dropped rows says|no longer probabilities|Always|what always holds
nothing dropped: Nothing was changed
rows dropped: There are no new rows to compare
rows dropped: 300 before, 200 dropped, 100 written
rows dropped: 50 50.00 %
rows dropped:-beside its parents
levels: \(all others\)
levels: 1\d distinct values in sampled originals, 1\d in new rows
missing: missing: (49|50)\.\d % of originals, 0 % of new rows
interpolated: are practically copies of one
interpolated:-as intended
copies: New rows are copies: 100.0 % lie at the place of an original
copies: In class 1 all new rows are copies of originals, as intended
copies:-are practically copies of one
a class too small: New rows are copies: 100.0 % lie at the place of an original
a class too small: In class 1 all new rows are copies of originals, as intended
copies of two: In classes 'c', 'b' all new rows are copies of originals, as intended
copies of two:-as intended.*as intended
smoothed: A new row is typically
smoothed:-as intended|between two originals
duplicates: % are practically copies.*among themselves: [2-9]\d\.
duplicates:-little
codes: Values that no original row has.*code \(\d+\.\d % of new values\)
codes:- a \(
calibration: from 10.00 % to 50.00 %
calibration: by 0.1111: the score 0.5 then means 10.00 %
calibration of three: by its share before, divided by its share after, and divide by the sum
same shares: there is nothing to correct
same shares:-multiply
measured: the plan's own words & such
measured: Missed neighbours.*50.0 % in class '<b>'
measured: More memory than projected.*Memory is nearly used up
memory: (Since it started, a worker used up to 290 B.*){2}
memory: If it did nothing else before
many new rows: New rows for each original: 198 in class 1\.
few originals: grew from fewer than 30 rows: 1 \(9 rows\)
a whole table: A model trained on this table
a whole table:-only these are written
new rows only: A model trained on the input together with these new rows
new rows only: After: the input together with the new rows; only these are written
new rows and a test: trained on the training rows of the input together with these new rows
new rows and a test: After: the training rows of the input together with
new rows and a test: 60 more left in the input
new rows and a test: Score on the 60 rows that were left in the input
new rows and a test:-test/
ends of float64: median 1.6e\+308 → 1.6e\+308
ends of float64:-median –
seconds: when = 2024-02-29 13:00:07
secrets: s3://key:\*\*\*@lake/in
secrets:-hunter2
"""


@pytest.mark.parametrize("case", PAGES)
def test_the_page_says(case: str) -> None:
    sampler, frame, changes = PAGES[case]
    text = checked(page_of(sampler, frame, **changes)).text
    patterns = re.findall(rf"^{case}:([ -])(.*)$", SAYS, re.M)
    assert patterns
    for sign, pattern in patterns:
        assert bool(re.search(pattern, text)) == (sign == " "), pattern


@pytest.mark.parametrize(("before", "after"), [*product([(900, 100), (70, 30)], [0.5, 0.2, 1.5])])
def test_predicted_odds_are_corrected_to_those_of_before(
    before: tuple[int, int], after: float
) -> None:
    """A model that knows only the classes' shares predicts, after correction, the true share."""
    usual, few = before
    grown = max(round(usual * after), few + 1)
    counts = [(0, usual, 0, usual), (1, few, grown - few, grown)]
    keys = ("label", "before", "new", "after")
    classes = [dict(zip(keys, values, strict=True)) for values in counts]
    text = checked(page_of(SMOTED, numeric(40), classes=classes)).text
    pattern = r"odds p / \(1 - p\) of class 1, .*?, by ([\d.]+): the score 0.5 .*? ([\d.]+) %"
    factor, half = map(float, re.findall(pattern, text)[0])
    odds = grown / usual * factor
    assert odds / (1 + odds) == pytest.approx(few / (few + usual), rel=1e-3)
    assert half / 100 == pytest.approx(factor / (1 + factor), rel=1e-3)


def test_numbers_are_written_for_people() -> None:
    numbers = map(format_number, (1_234_567.0, 0.000123456, 2e12, 3, np.nan))
    assert [*numbers] == ["1,234,567", "0.0001235", "2e+12", "3", "–"]
    times = map(format_value, (86_400.0, 93_600.0, -60, 1e-9), ("datetime", *["timedelta"] * 3))
    assert [*times] == ["1970-01-02", "1 day, 2:00:00", "-0:01:00", "1e-09 s"]
    assert [*map(percent, (0.5, 2 / 494_021, 0.0))] == ["50.00 %", "0.000405 %", "0 %"]
    shares = map(rough, (0.12345, 0.0001, 0.0, 0.9999, 1.0))
    assert [*shares] == ["12.3 %", "< 0.1 %", "0 %", "> 99.9 %", "100.0 %"]


def test_the_same_rows_are_drawn_however_new_rows_are_cut() -> None:
    frame = numeric(9000)
    sampler = SMOTE(random_state=3)
    sampling, _, whole, plan = resampled(sampler, frame)
    made = sampler.resample(frame, target="y").iloc[plan.n_before :]
    assert 1500 < len(whole) < 2500 < len(made)
    first, parts = 0, []
    for part in cut(made, 7):
        parts.append(sampling.take(part, first, True))
        first += len(part)
    other = joined(parts, len(sampling.columns))
    pd.testing.assert_frame_equal(whole, other)
    assert not whole.equals(resampled(SMOTE(random_state=4), frame)[2])


def test_sample_is_bounded_and_fair() -> None:
    """A hundred thousand rows give thousands, of all parts of the table alike."""
    frame = pd.DataFrame({"x": np.arange(100_000.0), "y": (np.arange(100_000) % 4 == 0) * 1})
    sampling, old, new, _ = resampled(RandomOverSampler(random_state=0), frame)
    assert 2700 < (old.index == 0).sum() < 3300
    assert 19_000 < (old.index == 1).sum() < 21_000
    assert 1800 < len(new) < 2200
    quarters = np.histogram(old.loc[0, 0], bins=4, range=(0, 100_000))[0]
    assert quarters.min() > 600
    assert sampling.original[0] == pytest.approx(3000 / 75_000)


def test_wide_tables_are_sampled_less() -> None:
    sampler = SMOTE(random_state=0)
    frame = numeric(3000)
    sampler.resample(frame, target="y")
    narrow = sampling_for(sampler.plan_, report_columns(sampler, frame, "y"), "y")
    wide = sampling_for(sampler.plan_, report_columns(sampler, frame, "y") * 20_000, "y")
    assert narrow.original[1] == 1
    assert 200 / 500 <= wide.original[1] < 0.5


def test_values_of_the_sample_are_those_of_the_table() -> None:
    frame = every_kind(80)
    sampling, old, _, _ = resampled(SMOTENC(random_state=0, carry=["id"]), frame)
    own = frame[frame["y"] == 1]
    kinds = {c.name: c.kind for c in sampling.columns}
    assert "id" not in kinds
    assert kinds["text"] == kinds["cat"] == kinds["flag"] == "nominal"
    rare = old.loc[1].set_axis(list(kinds), axis=1)
    assert rare["text"].tolist() == own["text"].tolist()
    np.testing.assert_array_equal(rare["x"], own["x"])
    assert pd.to_datetime(rare["when"], unit="s").tolist() == own["when"].tolist()
    zone = pd.to_datetime(rare["zone"], unit="s", utc=True)
    assert zone.tolist() == own["zone"].dt.tz_convert("UTC").tolist()
    assert pd.to_timedelta(rare["span"], unit="s").tolist() == own["span"].tolist()


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "\" onmouseover='x' ",
        "&amp;",
        "{{ 7 * 7 }}",
        "a\x00b",
    ],
)
def test_names_and_values_are_text_and_nothing_else(name: str) -> None:
    frame = numeric(120).rename(columns={"a": name})
    frame["t"] = np.where(np.arange(120) % 2, name, "other")
    frame["y"] = np.where(frame["y"] == 1, name, "usual")
    html = page_of(
        SMOTENC(random_state=0), frame, job={"input": name, "output": name, "target": "y"}
    )
    page = checked(html)
    assert "<script" not in html
    assert "49" not in re.sub(r"[\d.]{3,}", "", page.text) or "{{" not in name
    html.encode("utf-8")
    if name.isprintable():
        assert name.strip() in page.text


def test_long_names_and_many_columns() -> None:
    rng = np.random.default_rng(0)
    y = (np.arange(200) % 5 == 0).astype(int)
    frame = pd.DataFrame(rng.normal(size=(200, 300)), columns=[f"{i:03d}" * 70 for i in range(300)])
    frame["y"] = y
    html = page_of(SMOTE(random_state=0), frame)
    page = checked(html)
    assert len(re.findall("<h4 ", html)) == 60
    assert "240 more columns, which differ less" in page.text
    assert "299299" in html  # listed, if it is not drawn
    assert len(html) < 2_000_000


def test_columns_that_changed_are_drawn_and_named() -> None:
    """Hundreds of columns alike and one that is not: it is among those shown, and a warning."""
    sampling, old, new, plan = resampled(SMOTE(random_state=0), wide_frame())
    html = report_html(manifest_of(plan), plan, sampling, old, new + 5.0 * (np.arange(100) == 97))
    page = checked(html)
    assert 'title="c97"' in html
    assert re.search(r"Changed distributions.*c97 \((0\.9\d|1\.00)\)", page.text)
    before = checked(report_html(manifest_of(plan), plan, sampling, old, new)).text
    assert "c97 (" not in before


def wide_frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(900, 100)), columns=[f"c{i}" for i in range(100)])
    return frame.assign(y=(np.arange(900) % 3 == 0).astype(int))


def test_many_classes_of_very_different_size() -> None:
    sizes = [20_000, 5_000, *range(3, 24)]
    frame = pd.DataFrame(
        {"x": np.random.default_rng(0).normal(size=sum(sizes)), "y": np.repeat(range(23), sizes)}
    )
    sampler = SMOTE(
        k_neighbors=2, sampling_strategy=dict.fromkeys(range(2, 23), 100), random_state=0
    )
    page = checked(page_of(sampler, frame))
    assert page.tags.count("h2") > 6
    assert "15 more classes grew" in page.text
    assert "Very few originals" in page.text
    assert "3 0.0119 %" in page.text


names = st.text(st.characters(), max_size=200)


@st.composite
def samples(draw: Any) -> tuple[list[tuple[str, str]], pd.DataFrame, pd.DataFrame]:
    n_old, n_new = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    kinds = {
        "float": st.floats(),
        "int": st.integers(-(2**63), 2**63 - 1).map(float),
        "few": st.sampled_from([0.0, 1.0, 2.0]),
        "datetime": st.floats(-1e11, 1e11),
        "timedelta": st.floats(-1e9, 1e9),
        "bool": st.sampled_from([0.0, 1.0, np.nan]),
        "nominal": st.none() | st.text(max_size=9).map(clean),
    }
    told, rows = [], pd.DataFrame(index=range(n_old + n_new))
    for i in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(list(kinds)))
        few = draw(st.lists(kinds[kind], min_size=1, max_size=6))
        picks = draw(st.lists(st.sampled_from(few), min_size=len(rows), max_size=len(rows)))
        told.append((draw(names), "int" if kind == "few" else kind))
        rows[i] = pd.Series(picks, dtype=object if kind == "nominal" else float)
    ranks = draw(st.lists(st.integers(0, 1), min_size=n_old, max_size=n_old))
    return told, rows.iloc[:n_old].set_axis(ranks), rows.iloc[n_old:].set_axis([1] * n_new)


@given(samples())
@settings(max_examples=30)
def test_any_samples_give_a_whole_page(drawn: Any) -> None:
    told, old, new = drawn
    shown = tuple(Column(name, kind) for name, kind in told)
    _, _, _, plan = resampled(SMOTE(random_state=0), numeric(60))
    sampling = Sampling(0, "y", shown, (0, 1), (1.0, 1.0), (0.0, 1.0))
    checked(report_html(manifest_of(plan), plan, sampling, old, new)).text.encode("utf-8")


def sample(rank: int, *columns: Any) -> pd.DataFrame:
    """Rows of one class, columns given one by one."""
    rows = pd.DataFrame(dict(enumerate(columns)))
    return rows.set_axis([rank] * len(rows))


def test_distances_are_those_of_every_pair() -> None:
    rng = np.random.default_rng(0)
    old, new = (
        sample(RARE, rng.normal(5, 100, n), rng.exponential(size=n), *rng.choice(levels, (2, n)))
        for n, levels in ((70, list("abc")), (30, list("abcd")))
    )
    columns = [Column(i, kind) for i, kind in enumerate(["float", "float", "nominal", "nominal"])]

    def coordinates(some: pd.DataFrame) -> np.ndarray:
        # Levels that differ are the square root of 1/2 apart in each of two columns: 1 in all.
        marks = [(some[[2, 3]] == level) * 0.5**0.5 for level in "abcd"]
        scaled = (some[[0, 1]] - old[[0, 1]].mean()) / old[[0, 1]].std(ddof=0)
        return np.hstack([scaled, *marks])

    among = cdist(coordinates(old), coordinates(old))
    np.fill_diagonal(among, np.inf)
    found = distances(columns, old, new)
    assert found is not None
    np.testing.assert_allclose(found.old, among.min(axis=1))
    np.testing.assert_allclose(found.new, cdist(coordinates(new), coordinates(old)).min(axis=1))
    assert found.usual == pytest.approx(np.median(among.min(axis=1)))
    assert found.ratio == pytest.approx(np.median(found.new) / np.median(found.old))
    within = (found.old <= 0.3 * found.usual).mean()
    assert 0 < within < 1
    assert found.within(0.3)[0] == pytest.approx(within)


def test_distances_of_the_page_are_to_rows_of_the_class() -> None:
    """The other class lies where the new rows do, and its own class does not."""
    frame = numeric(400)
    sampling, old, new, plan = resampled(SMOTE(random_state=0), frame)
    moved = old.copy()
    moved.iloc[np.flatnonzero(old.index == USUAL)[: len(new)]] = new.to_numpy()
    text = checked(report_html(manifest_of(plan), plan, sampling, moved, new)).text
    found = distances(sampling.columns, old.loc[RARE], new)
    assert found is not None
    assert f"typically {found.ratio:.2f} times as far from its nearest original" in text
    assert 0.1 < found.ratio < 1


@pytest.mark.parametrize("seed", range(6))
def test_differences_are_those_of_the_literature(seed: int) -> None:
    rng = np.random.default_rng(seed)
    decimals = 1 if seed % 2 else 9  # with ties, and without
    a, b = rng.normal(size=80).round(decimals), rng.normal(0.5, 1, 50).round(decimals)
    levels_a, levels_b = rng.choice(list("abc"), 80), rng.choice(list("bcd"), 50)
    x = compare_column(Column("x", "float"), pd.Series(a), pd.Series(b))
    t = compare_column(Column("t", "nominal"), pd.Series(levels_a), pd.Series(levels_b))
    assert x.difference == pytest.approx(ks_2samp(a, b).statistic)
    shares = [pd.Series(n).value_counts(normalize=True) for n in (levels_a, levels_b)]
    apart = shares[0].sub(shares[1], fill_value=0).abs().sum() / 2
    assert t.difference == pytest.approx(apart)
    for name, before, after in t.levels:
        assert before == pytest.approx(shares[0].get(name, 0))
        assert after == pytest.approx(shares[1].get(name, 0))
    assert t.n_levels == (3, 3)


def tops(svg: str, name: str) -> list[tuple[float, float]]:
    """Where the bins of a histogram begin and how tall they are, read back from its figure."""
    (path,) = re.findall(rf'd="([^"]*)"[^>]*style="[^"]*: var\(--{name}\)', svg)
    points = [tuple(map(float, p.split())) for p in re.findall(r"[ML] ?(\S+ \S+)", path)]
    base = max(y for _, y in points)
    return sorted(
        (min(a, c), base - b) for (a, b), (c, d) in pairwise(points) if b == d < base and a != c
    )


@pytest.mark.parametrize("kind", ["float", "int", "heavy"])
def test_histograms_are_drawn_to_scale(kind: str) -> None:
    """Read back from the figure: a bin is as tall as it is full, and stands at its values."""
    rng = np.random.default_rng(0)
    old, new = rng.normal(10, 3, 400), rng.normal(12, 3, 300)
    if kind == "int":
        old, new = rng.integers(0, 9, 400).astype(float), rng.integers(3, 12, 300).astype(float)
    if kind == "heavy":
        old, new = (old - 10) ** 9, (new - 10) ** 9
    with style():
        svg, notes = histogram(old, new, "int" if kind == "int" else "float", "t")
    ends = np.array([np.quantile(v, [0.005, 0.995], method="nearest") for v in (old, new)])
    edges = np.linspace(ends.min(), ends.max(), 25) if kind == "float" else np.arange(13) - 0.5
    labels = re.findall(r'anchor: middle[^>]* x="([\d.]+)"[^>]*>([^<]+)</text>', svg)
    at, value = np.array([(float(x), float(v.replace("−", "-"))) for x, v in labels]).T
    assert len(at) >= 3
    assert (np.diff(at) > 0).all() and (np.diff(value) > 0).all()
    assert any("compressed axis" in note for note in notes) == (kind == "heavy")
    if kind == "heavy":  # even steps on the page are powers of ten in the table
        assert value[-1] > 1e3 * np.median(np.abs(old))
        return
    scale, shift = np.polyfit(value, at, 1)
    assert at == pytest.approx(scale * value + shift, abs=0.11)
    shares = [np.histogram(values, edges)[0] / len(values) for values in (old, new)]
    for name, share in zip(("old", "new"), shares, strict=True):
        x, height = np.array(tops(svg, name)).T
        assert x == pytest.approx(scale * edges[:-1][share > 0] + shift, abs=0.2)
        assert height / 99.9 == pytest.approx(share[share > 0] / np.max(shares), abs=0.01)
    beyond = [f"{100 * (1 - share.sum()):.1f} %" for share in shares]
    told = f"beyond the axis: {beyond[0]} of originals, {beyond[1]} of new rows"
    assert (told in notes) == (kind == "float")


def test_page_compares_old_with_new_and_not_the_other_way_round() -> None:
    """Medians, bars, true and false, and names, each on its own side."""
    _, old, new, plan = resampled(SMOTE(random_state=0), numeric(240))
    n, k = (old.index == RARE).sum(), len(new)
    columns = (Column("x", "float"), Column("flag", "bool"), Column("text", "nominal"))
    before = sample(0, np.arange(240.0), np.arange(240) % 4 == 0, ["red"] * 240)
    before = before.astype({1: float}).set_axis(old.index)
    before.loc[RARE, 0] = [3.0, 5.0, *[7.0] * (n - 2)]
    before.loc[RARE, 1] = [1.0, 1.0, *[0.0] * (n - 2)]
    after = sample(RARE, [12.0, *[11.5] * (k - 1)], [1.0, *[0.0] * (k - 1)], ["blue"] * k)
    shown = Sampling(0, "y", columns, (0, 1), (1.0, 1.0), (0.0, 1.0))
    html = report_html(manifest_of(plan), plan, shown, before, after)
    assert "median 7 → 11.5" in checked(html).text
    assert f">{100 * 2 / n:.1f} % → {100 / k:.1f} %</span>" in html  # true
    assert f">{100 * (n - 2) / n:.1f} % → {100 * (k - 1) / k:.1f} %</span>" in html  # false
    assert ">100.0 % → 0 %</span>" in html  # red
    assert ">0 % → 100.0 %</span>" in html  # blue
    assert '<i class="new" style="width:100.000%">' in html.split(">blue</span>")[1][:200]
    svg = html.split("<h4")[1]
    assert max(x for x, _ in tops(svg, "old")) < min(x for x, _ in tops(svg, "new"))


def test_projection_keeps_the_kinds_apart_and_tells_the_variance() -> None:
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(3, 5))
    others = sample(USUAL, *(rng.normal(size=(900, 3)) @ basis).T)
    old = sample(RARE, *(rng.normal(size=(900, 3)) @ basis + 1).T)
    found = project_rows([Column(i, "float") for i in range(5)], others, old, old + 40)
    assert found is not None
    assert (len(found.others), len(found.old), len(found.new)) == (900, 900, 900)
    # As many of either kind: plain principal components, but for the cut of the far values.
    both = np.vstack([others, old])
    ends = [np.quantile(part, [0.005, 0.995], axis=0) for part in (others, old)]
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
        r"New rows are copies: (\d+\.\d) % lie at the place of one of the (\d+) sampled "
        r"originals\. The others are copies of originals that were not sampled\.",
        page.text,
    )
    assert found is not None
    assert 300 < int(found.group(2)) < 500
    assert float(found.group(1)) == pytest.approx(100 * int(found.group(2)) / 1_000, abs=8)
    assert "typically" not in page.text


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
    html = report_html(manifest_of(plan), plan, sampling, old, new.iloc[:0])
    assert "rule of thumb" in html


@pytest.mark.parametrize("n_growing", [1, 2, 6, 30])
def test_rows_looked_at_are_as_many_as_the_readme_says(n_growing: int) -> None:
    million = 1_000_000
    classes = [
        ClassPlan(i, i, million, million, million * (i < n_growing)) for i in range(n_growing + 3)
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
    old = pd.DataFrame({0: np.zeros(540)}, index=ranks)
    sampling = Sampling(0, "y", (Column("x", "float"),), (0, 1, 2), (0.1, 1.0, 1.0), (0, 1.0, 1.0))
    for rank, counts in ((2, [300, 20, 0]), (0, [0, 20, 4])):
        assert np.bincount(_others(old, rank, sampling).index, minlength=3).tolist() == counts


def test_chance_alone_is_no_change() -> None:
    """Of 220 columns of small samples of one distribution none is named; then one is moved."""
    rng = np.random.default_rng(0)

    def drawn(n: int) -> pd.DataFrame:
        names = [rng.choice(list("abcdefghijklmnopqrstuvwxyz"), n) for _ in range(20)]
        return sample(RARE, *rng.normal(size=(200, n)), *names)

    def visible() -> list[int]:
        found = [compare_column(c, old[c.name], new[c.name]) for c in columns]
        assert max(one.difference for one in found) > 0.2
        return [one.column.name for one in found if one.visible]

    old, new = drawn(60), drawn(80)
    columns = [Column(i, "float" if i < 200 else "nominal") for i in range(220)]
    assert visible() == []
    new[7] += 1.5
    assert visible() == [7]


def test_a_column_changed_from_a_tenth_on_and_beyond_chance() -> None:
    apart = {"a": (0.099, 0.0), "b": (0.101, 0.0), "c": (0.3, 0.31), "d": (0.3, 0.29)}
    found = [Compared(Column(name, "nominal"), *of) for name, of in apart.items()]
    assert [one.column.name for one in found if one.visible] == ["b", "d"]


def test_shares_of_values_that_no_original_has() -> None:
    rng = np.random.default_rng(0)
    codes, whole = rng.choice([0.0, 0.5, 2.0], 90), rng.integers(0, 99, 90).astype(float)
    strange = np.array([0.5] * 70 + [0.7] * 30)
    halves = np.array([3.0] * 60 + [3.5] * 40)
    for old, new, share, few in ((codes, strange, 0.3, True), (whole, halves, 0.4, False)):
        found = compare_column(Column("x", "float"), pd.Series(old), pd.Series(new))
        assert (found.invented, found.few) == (pytest.approx(share), few)


def test_workers_with_the_highest_peaks_come_first() -> None:
    memory = {"allowed_bytes": 400, "peak_bytes": {"a": 100, "b": 200, "c": 50}}
    html = page_of(SMOTE(random_state=0), numeric(), memory=memory)
    found = re.findall(r'<th scope="row">(.)</th><td>(\d+ B)\s*<.*?width:([\d.]+)%', html)
    assert found == [("b", "200 B", "50.000"), ("a", "100 B", "25.000"), ("c", "50 B", "12.500")]
    memory = {"peak_bytes": {f"w{i}": i + 1 for i in range(30)}}
    text = checked(page_of(SMOTE(random_state=0), numeric(), memory=memory)).text
    assert "w29 30 B" in text and "w5 " not in text
    assert "6 more workers used less" in text


def test_bars_of_classes_are_to_scale() -> None:
    frame = numeric(100).assign(y=np.repeat([0, 1], [80, 20]))
    html = page_of(SMOTE(random_state=0, sampling_strategy=0.75), frame)
    bars = re.findall(r'<i class="(\w+)" style="width:([\d.]+)%">', html.split("<tbody>")[1])[:5]
    assert [kind for kind, _ in bars] == ["old", "old", "old", "old", "new"]
    assert [float(width) for _, width in bars] == [100, 100, 25, 25, 50]


def test_names_that_cannot_be_seen_are_written_out() -> None:
    frame = numeric(60).rename(columns={"a": "", "b": "  "})
    frame["t"] = np.where(np.arange(60) % 4, "", "word")
    html = page_of(SMOTENC(random_state=0), frame)
    checked(html)
    assert re.findall(r"<h4 title=\".*?\">(.*?)</h4>", html)[:2] == ["&#39;&#39;", "&#39;  &#39;"]
    assert '<span title="&#39;&#39;">&#39;&#39;</span>' in html


def test_names_do_not_turn_round_what_follows_them() -> None:
    hostile = "evil \u202e(desrever) \u2067x"
    assert clean(hostile) == "evil \ufffd(desrever) \ufffdx"
    arabic = "\u0639\u0645\u0631 \u200f5"
    assert clean(arabic) == arabic


def test_long_names_that_begin_alike_are_two() -> None:
    long = "https://example.org/" + "a" * 200
    names = as_levels(pd.Series([f"{long}1", f"{long}2", f"{long}1", "short", None]))
    assert names[0] == names[2] != names[1]
    assert names[3:].tolist() == ["short", None]
    assert all(len(name) <= 120 and clean(name) == name for name in names[:4])


def test_classes_with_most_new_rows_are_shown_first() -> None:
    classes = [SimpleNamespace(rank=i, before=50, new=new) for i, new in enumerate([0, 5, 90, 40])]
    assert detailed_ranks(SimpleNamespace(classes=classes)) == [2, 3, 1]
    classes[2].before = 9  # too few for a distribution
    assert detailed_ranks(SimpleNamespace(classes=classes)) == [3, 1, 2]


def test_a_page_has_the_same_bytes_again_and_leaves_matplotlib_as_it_was() -> None:
    with matplotlib.rc_context({"text.usetex": True, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        html = page_of(SMOTENC(random_state=0, carry=["id"]), every_kind())
        assert dict(matplotlib.rcParams) == before
    assert html == page_of(SMOTENC(random_state=0, carry=["id"]), every_kind())
