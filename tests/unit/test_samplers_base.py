"""What all samplers share: fitted attributes, plan and run, the arguments of plan."""

import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTENC
from tests.tables import mixed, numbers


def test_fitted_attributes():
    table = numbers()
    sampler = SMOTE(random_state=0)
    sampler.fit(table.drop(columns="y"), table["y"])
    assert sampler.sampling_strategy_ == {1: 72}
    assert sampler.n_features_in_ == 3
    assert sampler.feature_names_in_.tolist() == ["a", "b", "c"]
    sampler.fit(table[["a", "b"]].to_numpy(), table["y"].to_numpy())
    assert sampler.n_features_in_ == 2
    assert not hasattr(sampler, "feature_names_in_")


def test_the_target_is_not_a_feature():
    sampler = SMOTENC(random_state=0)
    sampler.resample(mixed(), target="y")
    assert sampler.feature_names_in_.tolist() == ["a", "c", "b", "d"]
    assert sampler.categorical_features_.tolist() == [1, 4]


def test_the_plan_of_a_run_is_kept_and_is_that_of_plan():
    table = numbers()
    sampler = SMOTE(random_state=3)
    balanced = sampler.resample(table, target="y")
    assert sampler.plan_ == SMOTE(random_state=3).plan(table, target="y")
    assert len(balanced) == sampler.plan_.n_after
    assert balanced["y"].value_counts().to_dict() == sampler.plan_.counts_after


@pytest.mark.parametrize("given", [{}, {"y": "both", "target": "y"}])
def test_plan_takes_a_pair_or_a_frame(given):
    table = numbers()
    arguments = {"y": table["y"], "target": "y"} if given else {}
    with pytest.raises(ValueError, match="plan takes X and y, or a frame and target="):
        SMOTE().plan(table, **arguments)


def test_a_plan_may_say_what_a_run_refuses():
    table = numbers(minority=4)
    plan = SMOTE().plan(table, target="y")
    assert any("needs at least 6" in problem for problem in plan.problems)
    with pytest.raises(ValueError, match="needs at least 6"):
        SMOTE().resample(table, target="y")


def test_measurements_are_no_labels_however_many_classes_there_are():
    X = np.arange(600.0).reshape(-1, 1)
    SMOTE(random_state=0).fit_resample(X, np.repeat(np.arange(60), 10))
    with pytest.raises(ValueError, match=r"Unknown label type: continuous.* 0\.5"):
        SMOTE().fit_resample(X, np.repeat(np.arange(60) / 2, 10))


def test_an_array_of_whole_numbers_cannot_carry():
    X = np.arange(60).reshape(-1, 2)
    with pytest.raises(ValueError, match=r"column 0 cannot be carried in an array of int64"):
        SMOTE(carry=[0]).fit_resample(X, np.repeat([0, 1], [20, 10]))
    floats, _ = SMOTE(carry=[0], random_state=0).fit_resample(
        X.astype(float), np.repeat([0, 1], [20, 10])
    )
    assert np.isnan(floats[30:, 0]).all()
    assert np.isfinite(floats[:30]).all()


def test_categories_too_many_to_embed_are_refused_with_the_remedy():
    import dask.dataframe as dd
    from dask import delayed

    def part(start: int) -> pd.DataFrame:
        names = [f"level-{i}" for i in range(start, start + 400)]
        return pd.DataFrame(
            {
                "x": np.arange(400.0),
                "c": pd.Categorical(names),
                "y": np.repeat([0, 1], [380, 20]),
            }
        )

    meta = part(0).iloc[:0]
    frame = dd.from_delayed([delayed(part)(0), delayed(part)(1000)], meta=meta, verify_meta=False)
    from dsmote.samplers import base

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "UNIFY_BYTES", 1_000)
        with pytest.raises(ValueError, match=r"column 'c' differ .* 800 .*categorize"):
            SMOTENC().resample(frame, target="y")
