"""The report's samples, and the page made of them."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote import SMOTE, SMOTENC, RandomOverSampler, RandomUnderSampler
from dsmote.job.report import (
    Sample,
    Sampling,
    Shown,
    first_row_of,
    join_samples,
    report_html,
    sampling_for,
    shown_columns,
)

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
        if drawn.get("aria-hidden") != "true":
            described = str(drawn.get("aria-labelledby")).split()
            assert [child.get("id") for child in list(drawn)[:2]] == described
            assert all(child.text for child in list(drawn)[:2])
    return found


def cut(frame: pd.DataFrame, pieces: int) -> list[pd.DataFrame]:
    ends = np.linspace(0, len(frame), pieces + 1).astype(int)
    return [frame.iloc[a:b] for a, b in pairwise(ends)]


def resampled(sampler: Any, frame: pd.DataFrame) -> tuple[Sampling, Sample, Sample, Any]:
    """Resample a table with target y, and sample the result as the tasks of a job do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = sampler.resample(frame, target="y")
    plan = sampler.plan_
    sampling = sampling_for(plan, shown_columns(sampler, frame, "y"), "y")
    n = len(made) - plan.n_new
    old = [
        sampling.take(part, first_row_of(i), False) for i, part in enumerate(cut(made.iloc[:n], 3))
    ]
    new = [
        sampling.take(made.iloc[n + b.offset : n + b.offset + b.rows], b.offset, True)
        for b in getattr(plan, "blocks", ())
    ]
    samples = [join_samples([s for s in some if s], sampling.columns) for some in (old, new)]
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


def test_counts_and_shares_of_classes_are_exact() -> None:
    frame = pd.DataFrame(
        {"x": np.arange(5000.0), "y": np.repeat([0, 1, 2], [4897, 100, 3])},
    )
    page = checked(
        page_of(SMOTE(k_neighbors=2, sampling_strategy={1: 1000}, random_state=0), frame)
    )
    assert "4,897 97.94 %" in page.text
    assert "100 2.00 %" in page.text
    assert "3 0.0600 %" in page.text
    assert "1,000 16.95 % (+900)" in page.text
    assert "4,897 83.00 %" in page.text


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
    other = join_samples([part for part in parts if part], sampling.columns)
    np.testing.assert_array_equal(whole.numbers, other.numbers)
    again = resampled(SMOTE(random_state=4), frame)[2]
    assert whole.numbers.shape != again.numbers.shape or (whole.numbers != again.numbers).any()


def test_sample_is_bounded_and_fair() -> None:
    """A hundred thousand rows give thousands, of all parts of the table alike."""
    frame = pd.DataFrame({"x": np.arange(100_000.0), "y": (np.arange(100_000) % 4 == 0) * 1})
    sampling, old, new, _ = resampled(RandomOverSampler(random_state=0), frame)
    assert 2700 < (old.ranks == 0).sum() < 3300
    assert 19_000 < (old.ranks == 1).sum() < 21_000
    assert 1800 < len(new) < 2200
    quarters = np.histogram(old.numbers[old.ranks == 0, 0], bins=4, range=(0, 100_000))[0]
    assert quarters.min() > 600
    assert sampling.original[0] == pytest.approx(3000 / 75_000)


def test_wide_tables_are_sampled_less() -> None:
    sampler = SMOTE(random_state=0)
    frame = numeric(3000)
    sampler.resample(frame, target="y")
    narrow = sampling_for(sampler.plan_, shown_columns(sampler, frame, "y"), "y")
    wide = sampling_for(sampler.plan_, shown_columns(sampler, frame, "y") * 20_000, "y")
    assert narrow.original[1] == 1
    assert 200 / 500 <= wide.original[1] < 0.5


def test_values_of_the_sample_are_those_of_the_table() -> None:
    frame = every_kind(80)
    sampling, old, _, _ = resampled(SMOTENC(random_state=0, carry=["id"]), frame)
    rare = old.rows(old.ranks == 1)
    own = frame[frame["y"] == 1]
    kinds = {c.name: c.kind for c in sampling.columns}
    assert "id" not in kinds
    assert kinds["text"] == kinds["cat"] == kinds["flag"] == "nominal"
    numbers = [c.name for c in sampling.columns if c.kind != "nominal"]
    names = [c.name for c in sampling.columns if c.kind == "nominal"]
    assert rare.names[:, names.index("text")].tolist() == own["text"].tolist()
    np.testing.assert_array_equal(rare.numbers[:, numbers.index("x")], own["x"])
    seconds = rare.numbers[:, numbers.index("when")]
    assert pd.to_datetime(seconds, unit="s").tolist() == own["when"].tolist()
    zone = pd.to_datetime(rare.numbers[:, numbers.index("zone")], unit="s", utc=True)
    assert (zone == own["zone"].dt.tz_convert("UTC")).all()
    assert pd.to_timedelta(rare.numbers[:, numbers.index("span")], unit="s").tolist() == (
        own["span"].tolist()
    )


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


def test_secrets_in_urls_are_not_shown() -> None:
    job = {
        "input": "s3://key:hunter2@lake/in",
        "output": "s3://key:hunter2@lake/out",
        "target": "y",
    }
    html = page_of(SMOTE(random_state=0), numeric(), job=job)
    assert "hunter2" not in html
    assert "s3://key:***@lake/in" in html


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
    moved = Sample(new.ranks, new.numbers.copy(), new.names)
    moved.numbers[:, 97] += 5
    html = report_html(manifest_of(plan), plan, sampling, old, moved)
    page = checked(html)
    assert 'title="c97"' in html
    assert re.search(r"Distributions that changed.*c97 \((0\.9\d|1\.00)\)", page.text)
    before = checked(report_html(manifest_of(plan), plan, sampling, old, new)).text
    assert "c97 (" not in before


def wide_frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(900, 100)), columns=[f"c{i}" for i in range(100)])
    return frame.assign(y=(np.arange(900) % 3 == 0).astype(int))


def test_no_new_rows() -> None:
    frame = numeric(100).assign(y=np.arange(100) % 2)
    page = checked(page_of(SMOTE(random_state=0), frame))
    assert "There are no new rows to compare" in page.text
    assert "Nothing was changed" in page.text


def test_rows_left_out() -> None:
    page = checked(page_of(RandomUnderSampler(random_state=0), numeric(), neighbors=[]))
    assert "There are no new rows to compare" in page.text
    assert "300 before, 200 left out, 100 written" in page.text
    assert "50 50.00 %" in page.text
    assert "beside its parents" not in page.text


def test_only_names() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"n{i}": rng.choice(list("abcdefghijklmn"), 200) for i in range(3)})
    frame["y"] = (np.arange(200) % 10 == 0).astype(int)
    page = checked(page_of(RandomOverSampler(random_state=0), frame))
    assert "(all others)" in page.text
    assert re.search(r"1\d different values in the originals looked at, 1\d in the new", page.text)


def test_missing_values_are_counted() -> None:
    frame = numeric(400)
    frame.loc[np.arange(400) % 12 == 0, "b"] = np.nan
    page = checked(page_of(SMOTE(random_state=0, missing="skip"), frame))
    assert re.search(r"missing: (49|50)\.\d % of originals, 0 % of new rows", page.text)


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


@pytest.mark.parametrize("sampler", [SMOTE(random_state=0), RandomOverSampler(random_state=0)])
def test_copies_are_noticed(sampler: Any) -> None:
    page = checked(page_of(sampler, numeric(600)))
    copied = isinstance(sampler, RandomOverSampler)
    assert ("New rows are copies: 100.0 % lie at the place of an original" in page.text) == copied
    assert ("all new rows are copies of originals, as intended" in page.text) == copied
    assert ("are practically copies of one" in page.text) != copied


def test_codes_are_noticed() -> None:
    frame = numeric(600)
    frame["code"] = np.random.default_rng(0).choice([0.0, 0.5, 0.7], 600)
    page = checked(page_of(SMOTE(random_state=0), frame))
    assert re.search(r"Values that no original has.*code \(\d+\.\d % of new values\)", page.text)
    assert "a (" not in page.text


def test_calibration_in_numbers() -> None:
    """Odds of 1 to 9, made even: the predicted odds times 1/9 are the odds of before."""
    frame = pd.DataFrame({"x": np.arange(1000.0), "y": (np.arange(1000) % 10 == 0) * 1})
    page = checked(page_of(SMOTE(random_state=0), frame))
    assert "from 10.00 % to 50.00 %" in page.text
    assert "by 0.1111: the score 0.5 then means 10.00 %" in page.text


def test_what_the_plan_and_the_workers_said() -> None:
    searches = [{"label": "<b>", "engine": "faiss", "exact": False, "recall": 0.5}]
    memory = {"worker_bytes": 100, "allowed_bytes": 300, "peak_bytes": {"tcp://w": 290}}
    page = checked(
        page_of(
            SMOTE(random_state=0),
            numeric(),
            warnings=["the plan's own words & such"],
            neighbors=searches,
            memory=memory,
        )
    )
    assert "the plan's own words & such" in page.text
    assert "Neighbours missed" in page.text
    assert "50.0 % in class '<b>'" in page.text
    assert "More memory than projected" in page.text
    assert "Memory is nearly used up" in page.text


names = st.text(st.characters(), max_size=200)


@st.composite
def samples(draw: Any) -> tuple[list[tuple[str, str]], Sample, Sample]:
    n_old, n_new = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    told, numbers, texts = [], [], []
    for _ in range(draw(st.integers(1, 4))):
        kinds = ["float", "int", "few", "datetime", "timedelta", "bool", "nominal"]
        kind = draw(st.sampled_from(kinds))
        values = {
            "float": st.floats(),
            "int": st.integers(-(2**63), 2**63 - 1).map(float),
            "few": st.sampled_from([0.0, 1.0, 2.0]),
            "datetime": st.floats(-1e11, 1e11),
            "timedelta": st.floats(-1e9, 1e9),
            "bool": st.sampled_from([0.0, 1.0, np.nan]),
            "nominal": st.none() | st.text(max_size=9),
        }[kind]
        few = draw(st.lists(values, min_size=1, max_size=6))
        picks = draw(st.lists(st.sampled_from(few), min_size=n_old + n_new, max_size=n_old + n_new))
        told.append((draw(names), "int" if kind == "few" else kind))
        (texts if kind == "nominal" else numbers).append(picks)
    ranks = np.array(draw(st.lists(st.integers(0, 1), min_size=n_old, max_size=n_old)))
    matrix = np.array(numbers, dtype=float).reshape(len(numbers), n_old + n_new).T
    words = np.empty((n_old + n_new, len(texts)), dtype=object)
    for j, column in enumerate(texts):
        words[:, j] = column
    old = Sample(ranks, matrix[:n_old], words[:n_old])
    new = Sample(np.ones(n_new, dtype=np.int64), matrix[n_old:], words[n_old:])
    return told, old, new


@given(samples())
@settings(max_examples=60)
def test_any_samples_give_a_whole_page(drawn: Any) -> None:
    told, old, new = drawn
    # Names of columns in order of kind: numbers and names lie apart in a sample.
    shown = tuple(Shown(name, kind) for name, kind in told)
    frame = numeric(60)
    _, _, _, plan = resampled(SMOTE(random_state=0), frame)
    sampling = Sampling(0, "y", shown, (0, 1), (1.0, 1.0), (0.0, 1.0))
    checked(report_html(manifest_of(plan), plan, sampling, old, new)).text.encode("utf-8")
