"""What is checked before work: versions, and what workers see of the files."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dask
import fsspec
import pandas as pd
import pytest
from distributed import Client
from fsspec.registry import known_implementations

import dsmote
from dsmote.cluster import PathsDiffer, VersionsDiffer, _unreadable, check_paths, check_versions
from dsmote.job import JobSpec, prepare, write_job
from tests.cluster.starting import ROOT, scheduler_in, worker_at


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("connect")


@pytest.fixture(scope="module")
def scheduler(folder: Path) -> Iterator[str]:
    with scheduler_in(folder) as address:
        yield address


@pytest.fixture(scope="module")
def good(folder: Path, scheduler: str) -> Iterator[str]:
    """Address of a worker like this process."""
    with worker_at(scheduler, folder / "good.log") as address:
        yield address


def other_version(folder: Path, version: str) -> dict[str, str]:
    """Environment in which this package has another version, and is another copy."""
    copy = folder / "other"
    shutil.copytree(ROOT / "dsmote", copy / "dsmote", ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / "dsmote" / "__init__.py"
    text = file.read_text(encoding="utf-8")
    changed = text.replace(f'__version__ = "{dsmote.__version__}"', f'__version__ = "{version}"')
    assert changed != text
    file.write_text(changed, encoding="utf-8")
    return {"PYTHONPATH": str(copy)}


def test_scheduler_file_and_address_lead_to_the_same_cluster(
    folder: Path, scheduler: str, good: str
) -> None:
    file = folder / "scheduler.json"
    for how in ({"address": scheduler}, {"address": file}, {"scheduler_file": str(file)}):
        with dsmote.connect(**how) as client:
            assert client.scheduler.address == scheduler
            assert good in client.nthreads()
        assert client.status == "closed"
    with dask.config.set({"scheduler-file": str(file)}), dsmote.connect() as client:
        assert client.scheduler.address == scheduler
    # An address in the configuration is nearer than a file in it.
    with (
        dask.config.set({"scheduler-file": "/no/such.json", "scheduler-address": scheduler}),
        dsmote.connect() as client,
    ):
        assert client.scheduler.address == scheduler


def test_worker_of_another_version_is_named(tmp_path: Path, scheduler: str, good: str) -> None:
    with worker_at(scheduler, tmp_path / "log", env=other_version(tmp_path, "0.0.9")) as worker:
        with pytest.raises(VersionsDiffer) as refused, dsmote.connect(scheduler):
            pass
        said = str(refused.value)
        assert said.startswith(
            f"the versions differ: dsmote is {dsmote.__version__} here, 0.0.9 on worker {worker}; "
            f"install there what is here (dsmote=={dsmote.__version__})"
        )
        assert good not in said
        # The client that is active already is looked at too.
        with (
            Client(scheduler, set_as_default=True),
            pytest.raises(VersionsDiffer),
            dsmote.connect(),
        ):
            pass
    with dsmote.connect(scheduler) as client:  # it has gone, and all is well
        check_versions(client)


def test_scheduler_of_another_version_is_named(tmp_path: Path) -> None:
    with (
        scheduler_in(tmp_path, env=other_version(tmp_path, "99.1")) as address,
        pytest.raises(VersionsDiffer, match=rf"here, 99\.1 on the scheduler {address};"),
        dsmote.connect(address),
    ):
        pass


def test_late_worker_of_another_version_is_noticed_by_the_next_job(
    tmp_path: Path, scheduler: str, good: str
) -> None:
    """Versions are compared again when a job begins, not only when the client connects."""
    table = tmp_path / "table.parquet"
    pd.DataFrame({"x": range(40), "y": [1] * 10 + [0] * 30}).to_parquet(table)
    job = prepare(JobSpec(input=str(table), output=str(tmp_path / "out"), target="y"))
    with dsmote.connect(scheduler) as client:
        env = other_version(tmp_path, "0.0.9")
        with (
            worker_at(scheduler, tmp_path / "log", env=env),
            pytest.raises(VersionsDiffer, match=r"0\.0\.9 on worker"),
        ):
            write_job(job, client)
        assert not (tmp_path / "out").exists()
        assert write_job(job, client).manifest["rows"]["after"] == 60
    assert os.listdir(tmp_path / ".out.dsmote") == ["manifest.json"]


def unshare() -> tuple[str, ...]:
    """Command that runs another with mounts of its own, as a host has."""
    program = shutil.which("unshare")
    for options in (("--mount",), ("--mount", "--map-root-user")):
        command = (program or "unshare", *options)
        tried = (*command, "mount", "-t", "tmpfs", "none", "/mnt")
        if program and subprocess.run(tried, capture_output=True).returncode == 0:
            return command
    pytest.skip("a process may not have mounts of its own here")


@pytest.mark.parametrize("hidden", ["in", "out"])
def test_worker_on_a_host_that_does_not_share_the_folder_is_named(
    tmp_path: Path, scheduler: str, good: str, hidden: str
) -> None:
    """A worker that sees an empty file system in place of the table, or of the output's folder."""
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    table = tmp_path / "in" / "table.parquet"
    pd.DataFrame({"x": range(40), "y": [1] * 10 + [0] * 30}).to_parquet(table)
    script = f'mount -t tmpfs none "{tmp_path / hidden}" && exec "$@"'
    job = prepare(JobSpec(input=str(table), output=str(tmp_path / "out" / "balanced"), target="y"))
    prefix = (*unshare(), "bash", "-c", script, "worker")
    with (
        worker_at(scheduler, tmp_path / "log", prefix=prefix) as worker,
        dsmote.connect(scheduler) as client,
    ):
        with pytest.raises(PathsDiffer) as refused:
            write_job(job, client)
        said = str(refused.value)
        assert said.startswith(f"worker {worker} (host ")
        if hidden == "in":
            assert f"cannot read {table}: it is not there;" in said
        else:
            assert f"does not see what is written here to {tmp_path / 'out'}/.balanced." in said
        assert "every worker needs the input and the output's folder" in said
    assert os.listdir(tmp_path / "out") == []


def test_worker_that_cannot_write_is_named(tmp_path: Path, scheduler: str, good: str) -> None:
    (tmp_path / "out").mkdir()
    with (
        worker_at(scheduler, tmp_path / "log") as worker,
        dsmote.connect(scheduler) as client,
    ):
        check_paths(client, [__file__], str(tmp_path / "out"))
        # From now on a file of this worker may have no byte, as on a disk that is full.
        limit = resource.RLIMIT_FSIZE
        client.run(resource.setrlimit, limit, (0, resource.RLIM_INFINITY), workers=[worker])
        with pytest.raises(PathsDiffer, match=rf"^worker {worker} .* cannot write to .*/out: "):
            check_paths(client, folder=str(tmp_path / "out"))
        client.run(resource.setrlimit, limit, resource.getrlimit(limit), workers=[worker])
    assert [name for name in os.listdir(tmp_path / "out") if name.startswith("_seen")] == []


def test_file_that_is_another_there_is_told(scheduler: str, good: str) -> None:
    """Each process has its own `memory://`: like a store, or a disk, of the same name elsewhere."""
    here = fsspec.filesystem("memory")
    here.pipe_file("/lake/a.csv", b"x,y\n1,2\n")

    def put(path: str, content: bytes) -> None:
        fsspec.filesystem("memory").pipe_file(path, content)

    try:
        with dsmote.connect(scheduler) as client:
            with pytest.raises(PathsDiffer, match=r"cannot read memory://lake/a\.csv: it is not"):
                check_paths(client, ["memory://lake/a.csv"])
            client.run(put, "/lake/a.csv", b"x,y\n")
            with pytest.raises(PathsDiffer, match=r"sees another memory://lake/a\.csv .*4 bytes"):
                check_paths(client, ["memory://lake/a.csv"])
            client.run(put, "/lake/a.csv", b"x,y\n1,2\n")
            check_paths(client, ["memory://lake/a.csv"])
            with pytest.raises(PathsDiffer, match="so that it is not shared"):
                check_paths(client, ["memory://lake/a.csv"], "memory://lake")
        assert here.ls("/lake", detail=False) == ["/lake/a.csv"]
    finally:
        here.rm("/lake", recursive=True)


def test_package_that_a_worker_lacks_is_told() -> None:
    fsspec.register_implementation("lacking", "no_such_package.FileSystem", errtxt="Install it")
    try:
        said = _unreadable("lacking://bucket/table.parquet", None)
    finally:
        known_implementations.pop("lacking", None)
    assert said is not None
    assert "cannot read lacking://bucket/table.parquet: it lacks a package (Install it)" in said
