"""Samplers without neighbours on small workers: class rows stay in scratch files by themselves."""

import numpy as np
import pandas as pd
import pytest

from dsmote import run_job
from tests.cluster.starting import hashes, left_in


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "params", "megabytes"),
    [
        ("RandomOverSampler", {}, 400),
        ("RandomOverSampler", {"shrinkage": 1.0}, 400),
        ("PolynomFitSMOTE", {"provenance": "full", "carry": ["town"]}, 400),
    ],
)
def test_a_job_on_small_workers(tmp_path, method, params, megabytes):
    (tmp_path / "table").mkdir()
    (tmp_path / "lake").mkdir()
    for number in range(20):
        rng, n = np.random.default_rng(number), 40_000
        frame = pd.DataFrame(rng.normal(size=(n, 10)), columns=[*"abcdefghij"])
        if "shrinkage" not in params:
            frame["town"] = rng.choice([f"town number {i}" for i in range(20)], n)
        if not params:
            frame["kind"] = pd.Categorical(rng.choice(["x", "y", None], n))
        frame["label"] = np.where(rng.random(n) < 0.45, "rare", "usual")
        frame.to_parquet(tmp_path / "table" / f"{number:02d}.parquet", index=False)

    def made(name, limit):
        manifest = run_job(
            {
                "input": str(tmp_path / "table"),
                "output": str(tmp_path / "lake" / name),
                "target": "label",
                "sampler": method,
                "params": {"random_state": 0, **params},
                "cluster": {"n_workers": 2, "threads_per_worker": 1, "memory_limit": limit},
            }
        ).manifest
        assert left_in(tmp_path / "lake") <= {"large", "small"}
        return manifest

    large, small = made("large", "3GiB"), made("small", f"{megabytes}MiB")
    assert hashes(tmp_path / "lake" / "large") == hashes(tmp_path / "lake" / "small")
    ways = ["stay in scratch files, because" in of["classes"][0]["why"] for of in (large, small)]
    assert ways == [False, True]
    memory = small["memory"]
    assert len(memory["peak_bytes"]) == 2
    assert max(memory["peak_bytes"].values()) <= memory["worker_bytes"], memory
