"""Who dies when, and what is wrong with the storage: the same bytes, or nothing and one message.

After each test there is no process, no lock and no scratch file left beside the output.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
import psutil
import pytest
from distributed import Client

from dsmote.job.demo import demo_chunk
from tests.cluster.faults import (
    STAGES,
    Stages,
    dsmote,
    kill,
    message,
    scheduler_in,
    wait_until,
    workers_of,
)
from tests.job.conftest import beside

FILES = 12
FILE_ROWS = 1000
FIXED = ("--target", "label", "--carry", "id", "--random-state", 0)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "table"
    folder.mkdir()
    frame = demo_chunk(0, FILES * FILE_ROWS)
    for number in range(FILES):
        rows = frame.iloc[FILE_ROWS * number : FILE_ROWS * (number + 1)]
        rows.to_parquet(folder / f"{number:02d}.parquet", index=False)
    return folder


@pytest.fixture
def copied(table: Path, tmp_path: Path) -> Path:
    """A table that a test may spoil."""
    shutil.copytree(table, tmp_path / "in")
    return tmp_path / "in"


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    return Stages(tmp_path_factory.mktemp("stages"))


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory, stages: Stages) -> Iterator[str]:
    """A cluster of two workers, each with a nanny."""
    folder = tmp_path_factory.mktemp("cluster")
    with (
        scheduler_in(folder) as address,
        workers_of(address, stages, folder / "workers.log"),
    ):
        yield address


def hashes(out: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(out.glob("part-*.parquet"))
    }


def resample(table: Path, out: Path, *args: object, **kwargs: dict) -> subprocess.Popen[str]:
    return dsmote("resample", table, out, *FIXED, *args, **kwargs)


def succeeded(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


@pytest.fixture(scope="module")
def undisturbed(table: Path, scheduler: str) -> dict[str, str]:
    """The part files of a run that nothing happens to."""
    out = table.parent / "undisturbed"
    succeeded(resample(table, out, "--scheduler", scheduler))
    counts = pd.read_parquet(out)["label"].value_counts().to_dict()
    assert counts == {"genuine": 11_880, "fraud": 11_880}
    return hashes(out)


@pytest.fixture
def out(tmp_path: Path, scheduler: str) -> Iterator[Path]:
    """The output; when the test is over only its records are beside it, and no process is left."""
    here = psutil.Process()
    before = {child.pid for child in here.children()}
    (tmp_path / "lake").mkdir()
    yield tmp_path / "lake" / "out"
    assert set(beside(tmp_path / "lake")) <= {"out"}
    assert {child.pid for child in here.children()} <= before
    with Client(scheduler, set_as_default=False) as client:
        # Nothing of the job is kept on the cluster, which is as it was.
        wait_until(lambda: len(client.nthreads()) == 2, "both workers are there again")
        wait_until(lambda: not any(client.has_what().values()), "the workers hold nothing")


class TestWorkers:
    @pytest.mark.parametrize("stage", STAGES)
    def test_each_worker_in_turn_is_killed(
        self,
        table: Path,
        out: Path,
        scheduler: str,
        stages: Stages,
        undisturbed: dict[str, str],
        stage: str,
    ) -> None:
        with stages.held(stage):
            process = resample(table, out, "--scheduler", scheduler)
            first = stages.arrived(stage, process, set())
            kill(first)
            second = stages.arrived(stage, process, {first})
            kill(second)
            # Where it was is taken up by another, started by a nanny.
            stages.arrived(stage, process, {first, second})
        succeeded(process)
        assert hashes(out) == undisturbed

    def test_all_workers_are_killed_at_once(
        self, table: Path, out: Path, scheduler: str, stages: Stages, undisturbed: dict[str, str]
    ) -> None:
        with stages.held("writing"):
            process = resample(table, out, "--scheduler", scheduler)
            first = stages.arrived("writing", process, set())
            second = stages.arrived("writing", process, {first})
            for pid in (first, second):
                kill(pid)
            stages.arrived("writing", process, {first, second})
        succeeded(process)
        assert hashes(out) == undisturbed

    @pytest.mark.slow
    def test_a_worker_that_dies_over_the_same_task_again_and_again(
        self, table: Path, out: Path, scheduler: str, stages: Stages
    ) -> None:
        dead: set[int] = set()
        with stages.held("index"):
            process = resample(table, out, "--scheduler", scheduler)
            for _ in range(4):
                pid = stages.arrived("index", process, dead)
                dead.add(pid)
                kill(pid)
        assert "a worker died again and again over the same task" in message(process)
        assert not out.exists()

    @pytest.mark.slow
    def test_a_worker_joins_late(
        self,
        table: Path,
        out: Path,
        tmp_path: Path,
        scheduler: str,
        stages: Stages,
        undisturbed: dict[str, str],
    ) -> None:
        with ExitStack() as late:
            with stages.held("writing"):
                process = resample(table, out, "--scheduler", scheduler, "--json")
                stages.arrived("writing", process, set())
                late.enter_context(workers_of(scheduler, stages, tmp_path / "late.log", n=1))
                with Client(scheduler, set_as_default=False) as client:
                    client.wait_for_workers(3, timeout=60)
            said, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
        assert len(json.loads(said)["memory"]["peak_bytes"]) == 3
        assert hashes(out) == undisturbed


@pytest.mark.slow
def test_the_scheduler_is_killed(
    table: Path, out: Path, tmp_path: Path, stages: Stages, undisturbed: dict[str, str]
) -> None:
    (tmp_path / "own").mkdir()
    short = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s"}
    before = set(psutil.pids())
    with scheduler_in(tmp_path / "own") as address:
        (pid,) = [
            child.pid
            for child in psutil.Process().children()
            if child.pid not in before and "scheduler" in child.cmdline()
        ]
        with workers_of(address, stages, tmp_path / "own" / "workers.log", n=1):
            with stages.held("writing"):
                process = resample(table, out, "--scheduler", address, env=short)
                stages.arrived("writing", process, set())
                kill(pid)
            said = message(process)
    assert "the scheduler was lost" in said
    assert not out.exists()
    assert os.listdir(out.parent) == []
    (tmp_path / "next").mkdir()
    with (
        scheduler_in(tmp_path / "next") as address,
        workers_of(address, stages, tmp_path / "next" / "workers.log", n=1),
    ):
        succeeded(resample(table, out, "--scheduler", address))
    assert hashes(out) == undisturbed


class TestClient:
    @pytest.mark.parametrize(
        ("number", "stage"),
        [
            pytest.param(signal.SIGINT, "profile", id="ctrl-c-profile"),
            pytest.param(signal.SIGTERM, "writing", id="sigterm-writing"),
            pytest.param(signal.SIGINT, "writing", id="ctrl-c-writing", marks=pytest.mark.slow),
            pytest.param(signal.SIGTERM, "profile", id="sigterm-profile", marks=pytest.mark.slow),
        ],
    )
    def test_the_client_is_interrupted(
        self,
        table: Path,
        out: Path,
        scheduler: str,
        stages: Stages,
        stage: str,
        number: signal.Signals,
    ) -> None:
        with stages.held(stage):
            process = resample(table, out, "--scheduler", scheduler)
            stages.arrived(stage, process, set())
            process.send_signal(number)
            assert message(process, 130).startswith("Interrupted: ")
        assert not out.exists()

    def test_the_client_is_killed_and_the_next_run_is_clean(
        self, table: Path, out: Path, scheduler: str, stages: Stages, undisturbed: dict[str, str]
    ) -> None:
        with stages.held("writing"):
            process = resample(table, out, "--scheduler", scheduler)
            stages.arrived("writing", process, set())
            kill(process.pid)
            process.communicate(timeout=60)
        assert os.listdir(out.parent) == [".out.dsmote"]
        (lock,) = (out.parent / ".out.dsmote").glob("lock.*")
        os.utime(lock, (0, 0))  # as if it had not been renewed for long
        succeeded(resample(table, out, "--scheduler", scheduler))
        assert hashes(out) == undisturbed

    def test_two_runs_at_once(
        self, table: Path, out: Path, scheduler: str, stages: Stages, undisturbed: dict[str, str]
    ) -> None:
        with stages.held("writing"):
            first = resample(table, out, "--scheduler", scheduler)
            stages.arrived("writing", first, set())
            # It does not even get to the cluster.
            second = resample(table, out, "--scheduler", "tcp://127.0.0.1:9", "--overwrite")
            said = message(second)
        assert said.startswith(f"Error: another run is writing {out}: process {first.pid} on ")
        assert "last heard of 20" in said
        succeeded(first)
        assert hashes(out) == undisturbed


class TestInput:
    # Each way at one stage, and with `-m slow` at the others.
    @pytest.mark.parametrize(
        ("how", "stage"),
        [
            pytest.param(how, stage, marks=[] if first == stage else [pytest.mark.slow])
            for how, first in (
                ("vanishes", "index"),
                ("is cut short", "profile"),
                ("changes", "writing"),
            )
            for stage in ("profile", "index", "writing")
        ],
    )
    def test_a_file(
        self, copied: Path, out: Path, scheduler: str, stages: Stages, how: str, stage: str
    ) -> None:
        file = copied / "11.parquet"
        with stages.held(stage):
            process = resample(copied, out, "--scheduler", scheduler)
            stages.arrived(stage, process, set())
            if how == "vanishes":
                file.unlink()
            elif how == "is cut short":
                os.truncate(file, file.stat().st_size // 2)
            else:
                frame = pd.read_parquet(file)
                frame.assign(amount=frame["amount"] * 2).to_parquet(file, index=False)
        assert "11.parquet" in message(process)
        assert not out.exists()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own, of so many bytes."""
    folder.mkdir(exist_ok=True)
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted by root")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={size}", "dsmote-test", str(folder)],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class TestDisk:
    def test_it_becomes_full(self, table: Path, out: Path, tmp_path: Path, scheduler: str) -> None:
        with small_disk(tmp_path / "disk", "400k"):
            process = resample(table, tmp_path / "disk" / "out", "--scheduler", scheduler)
            said = message(process)
            assert os.listdir(tmp_path / "disk") == []
        assert "No space left on device" in said
        assert str(tmp_path / "disk" / "out") in said or ".out.dsmote" in said

    @pytest.mark.slow
    def test_it_becomes_full_and_the_old_table_stays(
        self, table: Path, out: Path, tmp_path: Path, scheduler: str
    ) -> None:
        with small_disk(tmp_path / "disk", "400k"):
            old = tmp_path / "disk" / "out"
            old.mkdir()
            (old / "part-00000.parquet").write_bytes(b"old")
            records = tmp_path / "disk" / ".out.dsmote"
            records.mkdir()
            parts = [{"file": "part-00000.parquet", "bytes": 3}]
            (records / "manifest.json").write_text(json.dumps({"parts": parts}))
            process = resample(table, old, "--scheduler", scheduler, "--overwrite")
            assert "No space left on device" in message(process)
            assert sorted(os.listdir(tmp_path / "disk")) == [".out.dsmote", "out"]
            assert (old / "part-00000.parquet").read_bytes() == b"old"

    def test_it_is_read_only(self, table: Path, out: Path, tmp_path: Path, scheduler: str) -> None:
        with small_disk(tmp_path / "disk", "400k"):
            remount = ["mount", "-o", "remount,ro", str(tmp_path / "disk")]
            subprocess.run(remount, check=True)
            process = resample(table, tmp_path / "disk" / "out", "--scheduler", scheduler)
            said = message(process)
            assert os.listdir(tmp_path / "disk") == []
        assert said == f"Error: cannot write {tmp_path / 'disk' / 'out'}: Read-only file system"


class TestMemory:
    @pytest.mark.slow
    def test_too_little_is_refused(
        self, table: Path, out: Path, tmp_path: Path, scheduler: str
    ) -> None:
        wide = tmp_path / "wide.parquet"
        frame = demo_chunk(0, 60_000)[["amount", "label"]]
        for i in range(40):
            frame[f"x{i}"] = frame["amount"] + i
        frame["label"] = ["genuine", "genuine", "fraud"] * 20_000
        frame.to_parquet(wide, index=False)
        size = ("--n-workers", 1, "--threads-per-worker", 1, "--memory-limit", "330MiB")
        process = dsmote("resample", wide, out, "--target", "label", *size)
        said, err = process.communicate(timeout=120)
        assert process.returncode == 4, err
        assert said == ""
        assert "Traceback" not in err
        (error,) = [line for line in err.splitlines() if line.startswith("Error: ")]
        assert "MiB" in error
        assert "memory" in error
        assert not out.exists()

    @pytest.mark.slow
    def test_spill_at_work(
        self, table: Path, out: Path, tmp_path: Path, stages: Stages, undisturbed: dict[str, str]
    ) -> None:
        (tmp_path / "own").mkdir()
        # Whatever is kept between tasks goes to disk at once.
        stages.env["DASK_DISTRIBUTED__WORKER__MEMORY__TARGET"] = "0.00001"
        try:
            with (
                scheduler_in(tmp_path / "own") as address,
                workers_of(address, stages, tmp_path / "own" / "workers.log"),
            ):
                succeeded(resample(table, out, "--scheduler", address))
                with Client(address, set_as_default=False) as client:
                    spilled = client.run(_written_to_disk)
        finally:
            del stages.env["DASK_DISTRIBUTED__WORKER__MEMORY__TARGET"]
        assert sum(spilled.values()) > 100_000
        assert hashes(out) == undisturbed


def _written_to_disk(dask_worker: object) -> int:
    metrics = dask_worker.data.cumulative_metrics  # type: ignore[attr-defined]
    return int(metrics["disk-write", "bytes"])
