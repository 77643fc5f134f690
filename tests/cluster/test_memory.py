"""The projection is an upper bound of what workers take, and not a wild one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dsmote import run_job
from dsmote.cluster import connect
from dsmote.job.run import prepare, write_job
from dsmote.job.spec import JobSpec


def write_table(folder: Path, files: int, rows: int, names: bool) -> None:
    folder.mkdir()
    for number in range(files):
        rng = np.random.default_rng(number)
        frame = pd.DataFrame(rng.normal(size=(rows, 16)), columns=[f"x{i}" for i in range(16)])
        if names:
            frame["town"] = rng.choice([f"town number {i}" for i in range(500)], rows)
        frame["y"] = (rng.random(rows) < 0.04).astype("int64")
        frame.to_parquet(folder / f"{number}.parquet", index=False)


@pytest.mark.parametrize(
    ("names", "threads"),
    [
        pytest.param(False, 1, id="numbers-1", marks=pytest.mark.slow),
        pytest.param(False, 2, id="numbers-2", marks=pytest.mark.slow),
        pytest.param(True, 1, id="numbers and names-1", marks=pytest.mark.slow),
        pytest.param(True, 2, id="numbers and names-2"),
    ],
)
def test_workers_stay_below_the_projection(tmp_path: Path, names: bool, threads: int) -> None:
    write_table(tmp_path / "table", files=6, rows=100_000, names=names)
    spec = JobSpec(
        str(tmp_path / "table"), target="y", output=str(tmp_path / "out"), random_state=0
    )
    with connect(n_workers=1, threads_per_worker=threads, memory_limit="3GiB") as client:
        manifest = write_job(prepare(spec), client).manifest
    projected = manifest["memory"]["worker_bytes"]
    (peak,) = manifest["memory"]["peak_bytes"].values()
    assert peak <= projected, f"{peak / 2**20:.0f} MiB taken, {projected / 2**20:.0f} projected"
    assert projected <= 1.5 * peak, f"{peak / 2**20:.0f} MiB, {projected / 2**20:.0f} projected"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "target", "params"),
    [
        ("adult", "income", {"missing": "skip"}),
        ("bank_full", "y", {}),
        ("insurance_crosssell_train", "Response", {}),
        ("kdd_smtp", "y", {}),
        ("kddcup99_10pct", "label", {"on_small_class": "copy"}),
        ("mammography", "class", {}),
        ("oil_spill", "class", {}),
        ("phoneme", "class", {}),
        ("satimage", "class", {}),
        ("thyroid0387", "diagnosis", {"on_small_class": "copy", "missing": "skip"}),
    ],
)
def test_real_tables_take_what_is_projected(
    tmp_path: Path, data_dir: Path, name: str, target: str, params: dict[str, str]
) -> None:
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


@pytest.mark.slow
def test_a_large_row_group_needs_no_large_workers(tmp_path: Path) -> None:
    n = 1_048_576  # what pandas writes in one row group
    rng = np.random.default_rng(0)
    columns = {f"x{i}": rng.normal(size=n).astype("f4") for i in range(40)}
    frame = pd.DataFrame(columns | {"y": (rng.random(n) < 0.01).astype("i1")})
    frame.to_parquet(tmp_path / "table.parquet", index=False)
    spec = JobSpec(
        str(tmp_path / "table.parquet"),
        target="y",
        output=str(tmp_path / "out"),
        sampling_strategy=0.05,
        random_state=0,
    )
    with connect(n_workers=1, threads_per_worker=1, memory_limit="400MiB") as client:
        manifest = write_job(prepare(spec), client).manifest
    (peak,) = manifest["memory"]["peak_bytes"].values()
    assert peak <= manifest["memory"]["worker_bytes"] <= 0.8 * 400 * 2**20
