"""A small job runs in this process: what it imports, that it is the same job, and its tasks."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pandas as pd
import pytest
from dask.callbacks import Callback
from distributed import Client

from dsmote import run_job
from dsmote.job import JobSpec, plan_job, prepare, runner, write_job
from dsmote.job import sources as sources_module
from dsmote.job.runner import SMALL_BYTES, is_for_workers
from dsmote.job.spec import Split
from tests.job.conftest import beside, numeric_frame, write_files

ROOT = Path(__file__).resolve().parents[2]
Hashes = Callable[[Path], dict[str, str]]

HEAVY = """
import sys
from dsmote.cli import main
try:
    main(["resample", "numeric", "out", "--target", "y", "--quiet"])
except SystemExit as end:
    assert not end.code, end.code
print({"distributed", "sklearn", "matplotlib"} & set(sys.modules))
"""


def job(source: Path, out: Path, **fields: Any) -> JobSpec:
    return JobSpec(str(source), "y", output=str(out), **{"random_state": 0, **fields})


def run(program: str, folder: Path, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_nothing_is_imported_that_a_small_job_does_without(numeric: Path, tmp_path: Path) -> None:
    assert run(HEAVY, tmp_path).communicate(timeout=100) == ("set()\n", "")
    assert len(pd.read_parquet(tmp_path / "out")) == 350


@pytest.mark.parametrize(
    "fields",
    [
        {"carry": ("id", "note")},
        {"sampler": "borderline", "carry": ("id", "note", "cat", "text"), "report": True},
        {"sampler": "random-under"},
        {"split": Split(test_fraction=0.3), "shuffle": True, "partition_by": ("text",)},
        {"mode": "synthetic", "carry": ("id", "note")},
    ],
    ids=["smotenc", "borderline", "under-sampling", "split and shuffle", "synthetic"],
)
def test_it_is_the_job_that_workers_do(
    mixed: Path, tmp_path: Path, client: Client, hashes: Hashes, fields: dict[str, Any]
) -> None:
    """The same bytes, and the same manifest but for times and processes."""
    told = []
    for name, workers in (("here", None), ("there", client)):
        manifest = write_job(prepare(job(mixed, tmp_path / name, **fields)), workers).manifest
        for one in ("seconds", "stages", "memory"):
            del manifest[one]
        del manifest["job"]["output"]
        told.append(manifest)
    assert told[0] == told[1]
    files = [sorted((tmp_path / name).rglob("*.parquet")) for name in ("here", "there")]
    assert len(files[0]) == len(files[1]) > 0
    for here, there in zip(*files, strict=True):
        assert here.read_bytes() == there.read_bytes()
    assert beside(tmp_path) == ["here", "mixed", "there"]


def test_csv(tmp_path: Path, client: Client, hashes: Hashes) -> None:
    numeric_frame().to_csv(tmp_path / "in.csv", index=False)
    for name, workers in (("here", None), ("there", client)):
        write_job(prepare(job(tmp_path / "in.csv", tmp_path / name)), workers)
    assert hashes(tmp_path / "here") == hashes(tmp_path / "there") != {}


def test_where_a_job_runs(numeric: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {"input": str(numeric), "output": str(tmp_path / "out"), "target": "y"}
    here = run_job(spec)
    assert list(here.manifest["memory"]["peak_bytes"]) == ["this process"]
    assert sum("runs in this process" in note for note in here.plan.notes) == 1
    again = {**spec, "if_exists": "replace", "cluster": {"n_workers": 1}}
    there = run_job(again)
    assert next(iter(there.manifest["memory"]["peak_bytes"])).startswith("tls://")
    assert not any("runs in this process" in note for note in there.plan.notes)
    assert not is_for_workers(SMALL_BYTES - 1)
    assert is_for_workers(SMALL_BYTES)
    for name in ("scheduler-address", "scheduler-file"):
        with dask.config.set({name: "tcp://127.0.0.1:9"}):
            assert is_for_workers(0)
    # What is asked for counts, too.
    few = prepare(job(numeric, tmp_path / "a")).n_bytes
    many = prepare(job(numeric, tmp_path / "a", sampling_strategy={"rare": 10**8})).n_bytes
    assert few < 100_000 and many > SMALL_BYTES


def test_an_active_client_is_used(client: Client) -> None:
    assert is_for_workers(0)


def test_it_can_be_interrupted_and_leaves_nothing(numeric: Path, tmp_path: Path) -> None:
    program = (
        "import time\nfrom dsmote.job import parts\nfrom dsmote.cli import main\n"
        "write = parts.write_part\n"
        "def slow(*args, **how):\n"
        "    made = write(*args, **how)\n    print('written', flush=True)\n"
        "    time.sleep(1)\n    return made\n"
        "parts.write_part = slow\n"
        "main(['resample', 'numeric', 'new/out', '--target', 'y', '--quiet'])"
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        process = run(program, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("written")
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (130, "Interrupted: nothing was written.\n")
        assert sorted(os.listdir(tmp_path)) == ["numeric"]


def test_an_error_is_one_message(numeric: Path, tmp_path: Path) -> None:
    data = bytearray((numeric / "1.parquet").read_bytes())
    data[4:600] = b"\xff" * 596
    (numeric / "1.parquet").write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"1\.parquet is corrupt"):
        write_job(prepare(job(numeric, tmp_path / "out")))
    assert sorted(os.listdir(tmp_path)) == ["numeric"]
    assert dask.config.get("scheduler", None) is None


def test_a_dry_run_reads_and_plans(numeric: Path, tmp_path: Path) -> None:
    plan = plan_job(prepare(job(numeric, tmp_path / "out")))
    assert plan.n_after == 350
    assert json.dumps(plan.to_dict())


@pytest.mark.parametrize(
    ("sampler", "most"), [("smote", 3.2), ("random", 3.2), ("random-under", 2.2)]
)
def test_tasks_for_each_partition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, most: float
) -> None:
    """Read and count; read, take class rows out and write; say what was written."""
    monkeypatch.setattr(sources_module, "PIECE_BYTES", 1)
    n = 60
    write_files(numeric_frame(40 * n), tmp_path / "in", n)
    tasks: list[Any] = []
    written = runner.Threads.compute

    def compute(self: Any, wanted: Any, rest: Any, on_result: Any) -> list[Any]:
        assert len(wanted) == n + (sampler != "random-under")
        return written(self, wanted, rest, on_result)

    monkeypatch.setattr(runner.Threads, "compute", compute)
    with Callback(posttask=lambda key, *_: tasks.append(key)):
        write_job(prepare(job(tmp_path / "in", tmp_path / "out", sampler=sampler)))
    assert len(tasks) / n <= most, sorted(map(str, tasks))[:20]
    made = pd.read_parquet(tmp_path / "out")
    assert np.unique(made["y"].value_counts()).size == 1
