"""The projection is an upper bound of what workers take, and not a wild one."""

import numpy as np
import pandas as pd
import pytest

from dsmote import run_job

SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("names", "threads"),
    [(True, 2), pytest.param(False, 1, marks=SLOW)],
)
def test_workers_stay_below_the_projection(tmp_path, names, threads):
    folder = tmp_path / "table"
    folder.mkdir()
    for number in range(6):
        rng = np.random.default_rng(number)
        frame = pd.DataFrame(rng.normal(size=(60_000, 16)), columns=[f"x{i}" for i in range(16)])
        if names:
            frame["town"] = rng.choice([f"town number {i}" for i in range(500)], 60_000)
        frame["y"] = (rng.random(60_000) < 0.04).astype("int64")
        frame.to_parquet(folder / f"{number}.parquet", index=False)
    job = {
        "input": str(folder),
        "output": str(tmp_path / "out"),
        "target": "y",
        "params": {"random_state": 0},
        "cluster": {"n_workers": 1, "threads_per_worker": threads, "memory_limit": "3GiB"},
    }
    memory = run_job(job).manifest["memory"]
    (peak,) = memory["peak_bytes"].values()
    assert peak <= memory["worker_bytes"] <= 1.5 * peak, memory


@SLOW
@pytest.mark.parametrize(
    ("name", "target", "params"),
    [
        ("adult", "income", {"missing": "skip"}),
        ("kddcup99_10pct", "label", {"on_small_class": "copy"}),
        ("thyroid0387", "diagnosis", {"on_small_class": "copy", "missing": "skip"}),
    ],
)
def test_real_tables_take_what_is_projected(tmp_path, data_dir, name, target, params):
    job = {
        "input": str(data_dir / f"{name}.parquet"),
        "output": str(tmp_path / "out"),
        "target": target,
        "params": {**params, "random_state": 0},
        "cluster": {"n_workers": 1, "threads_per_worker": 1, "memory_limit": "3GiB"},
    }
    # Of equal rows an index holds one, and the plan does not know that 70 % of these are.
    most = 1.6 if name == "kddcup99_10pct" else 1.5
    peaks = []
    for _ in range(3):  # how many indexes are there at a time depends on the order of tasks
        memory = run_job({**job, "if_exists": "replace"}).manifest["memory"]
        peaks += memory["peak_bytes"].values()
        assert max(peaks) <= memory["worker_bytes"]
        if memory["worker_bytes"] <= most * max(peaks):
            return
    raise AssertionError(f"{memory['worker_bytes']:,} bytes are projected, {peaks} are taken")


@SLOW
def test_a_large_row_group_needs_no_large_workers(tmp_path):
    n = 1_048_576  # what pandas writes in one row group
    rng = np.random.default_rng(0)
    columns = {f"x{i}": rng.normal(size=n).astype("f4") for i in range(40)}
    frame = pd.DataFrame(columns | {"y": (rng.random(n) < 0.01).astype("i1")})
    frame.to_parquet(tmp_path / "table.parquet", index=False)
    job = {
        "input": str(tmp_path / "table.parquet"),
        "output": str(tmp_path / "out"),
        "target": "y",
        "params": {"sampling_strategy": 0.05, "random_state": 0},
        "cluster": {"n_workers": 1, "threads_per_worker": 1, "memory_limit": "400MiB"},
    }
    memory = run_job(job).manifest["memory"]
    (peak,) = memory["peak_bytes"].values()
    assert peak <= memory["worker_bytes"] <= 0.8 * 400 * 2**20
