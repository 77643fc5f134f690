"""Against the papers and against imbalanced-learn: formula, counts, metric, distribution."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from imblearn.over_sampling import SMOTE as TheirSMOTE
from imblearn.over_sampling import SMOTENC as TheirSMOTENC
from imblearn.utils import check_sampling_strategy
from scipy.stats import ks_2samp
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import OneHotEncoder

from dsmote import SMOTE, SMOTENC
from dsmote.kernels import segment, vote
from dsmote.plan import Stream, bases_of, copies_with_replacement, wanted_rows
from dsmote.plan.draws import GAP, NEIGHBOUR
from dsmote.samplers.smotenc import mixed_weight
from tests.tables import naive_neighbours, numbers


def test_the_kernel_is_the_formula_of_the_paper():
    rng = np.random.default_rng(0)
    bases, neighbours, gaps = rng.normal(size=(50, 3)), rng.normal(size=(50, 3)), rng.random(50)
    made = segment(bases, neighbours, gaps, np.zeros(3, dtype=bool))
    for row, base, neighbour, gap in zip(made, bases, neighbours, gaps, strict=True):
        for attribute in range(3):  # "Synthetic = Sample + gap * dif", figure 3 of the paper
            dif = neighbour[attribute] - base[attribute]
            assert row[attribute] == base[attribute] + gap * dif


def test_the_kernel_is_that_of_imblearn():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(30, 4))
    near = rng.integers(0, 30, size=(30, 5))
    rows, columns = rng.integers(0, 30, 80), rng.integers(0, 5, 80)
    steps = rng.random(80)
    theirs = TheirSMOTE()._generate_samples(X, X, near, rows, columns, steps[:, None])
    ours = segment(X[rows], X[near[rows, columns]], steps, np.zeros(4, dtype=bool))
    np.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=1e-15)


def test_every_synthetic_row_follows_from_its_base_neighbour_and_draws():
    table = numbers(200, 30, 3, seed=4)
    X, y = table.drop(columns="y").to_numpy(), table["y"].to_numpy()
    seed, k = 11, 4
    made = SMOTE(k_neighbors=k, random_state=seed).fit_resample(X, y)[0][200:]
    few = X[y == 1]
    # scikit-learn's search stands for the neighbours: no ties here, the first is the row itself.
    near = NearestNeighbors(n_neighbors=k + 1).fit(few).kneighbors(few)[1][:, 1:]
    n_new, rank = len(made), 1
    bases = bases_of(copies_with_replacement(30, n_new, seed, rank), 0, n_new)
    toward = near[bases, Stream(seed, rank, NEIGHBOUR).below(k, 0, n_new)]
    gaps = Stream(seed, rank, GAP).uniform(0, n_new)
    np.testing.assert_array_equal(made, few[bases] + gaps[:, None] * (few[toward] - few[bases]))


# ---- strategies

COUNTS = st.dictionaries(st.integers(-3, 6), st.integers(1, 60), min_size=2, max_size=6)


def new_rows(strategy, counts):
    wanted = wanted_rows(strategy, counts, "over-sampling")
    return {label: n - counts[label] for label, n in wanted.items()}


@given(
    counts=COUNTS, word=st.sampled_from(["auto", "minority", "not minority", "not majority", "all"])
)
def test_words_give_the_same_counts(counts, word):
    # Their dictionaries are in order of first appearance, which decides ties; ours sort labels.
    y = np.repeat(sorted(counts), [counts[label] for label in sorted(counts)])
    theirs = check_sampling_strategy(word, y, "over-sampling")
    assert new_rows(word, counts) == {int(label): int(n) for label, n in theirs.items()}


@given(
    counts=COUNTS, word=st.sampled_from(["auto", "majority", "not minority", "not majority", "all"])
)
def test_words_give_the_same_classes_to_clean(counts, word):
    y = np.repeat(sorted(counts), [counts[label] for label in sorted(counts)])
    theirs = check_sampling_strategy(word, y, "clean-sampling")
    assert set(wanted_rows(word, counts, "clean-sampling")) == {int(label) for label in theirs}


@given(few=st.integers(1, 50), many=st.integers(50, 400), ratio=st.floats(0.01, 1.0))
def test_ratios_give_the_same_counts(few, many, ratio):
    wanted = many * ratio
    assume(wanted == round(wanted) or abs(wanted - round(wanted)) > 1e-9)  # ours rounds that away
    y = np.repeat([0, 1], [many, few])
    try:
        theirs = check_sampling_strategy(ratio, y, "over-sampling")
    except ValueError:
        with pytest.raises(ValueError, match="sampling_strategy"):
            new_rows(ratio, {0: many, 1: few})
    else:
        if theirs[1]:  # a ratio that asks for less than one row is an error here, and 0 there
            assert new_rows(ratio, {0: many, 1: few}) == theirs
        else:
            with pytest.raises(ValueError, match="sampling_strategy"):
                new_rows(ratio, {0: many, 1: few})


@given(counts=COUNTS, more=st.integers(0, 80))
def test_mappings_and_callables_give_the_same_counts(counts, more):
    y = np.repeat(sorted(counts), [counts[label] for label in sorted(counts)])
    wanted = {label: n + more for label, n in sorted(counts.items())[:2]}
    theirs = check_sampling_strategy(wanted, y, "over-sampling")
    assert new_rows(wanted, counts) == dict(theirs)
    assert new_rows(lambda _: wanted, counts) == dict(
        check_sampling_strategy(lambda _: wanted, y, "over-sampling")
    )


def test_what_a_callable_is_given():
    import dask.dataframe as dd

    table = numbers(90, 20)
    seen = []

    def strategy(y):
        seen.append(y)
        return {1: 40}

    SMOTE(sampling_strategy=strategy).fit_resample(table[["a", "b"]], table["y"])
    np.testing.assert_array_equal(seen.pop(), table["y"])
    lazy = SMOTE(sampling_strategy=strategy).resample(dd.from_pandas(table, 3), target="y")
    assert seen.pop() == {0: 70, 1: 20}
    assert len(lazy.compute(scheduler="synchronous")) == 110


@pytest.mark.parametrize("strategy", ["auto", "minority", "all", "not minority", {1: 70, 2: 200}])
def test_results_have_the_same_counts_and_order_of_classes(strategy):
    rng = np.random.default_rng(2)
    y = rng.permutation(np.repeat([2, 0, 1], [30, 120, 50]))
    X = rng.normal(size=(200, 2))
    theirs = TheirSMOTE(sampling_strategy=strategy, random_state=0).fit_resample(X, y)[1]
    ours = SMOTE(sampling_strategy=strategy, random_state=0).fit_resample(X, y)[1]
    assert pd.Series(ours).value_counts().to_dict() == pd.Series(theirs).value_counts().to_dict()
    np.testing.assert_array_equal(ours[:200], y)
    assert (np.diff(ours[200:]) >= 0).all()  # class by class, sorted


# ---- SMOTENC's metric


def mixed_class(n=60, seed=0):
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(n, 3)) * [1.0, 2.0, 0.5]
    codes = rng.integers(0, [3, 5], size=(n, 2))
    return numeric, codes


def test_the_weight_of_a_name_is_that_of_imblearn():
    numeric, codes = mixed_class()
    X = np.column_stack([numeric, codes])
    theirs = TheirSMOTENC(categorical_features=[3, 4], random_state=0)
    theirs.fit_resample(np.vstack([X, X + 0.01, X]), np.repeat([0, 0, 1], 60))
    np.testing.assert_allclose(mixed_weight(numeric), theirs.median_std_[1], rtol=1e-9)


def test_distances_and_neighbours_are_those_of_the_one_hot_construction():
    from dsmote.neighbors import BruteSearch, MixedSearch

    numeric, codes = mixed_class()
    weight = mixed_weight(numeric)
    # imbalanced-learn: one-hot columns hold M / 2 ... scaled so that a difference adds M^2.
    hot = OneHotEncoder(sparse_output=False).fit_transform(codes) * weight / np.sqrt(2.0)
    wide = np.column_stack([numeric, hot])
    expected_distances, expected = naive_neighbours(wide, 5)
    for engine in (MixedSearch, BruteSearch):
        index = engine(numeric, codes.astype(np.int32), weight)
        distances, found = index.query(np.arange(60), 5)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)


def test_a_nominal_value_is_the_mode_of_the_neighbours():
    numeric, codes = mixed_class(80, seed=5)
    table = pd.DataFrame(numeric, columns=list("abc"))
    table["p"] = pd.Series(codes[:, 0]).map(dict(enumerate("xyz")))
    table["q"] = pd.Series(codes[:, 1]).map(dict(enumerate("klmno")))
    others = [table.assign(a=table["a"] + 9), table.assign(a=table["a"] - 9)]
    X = pd.concat([table, *others], ignore_index=True)
    y = np.repeat([1, 0], [80, 160])
    seed, k = 2, 5
    made = SMOTENC(random_state=seed, k_neighbors=k).fit_resample(X, y)[0][240:]
    _, near = naive_neighbours(numeric, k, codes, mixed_weight(numeric))
    n_new = len(made)
    bases = bases_of(copies_with_replacement(80, n_new, seed, 1), 0, n_new)
    for row, base in zip(made.itertuples(index=False), bases, strict=True):
        for name in "pq":
            votes = table[name].iloc[near[base]].value_counts()
            assert getattr(row, name) in votes.index[votes == votes.max()]


def test_the_mode_leaves_the_base_row_out():
    # Every row of the class has another name than its neighbours but for pairs of twins.
    codes = np.array([[0, 0, 1], [2, 1, 2]])
    np.testing.assert_array_equal(vote(codes, np.zeros(2)), [0, 2])


def test_ties_of_names_are_drawn():
    x = np.arange(8.0)
    table = pd.DataFrame({"x": np.append(x, np.arange(200.0)), "c": list("abababab") + ["z"] * 200})
    y = np.repeat([1, 0], [8, 200])
    made = SMOTENC(k_neighbors=2, random_state=0).fit_resample(table, y)[0][208:]
    assert 60 < (made["c"] == "a").sum() < 132


# ---- the distribution of the synthetic rows


@pytest.fixture(scope="module")
def phoneme(data_dir):
    return pd.read_parquet(data_dir / "phoneme.parquet")


def synthetic(sampler, X, y):
    return np.asarray(sampler.fit_resample(X, y)[0])[len(X) :]


def test_synthetic_rows_are_distributed_as_those_of_imblearn(phoneme):
    X = phoneme.iloc[:, :-1].to_numpy(dtype=float)
    y = phoneme.iloc[:, -1].to_numpy()
    few = pd.Series(y).value_counts().index[-1]
    strategy = {few: 12_000}
    ours = synthetic(SMOTE(sampling_strategy=strategy, random_state=0), X, y)
    theirs = synthetic(TheirSMOTE(sampling_strategy=strategy, random_state=1), X, y)
    again = synthetic(TheirSMOTE(sampling_strategy=strategy, random_state=2), X, y)
    spread = X[y == few].std(axis=0)
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 0.04 * spread).all()
    for j in range(X.shape[1]):
        # As near to theirs as theirs with another seed is, but for a little.
        assert (
            ks_2samp(ours[:, j], theirs[:, j]).statistic
            < ks_2samp(again[:, j], theirs[:, j]).statistic + 0.02
        )
    covariance = np.cov(ours.T) - np.cov(theirs.T)
    assert np.abs(covariance / np.outer(spread, spread)).max() < 0.05


def test_names_are_distributed_as_those_of_imblearn(data_dir):
    adult = pd.read_parquet(data_dir / "adult.parquet")
    target = next(c for c in adult.columns if adult[c].nunique() == 2 and ">50K" in set(adult[c]))
    table = adult[["age", "hours-per-week", "education", "sex", target]][:4_000]
    X = table.drop(columns=target).assign(
        **{c: table[c].astype("str") for c in ("education", "sex")}
    )
    y = table[target].astype(str)
    ours = SMOTENC(random_state=0).fit_resample(X, y)[0][len(X) :]
    theirs = TheirSMOTENC(categorical_features=["education", "sex"], random_state=0)
    theirs = theirs.fit_resample(X, y)[0][len(X) :]
    for name in ("education", "sex"):
        one, other = (made[name].value_counts(normalize=True) for made in (ours, theirs))
        assert (one.sub(other, fill_value=0.0)).abs().max() < 0.06
    assert abs(ours["age"].mean() - theirs["age"].mean()) < 1.0
