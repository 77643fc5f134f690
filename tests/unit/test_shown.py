"""What a notebook shows: samplers as scikit-learn's diagram, plans as tables, Dask's progress."""

import io
import re
from html import unescape

import dask
import pytest
from dask.diagnostics import ProgressBar
from imblearn.pipeline import make_pipeline
from sklearn.linear_model import LogisticRegression

from dsmote import SMOTE, Chain, RandomUnderSampler, TomekLinks
from dsmote.samplers.registry import make_sampler, samplers
from tests.tables import dask_frame, numbers

TABLE = numbers(90, 20, 2)
X, Y = TABLE.drop(columns="y"), TABLE["y"]


def chain():
    steps = [SMOTE(sampling_strategy=0.5), RandomUnderSampler(), SMOTE(k_neighbors=3)]
    return Chain(steps, random_state=0)


@pytest.mark.parametrize("name", samplers())
def test_samplers_are_diagrams(name):
    sampler = make_sampler(name)
    shown = sampler._repr_html_()
    assert f"<div>{type(sampler).__name__}</div>" in shown
    assert "Not fitted" in shown
    assert {*sampler._repr_mimebundle_()} == {"text/plain", "text/html"}


def test_a_chain_is_a_diagram_of_its_steps():
    shown = make_pipeline(chain(), LogisticRegression())._repr_html_()
    steps = re.findall(r"<div>(\w+)</div>", shown)
    names = ["SMOTE", "RandomUnderSampler", "SMOTE", "LogisticRegression"]
    assert [name for name in steps if name in names] == names
    assert "chain: Chain" in shown
    assert "smote-2__k_neighbors" in chain().get_params()
    assert 'data-param-prefix="smote-2__"' in chain()._repr_html_()
    fitted = chain()
    fitted.fit_resample(X, Y)
    assert "<span>Fitted</span>" in fitted._repr_html_()


@pytest.mark.parametrize("sampler", [SMOTE(random_state=0), TomekLinks(), chain()], ids=str)
def test_plans_are_tables_that_say_what_the_report_says(sampler):
    labels = Y.map({0: "<b>most</b>", 1: "a & b"})
    plan = sampler.plan(X, labels)
    shown = plan._repr_html_()
    assert "<b>most" not in shown
    first = re.sub(r"<details>.*</details>", "", shown)
    cells = [unescape(cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", first)]
    rows = [
        line for line in str(plan).splitlines() if re.match("class |a & b |<b>most|total ", line)
    ]
    rows = rows[:4]  # those of the steps follow
    assert cells == [cell for row in rows for cell in re.split(r" {2,}", row)]
    said = unescape(re.sub(r"<[^>]+>", "\n", shown))
    for line in str(plan).splitlines():
        if line and line not in rows and not re.match("class |a & b |<b>most|total |step", line):
            assert line in said
    assert shown.count("<details>") == len(plan.steps)


def test_the_progress_bar_of_dask_works_on_lazy_outputs():
    printed = io.StringIO()
    for sampler in (
        SMOTE(random_state=0),
        RandomUnderSampler(random_state=0),
        TomekLinks(),
        chain(),
    ):
        lazy = sampler.resample(dask_frame(TABLE, [40, 0, 50]), target="y")
        expected = sampler.resample(TABLE, target="y")
        start = len(printed.getvalue())
        with ProgressBar(out=printed, dt=0.01), dask.config.set(scheduler="threads"):
            made = lazy.compute()
        assert "100% Completed" in printed.getvalue()[start:]
        assert len(made) == len(expected)
