"""Who dies when, and what is wrong with the storage: the same bytes, or nothing and one message.

After each test there is no process, no lock and no scratch file left beside the output.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
import psutil
import pytest
from distributed import Client

from dsmote.job.demo import demo_chunk
from tests.cluster.starting import (
    STAGES,
    Stages,
    dsmote,
    hashes,
    kill,
    left_in,
    message,
    resample,
    scheduler_in,
    succeeded,
    wait_until,
    worker_at,
    workers_of,
    write_table,
)

SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("faults") / "table", 12, 1000)


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
        workers_of(address, folder / "log", *stages.preload, n=2, env=stages.env),
    ):
        yield address


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
    assert left_in(tmp_path / "lake") <= {"out"}
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
            first = stages.arrived(stage, process)
            kill(first)
            second = stages.arrived(stage, process, first)
            kill(second)
            # Where it was is taken up by another, started by a nanny.
            stages.arrived(stage, process, first, second)
        succeeded(process)
        assert hashes(out) == undisturbed

    @SLOW
    def test_a_worker_that_dies_over_the_same_task_again_and_again(
        self, table: Path, out: Path, scheduler: str, stages: Stages
    ) -> None:
        dead: list[int] = []
        with stages.held("index"):
            process = resample(table, out, "--scheduler", scheduler)
            for _ in range(4):
                dead.append(stages.arrived("index", process, *dead))
                kill(dead[-1])
        assert "a worker died again and again over the same task" in message(process)
        assert not out.exists()

    @pytest.mark.parametrize("fate", ["joins late", "and is killed for good"])
    def test_a_worker_that_nobody_brings_back(
        self,
        table: Path,
        out: Path,
        tmp_path: Path,
        scheduler: str,
        stages: Stages,
        undisturbed: dict[str, str],
        fate: str,
    ) -> None:
        with ExitStack() as late:
            with stages.held("writing"):
                process = resample(table, out, "--scheduler", scheduler, "--json")
                first = stages.arrived("writing", process)
                second = stages.arrived("writing", process, first)
                worker = worker_at(scheduler, tmp_path / "log", *stages.preload, env=stages.env)
                late.enter_context(worker)
                third = stages.arrived("writing", process, first, second)
                if fate != "joins late":
                    kill(third)
            said = json.loads(succeeded(process))
        assert len(said["memory"]["peak_bytes"]) == (3 if fate == "joins late" else 2)
        assert hashes(out) == undisturbed


@SLOW
def test_the_scheduler_is_killed(
    table: Path, out: Path, tmp_path: Path, stages: Stages, undisturbed: dict[str, str]
) -> None:
    short = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s"}
    with scheduler_in(tmp_path / "own") as address:
        with Client(address, set_as_default=False) as client:
            pid = client.run_on_scheduler(os.getpid)
        log = tmp_path / "own" / "log"
        with (
            workers_of(address, log, *stages.preload, env=stages.env),
            stages.held("writing"),
        ):
            process = resample(table, out, "--scheduler", address, env=short)
            stages.arrived("writing", process)
            kill(pid)
            assert "the scheduler was lost" in message(process)
    assert os.listdir(out.parent) == []
    with (
        scheduler_in(tmp_path / "next") as address,
        workers_of(address, tmp_path / "next" / "log"),
    ):
        succeeded(resample(table, out, "--scheduler", address))
    assert hashes(out) == undisturbed


class TestClient:
    @pytest.mark.parametrize(
        ("number", "stage"),
        [
            (signal.SIGINT, "profile"),
            (signal.SIGTERM, "writing"),
            pytest.param(signal.SIGINT, "writing", marks=SLOW),
            pytest.param(signal.SIGTERM, "profile", marks=SLOW),
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
            stages.arrived(stage, process)
            process.send_signal(number)
            assert message(process, 130).startswith("Interrupted: ")
        assert not out.exists()

    @pytest.mark.parametrize("whom", ["terminate", "terminal", "while it starts"])
    def test_with_local_workers(self, table: Path, tmp_path: Path, whom: str) -> None:
        """A terminal sends Ctrl-C to every process of the group, and the impatient press it twice.

        Nothing is left: no half output, no process.
        """
        out = tmp_path / "new" / "out"
        process = resample(table, out, "--n-workers", 2)
        assert process.stderr is not None
        assert process.stderr.readline() == "starting workers ...\n"
        if whom == "while it starts":
            time.sleep(0.3)
        else:
            parts = ".out.dsmote/*/table/part-*.parquet"
            wait_until(lambda: list(out.parent.glob(parts)), "parts are written")
        children = psutil.Process(process.pid).children(recursive=True)
        if whom == "terminate":
            process.terminate()
        else:
            os.killpg(process.pid, signal.SIGINT)
        if whom == "terminal":
            time.sleep(0.2)
            os.killpg(process.pid, signal.SIGINT)
        assert message(process, 130) == "Interrupted: nothing was written."
        assert os.listdir(tmp_path) == []
        assert psutil.wait_procs(children, timeout=5)[1] == []

    def test_the_client_is_killed_and_the_next_run_is_clean(
        self, table: Path, out: Path, scheduler: str, stages: Stages, undisturbed: dict[str, str]
    ) -> None:
        with stages.held("writing"):
            process = resample(table, out, "--scheduler", scheduler)
            stages.arrived("writing", process)
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
            stages.arrived("writing", first)
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
            pytest.param(how, stage, marks=[] if first == stage else [SLOW])
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
            stages.arrived(stage, process)
            if how == "vanishes":
                file.unlink()
            elif how == "is cut short":
                os.truncate(file, file.stat().st_size // 2)
            else:
                frame = pd.read_parquet(file)
                frame.assign(amount=frame["amount"] * 2).to_parquet(file, index=False)
        assert "11.parquet" in message(process)
        assert not out.exists()

    def test_a_damaged_file_is_one_message(self, copied: Path, out: Path) -> None:
        """An error inside a local worker brings neither a traceback nor the cluster's log."""
        data = bytearray((copied / "07.parquet").read_bytes())
        data[4:4000] = b"\xff" * 3996
        (copied / "07.parquet").write_bytes(bytes(data))
        assert "07.parquet is corrupt" in message(resample(copied, out, "--n-workers", 1), 5)
        assert not out.exists()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, of few bytes."""
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted by root")
    command = [mount, "-t", "tmpfs", "-o", "size=400k", "dsmote-test", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class TestDisk:
    def test_it_becomes_full_and_the_old_table_stays(
        self, table: Path, out: Path, tmp_path: Path, scheduler: str
    ) -> None:
        with small_disk(tmp_path / "disk") as disk:
            old, records = disk / "out", disk / ".out.dsmote"
            old.mkdir()
            (old / "part-00000.parquet").write_bytes(b"old")
            records.mkdir()
            parts = [{"file": "part-00000.parquet", "bytes": 3}]
            (records / "manifest.json").write_text(json.dumps({"parts": parts}))
            said = message(resample(table, old, "--scheduler", scheduler, "--overwrite"))
            assert left_in(disk) == {"out"}
            assert (old / "part-00000.parquet").read_bytes() == b"old"
        assert "No space left on device" in said
        assert str(old) in said or ".out.dsmote" in said

    def test_it_is_read_only(self, table: Path, out: Path, tmp_path: Path, scheduler: str) -> None:
        with small_disk(tmp_path / "disk") as disk:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            said = message(resample(table, disk / "out", "--scheduler", scheduler))
            assert os.listdir(disk) == []
        assert said == f"Error: cannot write {disk / 'out'}: Read-only file system"


class TestMemory:
    @SLOW
    def test_too_little_is_refused(self, out: Path, tmp_path: Path) -> None:
        wide = tmp_path / "wide.parquet"
        frame = demo_chunk(0, 60_000)[["amount"]]
        for i in range(40):
            frame[f"x{i}"] = frame["amount"] + i
        frame["label"] = ["genuine", "genuine", "fraud"] * 20_000
        frame.to_parquet(wide, index=False)
        size = ("--n-workers", 1, "--threads-per-worker", 1, "--memory-limit", "330MiB")
        said = message(dsmote("resample", wide, out, "--target", "label", *size), 4)
        assert "MiB" in said
        assert "memory" in said
        assert not out.exists()

    @SLOW
    def test_spill_at_work(
        self, table: Path, out: Path, tmp_path: Path, undisturbed: dict[str, str]
    ) -> None:
        # Whatever is kept between tasks goes to disk at once.
        env = {"DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "0.00001"}
        with (
            scheduler_in(tmp_path / "own") as address,
            workers_of(address, tmp_path / "own" / "log", n=2, env=env),
        ):
            succeeded(resample(table, out, "--scheduler", address))
            with Client(address, set_as_default=False) as client:
                spilled = client.run(_written_to_disk)
        assert sum(spilled.values()) > 100_000
        assert hashes(out) == undisturbed


def _written_to_disk(dask_worker: object) -> int:
    metrics = dask_worker.data.cumulative_metrics  # type: ignore[attr-defined]
    return int(metrics["disk-write", "bytes"])
