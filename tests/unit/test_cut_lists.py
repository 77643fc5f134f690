"""A list that is too long to print says how many more there are, wherever it is printed."""

import re
import zipfile

import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTENC
from dsmote.job.labels import LabelCounts
from dsmote.job.sources import check_columns, open_source
from dsmote.job.storage import check_output
from dsmote.plan.plan import held_back_line
from dsmote.plan.profile import unify_categories

N, WIDE = 90, 70
Y = np.arange(N) % 3 == 0
RNG = np.random.default_rng(0)
NUMBERS = pd.DataFrame(RNG.normal(size=(N, WIDE)), columns=[f"c{i}" for i in range(WIDE)])
TEXTS = NUMBERS.map(lambda value: "abc"[int(value > 0)])


def raised(call, *args, **named):
    with pytest.raises((ValueError, TypeError, OSError)) as caught:
        call(*args, **named)
    return str(caught.value)


def ordered(first, other):
    levels = [[f"{kind}{i:02d}" for i in range(WIDE)] for kind in (first, other)]
    dtypes = tuple(pd.CategoricalDtype(some, ordered=True) for some in levels)
    return raised(unify_categories, "c", dtypes)


def archive(folder):
    with zipfile.ZipFile(folder / "a.csv.zip", "w") as file:
        for i in range(WIDE):
            file.writestr(f"{i}.csv", "a,b\n1,2\n")
    return raised(open_source, str(folder / "a.csv.zip"))


def columns(folder):
    NUMBERS.to_parquet(folder / "in.parquet")
    source = open_source(str(folder / "in.parquet"), None)
    return raised(check_columns, source, {"target": ["y"]})


def foreign(folder):
    (folder / "out").mkdir()
    for i in range(WIDE):
        (folder / "out" / f"{i}.txt").touch()
    return raised(check_output, str(folder / "out"), "replace")


PLACES = {
    "nominal": lambda _: SMOTENC().plan(TEXTS.assign(x=NUMBERS.c0), Y).notes[0],
    "all nominal": lambda _: raised(SMOTENC().fit, TEXTS, Y),
    "text": lambda _: raised(SMOTE().fit, TEXTS, Y),
    "missing values": lambda _: raised(SMOTE().fit, NUMBERS * np.nan, Y),
    "target": lambda _: raised(SMOTE().resample, NUMBERS, target="y"),
    "carry": lambda _: raised(SMOTE(carry=["z"]).fit, NUMBERS, Y),
    "groups": lambda _: raised(SMOTE().fit_resample, NUMBERS, Y, groups="z"),
    "categories": lambda _: raised(SMOTENC(categorical_features=["z"]).fit, NUMBERS, Y),
    "classes": lambda _: raised(SMOTE(sampling_strategy={-1: 9}).fit, NUMBERS, np.arange(N)),
    "wanted": lambda _: raised(
        SMOTE(sampling_strategy=dict.fromkeys(range(100, 170), 9)).fit, NUMBERS, Y
    ),
    "labels": lambda _: raised(LabelCounts({"z": 9}), dict.fromkeys(range(WIDE), 1)),
    "small groups": lambda _: raised(
        SMOTE().fit_resample, NUMBERS, Y, groups=np.arange(N) // 2 * 2 + Y
    ),
    "ordered": lambda _: ordered("a", "b"),
    "held back": lambda _: held_back_line([(i, 1) for i in range(WIDE)])[0],
    "archive": archive,
    "columns of a file": columns,
    "foreign files": foreign,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_cut_list_says_how_many_more(place, tmp_path):
    text = PLACES[place](tmp_path)
    assert re.search(r" and \d+ more\b", text), text
    assert len(text) < 1_500
