"""Classes cut into cells: workers die, disks are full, memory is small; no scratch file is left."""

import gc
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client

from dsmote import SMOTE, BorderlineSMOTE, run_job
from dsmote.execute.exchange import POLL_SECONDS
from dsmote.plan import plan as plan_module
from tests.cluster.starting import (
    hashes,
    kill,
    left_in,
    run,
    scheduler_in,
    small_disk,
    wait_until,
    worker_at,
    workers_of,
)

SLOW = pytest.mark.slow


def some_slow(stages: Sequence[str], *quick: str) -> list[Any]:
    """Mark all stages but some as slow tests."""
    return [each if each in quick else pytest.param(each, marks=SLOW) for each in stages]


#: Stages, as the scratch files of each are named; to collect is to read those that were made last.
STAGES = ("rows", "cell", "home", "answer", "made", "collect")

#: Workers wait, once a scratch file of a stage is written, while the file ``hold-STAGE`` is there.
PRELOAD = """
import os, pathlib, time
from dsmote.execute import exchange

HERE = pathlib.Path(os.environ["DSMOTE_FAULTS"])

def wait_at(stage):
    while (HERE / f"hold-{stage}").exists():
        (HERE / f"at-{stage}-{os.getpid()}").touch()
        time.sleep(0.005)

def writing(write_file):
    def wrapper(folder, path, *args, **more):
        size = write_file(folder, path, *args, **more)
        if path.endswith(exchange.ENDING):
            own, stage, *_ = path.rpartition("/")[2].split("-")
            wait_at(stage if own != "all" else f"all-{stage}")
        return size
    return wrapper

def reading(receive):
    def wrapper(self, names, destination):
        if "-made-" in names[0]:
            wait_at("collect")
        return receive(self, names, destination)
    return wrapper

exchange.write_file = writing(exchange.write_file)
exchange.Exchange.receive = reading(exchange.Exchange.receive)
"""


def table(rows: int = 3000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 4)).round(2), columns=list("abcd"))
    return frame.assign(y=np.where(np.arange(rows) % 3 == 0, "rare", "usual"))


def sampler(scratch: Path | None = None, route: str = "cells") -> SMOTE:
    return SMOTE(random_state=0, route=route, scratch=scratch and str(scratch))


class Cluster:
    """Two workers with a nanny each, which can be held at a stage, and a client."""

    def __init__(self, folder: Path, address: str, client: Client) -> None:
        self.folder, self.address, self.client = folder, address, client
        self.frame = dd.from_pandas(table(), npartitions=4)
        self.rows = sampler(route="broadcast").resample(self.frame, target="y").compute()

    def made(self, scratch: Path) -> Any:
        """The lazy result whose scratch files lie in a folder."""
        made = sampler(scratch)
        result = made.resample(self.frame, target="y")
        (growing,) = made.plan_.growing
        assert (growing.cells, len(made.plan_.blocks)) == (8, 4)
        return result

    def made_of_all(self, scratch: Path, kind: str) -> tuple[Any, pd.DataFrame]:
        """The same of a sampler that asks for the nearest of all rows, and what it is to be."""
        how = BorderlineSMOTE(random_state=0, kind=kind, route="broadcast")
        rows = how.resample(self.frame, target="y").compute(scheduler="synchronous")
        made = how.set_params(route="cells", scratch=str(scratch))
        result = made.resample(self.frame, target="y")
        assert made.plan_.all_rows is not None
        assert made.plan_.all_rows.cells == 32
        return result, rows

    def held(self, result: Any, stage: str) -> tuple[Any, int]:
        """Compute a result until a worker has come to a stage; return the future, and its pid."""
        (self.folder / f"hold-{stage}").touch()
        future = self.client.compute(result)
        marks = f"at-{stage}-*"

        def there() -> bool:
            assert not future.done(), future.exception()
            return any(self.folder.glob(marks))

        wait_until(there, f"a worker has come to {stage}")
        (mark, *_) = self.folder.glob(marks)
        return future, int(mark.name.rpartition("-")[2])

    def go_on(self) -> None:
        """Let workers go on that are held."""
        for mark in (*self.folder.glob("hold-*"), *self.folder.glob("at-*")):
            mark.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cells")
    (folder / "hold.py").write_text(PRELOAD)
    preload = ("--preload", folder / "hold.py")
    with (
        scheduler_in(folder / "cluster") as address,
        workers_of(
            *(address, folder / "cluster" / "log", *preload),
            n=2,
            env={"DSMOTE_FAULTS": str(folder)},
        ),
        Client(address, set_as_default=False) as client,
        client.as_current(),
    ):
        yield Cluster(folder, address, client)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "CELL_ROWS", 150)
    monkeypatch.setattr(plan_module, "BLOCK_ROWS", 300)


@pytest.fixture
def cluster(started: Cluster) -> Iterator[Cluster]:
    with started.client.as_current():
        yield started
        started.go_on()
        wait_until(lambda: len(started.client.nthreads()) == 2, "both workers are there again")


def nothing_left(scratch: Path) -> None:
    gc.collect()
    wait_until(lambda: not os.listdir(scratch), f"{scratch} is empty", 20)


@pytest.mark.parametrize("stage", some_slow(STAGES, "home"))
def test_a_worker_is_killed(cluster: Cluster, tmp_path: Path, stage: str) -> None:
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
        ("borderline-1", "all-judged"),
        ("borderline-2", "all-answer"),
        ("borderline-2", "made"),
    ],
)
def test_a_worker_is_killed_while_all_rows_are_searched(
    cluster: Cluster, tmp_path: Path, kind: str, stage: str
) -> None:
    result, rows = cluster.made_of_all(tmp_path, kind)
    future, pid = cluster.held(result, stage)
    kill(pid)
    cluster.go_on()
    pd.testing.assert_frame_equal(future.result(120), rows)
    del future, result
    nothing_left(tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of few bytes for scratch files."""
    with small_disk(tmp_path / "disk", "4m") as folder:
        yield folder


def fill(folder: Path) -> Path:
    """Write a file until there is no space left."""
    with (folder / "filling").open("wb", buffering=0) as handle, pytest.raises(OSError, match="28"):
        while True:
            handle.write(bytes(4096))
    return folder / "filling"


@pytest.mark.parametrize(
    "stage", some_slow(STAGES[:-1], "answer")
)  # whoever collects writes nothing
def test_a_disk_becomes_full(cluster: Cluster, disk: Path, stage: str) -> None:
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


def test_files_go_with_the_result(cluster: Cluster, tmp_path: Path) -> None:
    result = cluster.made(tmp_path)
    pd.testing.assert_frame_equal(result.compute(), cluster.rows)
    assert len(os.listdir(tmp_path)) == 1
    del result
    nothing_left(tmp_path)


def test_files_go_after_the_tasks_that_are_at_work(cluster: Cluster, tmp_path: Path) -> None:
    """What a task of a result that was dropped writes late brings no folder back."""
    result = cluster.made(tmp_path)
    future, _ = cluster.held(result, "home")
    del future, result
    gc.collect()
    time.sleep(2.5 * POLL_SECONDS)
    cluster.go_on()
    wait_until(lambda: not any(cluster.client.run(busy).values()), "workers are idle")
    nothing_left(tmp_path)


def busy(dask_worker: Any) -> int:
    return int(dask_worker.state.executing_count)


def test_files_go_with_a_result_that_was_persisted(cluster: Cluster, tmp_path: Path) -> None:
    result = cluster.made(tmp_path).persist()
    gc.collect()
    pd.testing.assert_frame_equal(result.compute(), cluster.rows)
    del result
    nothing_left(tmp_path)


def test_files_of_threads_go_with_the_result(tmp_path: Path) -> None:
    frame = dd.from_pandas(table(), npartitions=4)
    result = sampler(tmp_path).resample(frame, target="y")
    again = sampler(route="broadcast").resample(frame, target="y")
    pd.testing.assert_frame_equal(*(of.compute(scheduler="threads") for of in (result, again)))
    assert len(os.listdir(tmp_path)) == 1
    del result
    nothing_left(tmp_path)


@pytest.mark.parametrize("on", ["threads", pytest.param("cluster", marks=SLOW)])
def test_files_go_when_the_program_ends(started: Cluster, tmp_path: Path, on: str) -> None:
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


def test_workers_on_several_machines_need_a_folder(cluster: Cluster, tmp_path: Path) -> None:
    with worker_at(cluster.address, tmp_path / "log", host="127.0.0.2"):
        wait_until(lambda: len(cluster.client.nthreads()) == 3, "the third worker is there")
        said = r"3 workers are on 2 machines \(127.0.0.1, 127.0.0.2\): pass scratch="
        with pytest.raises(ValueError, match=said):
            sampler().resample(cluster.frame, target="y")
        result = sampler(tmp_path).resample(cluster.frame, target="y")
        pd.testing.assert_frame_equal(result.compute(), cluster.rows)
    wait_until(lambda: len(cluster.client.nthreads()) == 2, "the third worker is gone")


# Jobs on small workers take cells by themselves

CLUSTERS = {"kmeans_estimator": 4, "cluster_balance_threshold": 0.0}


@SLOW
@pytest.mark.parametrize(
    ("method", "files", "rows", "megabytes"),
    [
        ("SMOTE", 36, 20_000, 452),
        ("SMOTENC", 12, 45_000, 504),
        ("BorderlineSMOTE", 12, 45_000, 500),
        ("SMOTEN", 12, 45_000, 520),
        ("KMeansSMOTE", 24, 60_000, 645),
    ],
)
def test_a_job_on_small_workers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    files: int,
    rows: int,
    megabytes: int,
) -> None:
    monkeypatch.undo()
    (tmp_path / "table").mkdir()
    (tmp_path / "lake").mkdir()
    for number in range(files):
        rng = np.random.default_rng(number)
        causes = rng.normal(size=(rows, 3))  # few directions, in which a tree is quick
        frame = pd.DataFrame(np.tile(causes, 4)[:, :10].round(3), columns=[*"abcdefghij"])
        if method == "SMOTENC":
            frame["town"] = rng.choice([f"town {i}" for i in range(20)], len(frame))
            frame["kind"] = pd.Categorical(rng.choice(["x", "y", "z"], len(frame)))
        if method == "SMOTEN":
            frame = (8 * frame).round().astype(int).astype(str)
        frame["label"] = np.where(rng.random(len(frame)) < 0.45, "rare", "usual")
        frame.to_parquet(tmp_path / "table" / f"{number:02d}.parquet", index=False)

    def made(name: str, limit: str) -> dict[str, Any]:
        out = tmp_path / "lake" / name
        manifest = run_job(
            {
                "input": str(tmp_path / "table"),
                "output": str(out),
                "target": "label",
                "sampler": method,
                "params": {"random_state": 0} | (CLUSTERS if method == "KMeansSMOTE" else {}),
                "cluster": {"n_workers": 2, "threads_per_worker": 1, "memory_limit": limit},
            }
        ).manifest
        assert left_in(tmp_path / "lake") <= {"large", "small"}
        return manifest

    large, small = made("large", "3GiB"), made("small", f"{megabytes}MiB")
    assert hashes(tmp_path / "lake" / "large") == hashes(tmp_path / "lake" / "small")
    ways = [of["classes"][0]["why"].startswith("in cells, because") for of in (large, small)]
    assert ways == [False, True]
    memory = small["memory"]
    assert len(memory["peak_bytes"]) == 2
    assert max(memory["peak_bytes"].values()) <= memory["worker_bytes"], memory
