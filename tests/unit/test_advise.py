"""Advice: the rule, the candidates, the folds, what is refused and what is said."""

import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from dsmote import JobSpec, advise
from dsmote.advice import choice, run, screen
from dsmote.advice.result import check_figure
from tests.tables import mixed, numbers, overlapping

METHODS = ["nothing", "class weights", "smote", "smote", "smote"]


def noise(rng, scale=0.01, folds=5):
    return rng.normal(scale=scale, size=folds)


def sample(n=400, few=40, nominal=(False, False), seed=0):
    rng = np.random.default_rng(seed)
    y = np.zeros(n, dtype=np.int64)
    y[rng.choice(n, few, replace=False)] = 1
    X = rng.normal(size=(n, len(nominal))) + y[:, None]
    for j in np.flatnonzero(nominal):
        X[:, j] = rng.integers(0, 4, n)
    return screen.Sample(X, y, np.array(nominal))


def advised(*table, **how):
    return advise(*table, **{"learners": GaussianNB(), "n_jobs": 1, **how})


# --- The rule


@pytest.mark.parametrize("levels", [3, 1000])
def test_scores_are_those_of_scikit_learn(rng, levels):
    y, scores = rng.integers(0, 2, 200), rng.integers(0, levels, 200) / levels
    assert choice.average_precision(y, scores) == pytest.approx(average_precision_score(y, scores))
    assert choice.f1(y, scores, 0.4) == pytest.approx(f1_score(y, scores > 0.4))
    best = max(f1_score(y, scores > t) for t in [-1, *np.unique(scores)])
    threshold = choice.best_threshold(y, scores)
    assert choice.f1(y, scores, threshold) == pytest.approx(best)
    assert threshold not in scores  # halfway


def test_a_fold_is_scored_at_the_threshold_of_the_others():
    y = np.array([0, 0, 1, 1])
    low, high = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.6, 0.7, 0.8, 0.9])
    found = choice.tuned_f1([y, y], [low, high])
    assert found.tolist() == [0.0, f1_score(y, [1, 1, 1, 1])]


def test_lucky_ratios_are_drawn_to_their_method_and_precise_ones_are_not(rng):
    methods, spreads = ["nothing"] + ["smote"] * 4, []
    for _ in range(50):
        base = 0.5 + noise(rng, 0.1)
        lucky = np.array([base] + [base + noise(rng) for _ in range(4)])
        shrunk = choice.shrink(lucky, methods)
        assert shrunk[0].tolist() == base.tolist()
        np.testing.assert_allclose(shrunk[1:].mean(axis=0), lucky[1:].mean(axis=0))
        spreads.append([of[1:].mean(axis=1).std() for of in (shrunk, lucky)])
    ours, theirs = np.mean(spreads, axis=0)
    assert ours < 0.2 * theirs
    precise = np.array([base] + [base + i * 0.05 + noise(rng, 1e-5) for i in range(4)])
    np.testing.assert_allclose(choice.shrink(precise, methods), precise, 1e-3)


def test_folds_count_for_less_than_samples():
    differences = np.array([0.0, 0.0, 0.0, 0.1, 0.1])
    assert choice.standard_error(differences) == pytest.approx(0.0367, abs=1e-4)


def test_the_simplest_within_one_error_of_the_best_is_named(rng):
    base = 0.5 + noise(rng, 0.1)
    scores = np.array([base, base + 0.2, base + 0.2 + [-0.01, 0.011, 0, 0, 0], base, base])
    assert choice.choose(scores, METHODS) == 1
    scores[2] += 0.1
    scores[3] += 0.3
    scores[4] += 0.3
    assert choice.choose(scores, METHODS) == 2


def test_what_is_not_better_by_two_errors_is_not_named():
    base = np.full(5, 0.5)
    gain = np.array([0.0, 0.0, 0.0, 0.1, 0.1])  # 0.04 +- 0.0367
    assert choice.choose(np.array([base, base + gain + 0.03]), METHODS[:2]) == 0
    assert choice.choose(np.array([base, base + gain + 0.04]), METHODS[:2]) == 1
    # Of candidates that differ by noise, what they share is to be better by so much.
    lucky = np.array([base, base + 0.04 + gain, base - 0.02 - gain, base + gain[::-1] - 0.04])
    assert choice.choose(lucky, ["nothing", *["smote"] * 3]) == 0
    assert choice.choose(np.array([base]), METHODS[:1]) == 0


def test_plain_argmax_would_name_what_is_noise(rng):
    named = [
        choice.choose(0.5 + rng.normal(scale=0.02, size=(21, 5)), ["nothing"] + ["smote"] * 20)
        for _ in range(200)
    ]
    assert np.count_nonzero(named) < 4


# --- Candidates and folds


def test_candidates_are_above_the_present_ratio_the_simplest_first():
    found = screen.candidates(sample(few=40))  # 0.11
    assert [(c.method, c.ratio) for c in found[:5]] == [
        ("nothing", 0.0),
        *(("class weights", ratio) for ratio in (0.25, 0.5, 1.0)),
        ("random under", 0.25),
    ]
    assert len(found) == 16 and found[-1].method == "borderline"
    mixed = screen.candidates(sample(few=4, nominal=(True, False)))
    assert len(mixed) == 17 and {c.ratio for c in mixed} == {0, 0.1, 0.25, 0.5, 1}
    assert "borderline" not in {c.method for c in mixed}
    assert len(screen.candidates(sample(few=200))) == 1


@pytest.mark.parametrize(
    ("nominal", "smote"),
    [((False, False), "smote"), ((True, False), "smotenc"), ((True, True), "smoten")],
)
def test_candidates_make_what_they_say(nominal, smote):
    rows = sample(nominal=nominal)
    counts = {"random under": [80, 40], "class weights": [360, 40], "nothing": [360, 40]}
    for candidate in screen.candidates(rows):
        X, y, weights = screen.resampled(candidate, rows, 0)
        if candidate.ratio == 0.5:
            assert np.bincount(y).tolist() == counts.get(candidate.method, [360, 180])
        assert len(X) == len(y)
        if weights is not None:
            of = [weights[y == label].sum() for label in (0, 1)]
            assert of[1] == pytest.approx(candidate.ratio * of[0], rel=0.02)
        if candidate.method == "smote":
            assert candidate.sampler(rows.nominal) == smote
            assert np.isin(X[:, rows.nominal], range(4)).all()


def test_only_training_rows_are_resampled_and_once_for_all_learners(monkeypatch):
    rows, seen = sample(), []
    rows.X[:, 0] = np.arange(len(rows.y))  # which row it is

    class Sampler:
        def fit_resample(self, X, y):
            seen.append(set(X[:, 0]))
            return X, y

    monkeypatch.setattr(screen, "make_sampler", lambda name, **how: Sampler())
    every, folds = screen.candidates(rows), screen.folds_of(rows.y, 0)
    learners = {"a": GaussianNB(), "b": LogisticRegression(max_iter=300)}
    done = []
    held = screen.cross_validated(
        rows, every, learners, folds, 1, 0, lambda *at: done.append(at), {"c": GaussianNB()}
    )
    resamplers = [c for c in every if c.method not in ("nothing", "class weights")]
    assert len(seen) == 5 * len(resamplers)
    outs = [set(map(float, test)) for _, test in folds]
    assert set.union(*outs) == set(rows.X[:, 0])
    assert all(any(not of & out and len(of | out) == 400 for out in outs) for of in seen)
    assert done[-1] == (5 * len(every), 5 * len(every))
    assert {name for name, _ in held} == {"a", "b", "c"}
    assert [c.method for name, c in held if name == "c"] == ["nothing"]
    for of in held.values():
        assert [len(scores) for scores in of] == [80] * 5


def test_bins_keep_the_order_and_know_nothing_of_the_held_out_rows(rng):
    X, held = rng.normal(size=(2000, 2)), rng.normal(size=(100, 2))
    ours, _ = screen.binned(X, held, np.array([True, False]))
    assert len(np.unique(ours[:, 0])) <= 255 and ours[:, 1].tolist() == X[:, 1].tolist()
    order = np.argsort(X[:, 0])
    assert (np.diff(ours[order, 0]) >= 0).all()
    alone, _ = screen.binned(X, held[:1] + 100, np.array([True, False]))
    assert alone.tolist() == ours.tolist()
    few = np.repeat(np.arange(3.0), 5)[:, None]
    assert screen.binned(few, few, np.array([True]))[1].tolist() == few.tolist()


def test_processes_do_not_change_the_scores(monkeypatch):
    monkeypatch.setattr(screen, "RATIOS", (1.0,))
    frame = numbers(200, 40)
    both = [advised(frame, target="y", n_jobs=n).table for n in (1, 2)]
    pd.testing.assert_frame_equal(*both)


# --- The sample


def test_a_large_table_is_sampled_with_the_shares_of_its_classes():
    frame = numbers(2000, 200)
    drawn = run.draw(frame, target="y", rows=500)
    assert np.bincount(drawn.sample.y).tolist() == [450, 50]
    assert drawn.counts == {0: 1800, 1: 200}
    rows = {tuple(row) for row in frame.drop(columns="y").to_numpy()}
    assert all(tuple(row) in rows for row in drawn.sample.X)
    other = run.draw(frame, target="y", rows=500, seed=1)
    assert other.sample.X.tolist() != drawn.sample.X.tolist()
    every = run.draw(frame, target="y", rows=2000)
    assert len(every.sample.y) == 2000


def test_text_is_categories_whatever_dtype_holds_it():
    frame = mixed(200, 80)
    frame.loc[3, "c"] = None
    drawn = [
        run.draw(frame.astype({"c": dtype}), target="y", carry=["d"]).sample
        for dtype in ("str", "object", "category")
    ]
    assert drawn[0].nominal.tolist() == [False, True, False]
    assert drawn[0].X[3, 1] == 3 and set(drawn[0].X[:, 1]) == {0, 1, 2, 3}
    for other in drawn[1:]:
        assert other.X.tolist() == drawn[0].X.tolist()


def test_missing_categories_are_the_last_in_any_dtype():
    frame = pd.DataFrame({"a": np.arange(60.0), "y": np.arange(60) % 3 == 0})
    for values in ([2, None, 1] * 20, ["b", None, "a"] * 20, [True, None, False] * 20):
        sample = run.draw(frame.assign(c=pd.Categorical(values)), target="y").sample
        assert sample.X[:3, 1].tolist() == [1, 2, 0]


def test_what_is_no_category_is_named():
    with pytest.raises(TypeError, match="column 'c' holds values that cannot be levels"):
        run.draw(numbers(120, 24).assign(c=[[1]] * 120), target="y")


@pytest.mark.parametrize("power", [900, -1030])
def test_values_whose_squares_are_no_numbers(power, monkeypatch):
    """Scaled, they are the same numbers, those of new rows by rounding."""
    monkeypatch.setattr(screen, "RATIOS", (0.5,))
    X, y = overlapping(160, 40)
    X = np.round(64 * np.asarray(X)) / 64
    boosting = HistGradientBoostingClassifier(max_iter=5, early_stopping=False)
    learners = [boosting, GaussianNB(), LogisticRegression()]
    every = [
        advised(np.ldexp(X, by), y, learners=learners).table.query("learner != 'control'")
        for by in (0, power)
    ]
    made = every[0]["method"].isin([screen.SMOTE, screen.BORDERLINE])
    ours, theirs = (of["score"][~made].tolist() for of in every)
    assert ours == theirs
    if power > 0:
        assert every[0]["score"].tolist() == pytest.approx(every[1]["score"].tolist())


def test_named_columns_are_categories_and_bools_alone_are_numbers(rng):
    frame = numbers().assign(code=rng.integers(0, 3, 120), flag=rng.random(120) < 0.5)
    find = {"target": "y"}
    assert not run.draw(frame, **find).sample.nominal.any()
    named = run.draw(frame, **find, categorical_features=["code"])
    assert named.sample.nominal.tolist() == [False, False, False, True, True]
    assert named.categorical == ("code",)


@pytest.mark.parametrize("dtype", ["category", "bool", "boolean", "object"])
def test_flags_are_features_in_any_dtype(dtype, rng):
    values = rng.random(120) < 0.5
    frame = numbers().assign(flag=pd.Series(values).astype(dtype))
    sample = run.draw(frame, target="y").sample
    assert sample.X[:, 3].tolist() == values.tolist()
    # Categories are no numbers, whatever they are of.
    assert sample.nominal[3] == (dtype in ("category", "object"))


@pytest.mark.parametrize(
    "dtype", ["date32[pyarrow]", "date64[pyarrow]", "timestamp[us][pyarrow]", "M8[s]"]
)
def test_moments_are_numbers(dtype):
    when = pd.Series(pd.date_range("2020", periods=120))
    drawn = run.draw(numbers().assign(when=when.astype(dtype)), target="y")
    days = drawn.sample.X[:, 3] - drawn.sample.X[0, 3]
    assert (days == days[1] * np.arange(120)).all() and days[1] > 0


@pytest.mark.parametrize("dtype", ["date32[pyarrow]", "M8[s]", "m8[us]"])
def test_missing_moments_are_named(dtype):
    when = pd.Series(pd.to_timedelta([None, *range(119)], unit="D"))
    when = when if dtype == "m8[us]" else pd.Timestamp("2020") + when
    frame = numbers().assign(when=when.astype(dtype))
    with pytest.raises(ValueError, match=r"'when' .1 missing"):
        run.draw(frame, target="y")


@pytest.mark.parametrize(
    ("change", "how", "error"),
    [
        ({}, {"target": "z"}, "no target column 'z'; the columns are 'a'"),
        ({"y": 1}, {"target": "y"}, "at least 2 classes, but has 1: 1 .120 rows.; check"),
        ({"y": np.repeat([0, 1], [101, 19])}, {"target": "y"}, "no advice: class 1 has 19 rows in"),
        (
            {"y": np.repeat([0, 1], [119, 1])},
            {"target": "y"},
            "class 1 has 1 row in .*collect more",
        ),
        ({}, {"target": "y", "rows": -1}, "rows is a whole number from 1 on, not -1"),
        ({}, {"target": "y", "rows": 0}, "rows is a whole number from 1 on, not 0"),
        ({}, {"target": "y", "rows": 99.5}, "rows is a whole number from 1 on, not 99.5"),
        ({}, {"target": "y", "rows": None}, "rows is a whole number from 1 on, not None"),
        ({}, {"target": "y", "rows": True}, "rows is a whole number from 1 on, not True"),
        ({}, {"target": "y", "rows": 60}, "class 1 has 12 rows in .* .24 in the table.*raise rows"),
        (
            {"b": np.nan},
            {"target": "y"},
            "infinity in numeric features, of 120 .*'b' .120 missing.*",
        ),
        ({"y": [None, *[0] * 59, *[1] * 60]}, {"target": "y"}, "target 'y' is missing in 1 row"),
        ({}, {"target": "y", "carry": ["q"]}, "no column 'q' to carry"),
        ({}, {"target": "y", "random_state": "a"}, "random_state must be None, an int"),
        ({}, {}, "takes X and y, or a frame and target="),
        ({}, {"target": "y", "learners": []}, "learners is empty"),
    ],
)
def test_what_cannot_be_advised_on_is_named(change, how, error):
    with pytest.raises(ValueError, match=error):
        advised(numbers(120, 24).assign(**change), **how)


def test_what_is_no_classifier_is_named():
    for learner in (3, GaussianNB, "GaussianNB"):
        with pytest.raises(TypeError, match="no scikit-learn classifier"):
            advised(numbers(), target="y", learners={"mine": learner})
    with pytest.raises(ValueError, match="did you mean 'GaussianNB'"):
        run.find_learner("GausianNB")
    with pytest.raises(ValueError, match=r"'nowhere\.Learner'"):
        run.find_learner("nowhere.Learner")
    assert isinstance(run.find_learner("GaussianNB"), GaussianNB)
    assert isinstance(run.find_learner("sklearn.naive_bayes.GaussianNB"), GaussianNB)
    assert run.find_learner("LogisticRegression").max_iter == 300


# --- What is said


def helped(monkeypatch, method, ratio):
    """Have one candidate rank every held-out row as it should be."""
    own = screen.fit_scores

    def fit_scores(candidate, learners, rows, held, seed):
        scores = own(candidate, learners, rows, held, seed)
        if (candidate.method, candidate.ratio) == (method, ratio):
            scores = dict.fromkeys(scores, held[:, 0] / 10000.0)
        return scores

    monkeypatch.setattr(screen, "fit_scores", fit_scores)
    monkeypatch.setattr(screen, "RATIOS", (0.5, 1.0))
    rng = np.random.default_rng(0)
    y = np.arange(600) % 6 == 0
    frame = pd.DataFrame(
        {"a": np.where(y, 9000, 0) + rng.normal(size=600), "b": rng.normal(size=600)}
    )
    return frame, np.where(y, "rare", "usual")


class Blind(GaussianNB):
    """Sees the last column only."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X[:, -1:], y, sample_weight)

    def predict_proba(self, X):
        return super().predict_proba(X[:, -1:])


def test_nothing_is_as_good_and_its_threshold_is_told():
    advice = advised(*overlapping(320, 80))
    assert not advice.table["named"].any() and advice.job("in", "out") is None
    said = str(advice)
    assert "GaussianNB, AP: nothing is as good\nGaussianNB, F1: nothing is as good; thresh" in said
    assert "a tuned threshold is what F1 gains from" in said
    threshold = advice.table.query("metric == 'F1' and method == 'nothing'")["threshold"].iloc[0]
    assert f"; threshold {threshold:.4g} (F1 of nothing: " in said
    assert said.startswith("400 of 400 rows, 80 of class 1 (20.00%) against the other class")
    assert advice.warnings == ()


def test_what_is_named_becomes_a_job(monkeypatch):
    X, y = helped(monkeypatch, "smote", 0.5)
    advice = advised(X.assign(y=y), target="y", learners=Blind(), random_state=3)
    found = advice.named
    assert set(found["method"]) == {"smote"} and set(found["ratio"]) == {0.5}
    assert set(found["metric"]) == {"AP", "F1"}
    assert advice.job("in", "out") == {
        **{"input": "in", "target": "y", "output": "out", "sampler": "smote"},
        "params": {"sampling_strategy": 0.5, "random_state": 3},
    }
    assert "Blind, AP: smote, ratio 0.5, +0." in str(advice)
    # The control is not blind.
    assert "a regularised learner without resampling" in str(advice)
    assert "as good: the gain may be that of a learner that over-fits" in str(advice)
    found = advice.to_dict()
    assert found["rare"] == "rare" and sum(row["named"] for row in found["table"]) == 2


@pytest.mark.parametrize("method", screen.METHODS[2:])
@pytest.mark.parametrize("named", [[], ["code"]])
def test_every_job_is_one(method, named, monkeypatch):
    X, y = helped(monkeypatch, method, 1.0)
    frame = X.assign(y=y, id=np.arange(600), code=np.arange(600) % 4)
    how = {"target": "y", "carry": ["id"], "categorical_features": named or "auto"}
    job = advised(frame, learners=Blind(), **how).job("in", "out")
    if named and method == screen.BORDERLINE:  # it is for numbers
        assert job is None
        return
    spec = JobSpec(**job)
    assert spec.carry == (() if method == screen.UNDER else ("id",))
    mixed = named and method == screen.SMOTE
    assert spec.categorical == (("code",) if mixed else ())
    assert (spec.sampler == "smotenc") == bool(mixed)


def test_class_weights_are_named_and_are_no_job(monkeypatch):
    X, y = helped(monkeypatch, "class weights", 1.0)
    advice = advised(X, y, learners=[Blind()])
    assert "class weights, ratio 1 (class_weight of the learner), +" in str(advice)
    assert advice.job("in", "out") is None


def test_of_many_classes_the_rarest_is_found(monkeypatch):
    X, y = helped(monkeypatch, "random under", 0.5)
    y = np.where((y == "usual") & (np.arange(600) % 2 == 0), "other", y)
    advice = advised(X, y, learners=Blind())
    assert advice.rare == "rare" and advice.counts == {"rare": 100, "usual": 300, "other": 200}
    assert "3 classes; the rarest, rare, is compared with all others together" in str(advice)
    params = advice.job("in", "out")["params"]
    assert params["sampling_strategy"] == {"usual": 120, "other": 80}


@pytest.mark.parametrize(
    ("labels", "rare"),
    [
        ([1, 0], 1),
        ([True, False], True),
        ([1.5, 0.5], 1.5),
        ([np.inf, 0.5], "inf"),
        (["b", "a"], "b"),
        ([b"b", b"a"], "b'b'"),
        (pd.to_datetime(["2020-01-02", "2020-01-01"]), "2020-01-02 00:00:00"),
        ([datetime.date(2020, 1, 2), datetime.date(2020, 1, 1)], "2020-01-02"),
        ([datetime.timedelta(1), datetime.timedelta(2)], "1 day, 0:00:00"),
        ([decimal.Decimal("1.5"), decimal.Decimal("0.5")], "1.5"),
    ],
)
def test_any_label_goes_into_json(labels, rare, monkeypatch):
    monkeypatch.setattr(screen, "RATIOS", ())
    X, y = overlapping(90, 30)
    y = np.asarray(pd.Series(list(labels), dtype=object)[1 - np.asarray(y)])
    found = json.loads(json.dumps(advised(X, y).to_dict(), allow_nan=False))
    assert (found["rare"], type(found["rare"])) == (rare, type(rare))
    assert found["counts"][str(rare)] == 30


def test_few_rows_are_warned_of():
    assert "24 rows of class 1 are few" in str(advised(numbers(120, 24), target="y"))
    assert advised(numbers(240, 120), target="y").warnings == (
        "Warning: the classes are balanced; there is no ratio to try",
    )


def test_learners_without_weights_or_probabilities(rng):
    from sklearn.svm import LinearSVC

    advice = advised(numbers(240, 70), target="y", learners=[KNeighborsClassifier(), LinearSVC()])
    found = advice.table.groupby("learner")["method"].unique()
    assert "class weights" not in found["KNeighborsClassifier"]
    assert "class weights" in found["LinearSVC"]
    assert advice.warnings == (
        "Warning: KNeighborsClassifier takes no weights: class weights are left out",
    )
    said = next(line for line in advice.words if line.startswith("LinearSVC, F1"))
    assert "at 0.5" not in said  # a decision function has no half


def test_a_figure_has_a_point_for_each_candidate(monkeypatch):
    advice = advised(numbers(240, 70), target="y")
    axes = advice.figure().axes
    assert [len(axis.collections[1].get_offsets()) for axis in axes] == [11, 11]
    monkeypatch.setattr("dsmote.advice.result.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install .dsmote\[report\]"):
        check_figure()
