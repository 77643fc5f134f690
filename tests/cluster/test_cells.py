"""Classes cut into cells: workers die, disks are full, memory is small; no scratch file is left."""

import gc
import os
import re
import sys
import time

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client

from dsmote import SMOTE, BorderlineSMOTE, run_job
from dsmote.execute.exchange import POLL_SECONDS
from dsmote.plan import plan as plan_module
from tests.cluster.starting import (
    CELLS,
    hashes,
    kill,
    left_in,
    run,
    small_disk,
    wait_until,
    worker_at,
)

SLOW = pytest.mark.slow


def table(rows=3000, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 4)).round(2), columns=list("abcd"))
    return frame.assign(y=np.where(np.arange(rows) % 3 == 0, "rare", "usual"))


def sampler(scratch=None, route="cells"):
    return SMOTE(random_state=0, route=route, scratch=scratch and str(scratch))


class Cluster:
    """Two workers with a nanny each, which can be held at a stage, and a client."""

    def __init__(self, stages, client):
        self.folder, self.address, self.client = stages.folder, stages.scheduler, client
        self.frame = dd.from_pandas(table(), npartitions=4)
        self.rows = sampler(route="broadcast").resample(self.frame, target="y").compute()

    def made(self, scratch):
        """The lazy result whose scratch files lie in a folder."""
        made = sampler(scratch)
        result = made.resample(self.frame, target="y")
        (growing,) = made.plan_.growing
        assert (growing.cells, len(made.plan_.blocks)) == (8, 4)
        return result

    def made_of_all(self, scratch, kind):
        """The same of a sampler that asks for the nearest of all rows, and what it is to be."""
        how = BorderlineSMOTE(random_state=0, kind=kind, route="broadcast")
        rows = how.resample(self.frame, target="y").compute(scheduler="synchronous")
        made = how.set_params(route="cells", scratch=str(scratch))
        result = made.resample(self.frame, target="y")
        assert made.plan_.all_rows is not None
        assert made.plan_.all_rows.cells == 32
        return result, rows

    def held(self, result, stage):
        """Compute a result until a worker has come to a stage; return the future, and its pid."""
        (self.folder / f"hold-{stage}").touch()
        future = self.client.compute(result)
        marks = f"at-{stage}-*"

        def there():
            assert not future.done(), future.exception()
            return any(self.folder.glob(marks))

        wait_until(there, f"a worker has come to {stage}")
        (mark, *_) = self.folder.glob(marks)
        return future, int(mark.name.rpartition("-")[2])

    def go_on(self):
        """Let workers go on that are held."""
        for mark in (*self.folder.glob("hold-*"), *self.folder.glob("at-*")):
            mark.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def started(stages):
    with Client(stages.scheduler, set_as_default=False) as client, client.as_current():
        yield Cluster(stages, client)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(plan_module, "CELL_ROWS", 150)
    monkeypatch.setattr(plan_module, "BLOCK_ROWS", 300)


@pytest.fixture
def cluster(started):
    with started.client.as_current():
        yield started
        started.go_on()
        wait_until(lambda: len(started.client.nthreads()) == 2, "both workers are there again")


def nothing_left(scratch):
    gc.collect()
    wait_until(lambda: not os.listdir(scratch), f"{scratch} is empty", 20)


@pytest.mark.parametrize(
    "stage", ["home", *(pytest.param(each, marks=SLOW) for each in CELLS if each != "home")]
)
def test_a_worker_is_killed(cluster, tmp_path, stage):
    result = cluster.made(tmp_path)
    future, pid = cluster.held(result, stage)
    kill(pid)
    cluster.go_on()
    pd.testing.assert_frame_equal(future.result(60), cluster.rows)
    del future, result
    nothing_left(tmp_path)


@SLOW
@pytest.mark.parametrize(
    ("kind", "stage"),
    [
        ("borderline-1", "all-cell"),
        ("borderline-2", "all-answer"),
    ],
)
def test_a_worker_is_killed_while_all_rows_are_searched(cluster, tmp_path, kind, stage):
    result, rows = cluster.made_of_all(tmp_path, kind)
    future, pid = cluster.held(result, stage)
    kill(pid)
    cluster.go_on()
    pd.testing.assert_frame_equal(future.result(120), rows)
    del future, result
    nothing_left(tmp_path)


@pytest.fixture
def disk(tmp_path):
    """A file system of few bytes for scratch files."""
    with small_disk(tmp_path / "disk", "4m") as folder:
        yield folder


def fill(folder):
    """Write a file until there is no space left."""
    with (folder / "filling").open("wb", buffering=0) as handle, pytest.raises(OSError, match="28"):
        while True:
            handle.write(bytes(4096))
    return folder / "filling"


@pytest.mark.parametrize("stage", ["answer", pytest.param("made", marks=SLOW)])
def test_a_disk_becomes_full(cluster, disk, stage):
    result = cluster.made(disk)
    future, _ = cluster.held(result, stage)
    filling = fill(disk)
    cluster.go_on()
    wait_until(future.done, "it has failed")
    error = future.exception()
    assert isinstance(error, OSError)
    said = rf"cannot write {disk}/dsmote-\w+/0-[\w.-]+: No space left on device"
    assert re.fullmatch(said, str(error))
    filling.unlink()
    del future, result, error
    nothing_left(disk)


# Scratch files go with the lazy result


def test_files_go_with_the_result(cluster, tmp_path):
    result = cluster.made(tmp_path)
    pd.testing.assert_frame_equal(result.compute(), cluster.rows)
    assert len(os.listdir(tmp_path)) == 1
    del result
    nothing_left(tmp_path)


def test_files_go_after_the_tasks_that_are_at_work(cluster, tmp_path):
    """What a task of a result that was dropped writes late brings no folder back."""
    result = cluster.made(tmp_path)
    future, _ = cluster.held(result, "home")
    del future, result
    gc.collect()
    time.sleep(2.5 * POLL_SECONDS)
    cluster.go_on()
    wait_until(lambda: not any(cluster.client.run(busy).values()), "workers are idle")
    nothing_left(tmp_path)


def busy(dask_worker):
    return int(dask_worker.state.executing_count)


def test_files_go_with_a_result_that_was_persisted(cluster, tmp_path):
    result = cluster.made(tmp_path).persist()
    gc.collect()
    pd.testing.assert_frame_equal(result.compute(), cluster.rows)
    del result
    nothing_left(tmp_path)


def test_files_of_threads_go_with_the_result(tmp_path):
    frame = dd.from_pandas(table(), npartitions=4)
    result = sampler(tmp_path).resample(frame, target="y")
    again = sampler(route="broadcast").resample(frame, target="y")
    pd.testing.assert_frame_equal(*(of.compute(scheduler="threads") for of in (result, again)))
    assert len(os.listdir(tmp_path)) == 1
    del result
    nothing_left(tmp_path)


@pytest.mark.parametrize("on", [pytest.param(each, marks=SLOW) for each in ("threads", "cluster")])
def test_files_go_when_the_program_ends(started, tmp_path, on):
    (tmp_path / "scratch").mkdir()
    client = f"client = distributed.Client({started.address!r})" if on == "cluster" else ""
    program = f"""
import os, distributed, dask.dataframe as dd
from dsmote.plan import plan
from tests.cluster.test_cells import sampler, table
plan.CELL_ROWS = 150
{client}
result = sampler({str(tmp_path / "scratch")!r}).resample(dd.from_pandas(table(), 4), target="y")
result.compute()
print(len(os.listdir({str(tmp_path / "scratch")!r})))
"""
    done = run(sys.executable, "-c", program)
    assert (done.stdout, done.stderr) == ("1\n", "")
    assert os.listdir(tmp_path / "scratch") == []


def test_workers_on_several_machines_need_a_folder(cluster, tmp_path):
    with worker_at(cluster.address, tmp_path / "log", host="127.0.0.2"):
        wait_until(lambda: len(cluster.client.nthreads()) == 3, "the third worker is there")
        said = r"3 workers are on 2 machines \(127.0.0.1, 127.0.0.2\): pass scratch="
        with pytest.raises(ValueError, match=said):
            sampler().resample(cluster.frame, target="y")
        result = sampler(tmp_path).resample(cluster.frame, target="y")
        pd.testing.assert_frame_equal(result.compute(), cluster.rows)
    wait_until(lambda: len(cluster.client.nthreads()) == 2, "the third worker is gone")


# Jobs on small workers take cells, or leave class rows in scratch files, by themselves


def write_parts(folder, files, rows, method, params):
    """Write a table of few directions, in which a tree is quick; with names where a method can."""
    folder.mkdir()
    for number in range(files):
        rng = np.random.default_rng(number)
        values = np.tile(rng.normal(size=(rows, 3)), 4)[:, :10].round(3)
        frame = pd.DataFrame(values, columns=[*"abcdefghij"])
        names = method == "SMOTENC"
        if names or "carry" in params:
            frame["town"] = rng.choice([f"town number {i}" for i in range(20)], rows)
        if names:
            frame["kind"] = pd.Categorical(rng.choice(["x", "y", "z"], rows))
        if method == "SMOTEN":
            frame = (8 * frame).round().astype(int).astype(str)
        frame["label"] = np.where(rng.random(rows) < 0.45, "rare", "usual")
        frame.to_parquet(folder / f"{number:02d}.parquet", index=False)


BY_CELLS, BY_FILES = "in cells, because", "stay in scratch files, because"


@SLOW
@pytest.mark.parametrize(
    ("method", "params", "files", "rows", "megabytes", "why"),
    [
        ("SMOTENC", {}, 12, 45_000, 504, BY_CELLS),
        ("BorderlineSMOTE", {}, 12, 45_000, 500, BY_CELLS),
        ("SMOTEN", {}, 12, 45_000, 520, BY_CELLS),
        ("PolynomFitSMOTE", {"provenance": "full", "carry": ["town"]}, 20, 40_000, 400, BY_FILES),
    ],
)
def test_a_job_on_small_workers(tmp_path, monkeypatch, method, params, files, rows, megabytes, why):
    monkeypatch.undo()
    write_parts(tmp_path / "table", files, rows, method, params)
    (tmp_path / "lake").mkdir()
    made = []
    for limit in ("3GiB", f"{megabytes}MiB"):
        job = {"input": str(tmp_path / "table"), "output": str(tmp_path / "lake" / limit)}
        job |= {"target": "label", "sampler": method, "params": {"random_state": 0, **params}}
        job["cluster"] = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": limit}
        manifest = run_job(job).manifest
        reason = manifest["classes"][0]["why"]
        made.append((hashes(tmp_path / "lake" / limit), why in reason, manifest["memory"]))
        assert len(left_in(tmp_path / "lake")) == len(made)
    (large, in_one, _), (small, in_parts, memory) = made
    assert large == small != {}
    assert (in_one, in_parts) == (False, True)
    assert len(memory["peak_bytes"]) == 2
    assert max(memory["peak_bytes"].values()) <= memory["worker_bytes"], memory
