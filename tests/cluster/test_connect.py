"""What is checked before work: versions, and what workers see of the files."""

import os
import resource
import shutil
from contextlib import nullcontext

import dask
import fsspec
import pandas as pd
import pytest
from distributed import Client
from fsspec.registry import known_implementations

import dsmote
from dsmote.cluster import PathsDiffer, VersionsDiffer, _unseen, check_paths, check_versions
from dsmote.job import JobSpec, prepare, write_job
from tests.cluster.starting import ROOT, worker_at


@pytest.fixture
def scheduler(stages):
    """A scheduler with workers like this process."""
    return stages.scheduler


@pytest.fixture
def table(tmp_path):
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    table = tmp_path / "in" / "table.parquet"
    pd.DataFrame({"x": range(40), "y": [1] * 10 + [0] * 30}).to_parquet(table)
    return table


def environment(folder, version):
    """Environment in which this package is a copy of another version, or lacking."""
    copy = folder / "other" / "dsmote"
    if version is None:
        copy.mkdir(parents=True)
        (copy / "__init__.py").write_text("raise ImportError('there is none')\n")
    else:
        shutil.copytree(ROOT / "dsmote", copy, ignore=shutil.ignore_patterns("__pycache__"))
        file = copy / "__init__.py"
        text = file.read_text(encoding="utf-8")
        changed = text.replace(
            f'__version__ = "{dsmote.__version__}"', f'__version__ = "{version}"'
        )
        assert changed != text
        file.write_text(changed, encoding="utf-8")
    return {"PYTHONPATH": str(copy.parent)}


def test_scheduler_file_and_address_lead_to_the_same_cluster(stages, scheduler):
    file = stages.folder / "cluster" / "scheduler.json"
    for how in ({"address": scheduler}, {"address": file}, {"scheduler_file": str(file)}):
        with dsmote.connect(**how) as client:
            assert client.scheduler.address == scheduler
            assert len(client.nthreads()) == 2
        assert client.status == "closed"
    # An address in the configuration is nearer than a file in it.
    for named in (
        {"scheduler-file": str(file), "scheduler-address": ""},
        {"scheduler-file": "/no/such.json", "scheduler-address": scheduler},
    ):
        with dask.config.set(named), dsmote.connect() as client:
            assert client.scheduler.address == scheduler


@pytest.mark.parametrize(
    ("version", "told"),
    [("0.0.9", "0.0.9"), pytest.param(None, "not installed", marks=pytest.mark.slow)],
)
def test_worker_of_another_version_is_named(table, tmp_path, scheduler, version, told):
    """Sent a task that it cannot import it would end, and the job would wait for ever.

    Versions are compared again when a job begins, not only when the client connects.
    """
    job = prepare(JobSpec(input=str(table), output=str(tmp_path / "out" / "new"), target="y"))
    with dsmote.connect(scheduler) as client:
        env = environment(tmp_path, version)
        with worker_at(scheduler, tmp_path / "log", env=env) as worker:
            with pytest.raises(VersionsDiffer) as refused:
                write_job(job, client)
            assert str(refused.value).startswith(
                f"the versions differ: dsmote is {dsmote.__version__} here, {told} on worker "
                f"{worker}; install there what is here (dsmote=={dsmote.__version__})"
            )
            # The client that is active already is looked at too.
            for address in (scheduler, None):
                with pytest.raises(VersionsDiffer), dsmote.connect(address):
                    pass
        assert os.listdir(tmp_path / "out") == []
        check_versions(client)  # it has gone, and all is well
        assert write_job(job, client).manifest["rows"]["after"] == 60


def test_scheduler_of_another_version_is_named(scheduler):
    def become(version):
        import dsmote

        before, dsmote.__version__ = dsmote.__version__, version
        return before

    with Client(scheduler, set_as_default=False) as client:
        before = client.run_on_scheduler(become, "99.1")
        try:
            said = rf"here, 99\.1 on the scheduler {scheduler};"
            with pytest.raises(VersionsDiffer, match=said), dsmote.connect(scheduler):
                pass
        finally:
            client.run_on_scheduler(become, before)


@pytest.mark.parametrize(
    ("name", "number", "must"),
    [("pyarrow", 2, True), ("dask", 2, True), ("pandas", 1, True), ("pandas", 2, False)],
)
def test_numbers_of_a_version_that_must_agree(scheduler, monkeypatch, name, number, must):
    real = Client.get_versions

    def changed(client, **kwargs):
        told = real(client, **kwargs)
        packages = told["scheduler"]["packages"]
        numbers = packages[name].split(".")
        numbers[number] = "99"
        packages[name] = ".".join(numbers)
        return told

    monkeypatch.setattr(Client, "get_versions", changed)
    refused = pytest.raises(VersionsDiffer, match=rf"{name} is .*\.99.* on the scheduler")
    with Client(scheduler, set_as_default=False) as client, refused if must else nullcontext():
        check_versions(client)


def test_worker_that_cannot_write_is_named(tmp_path, scheduler):
    (tmp_path / "out").mkdir()
    with worker_at(scheduler, tmp_path / "log") as worker, dsmote.connect(scheduler) as client:
        check_paths(client, [__file__], str(tmp_path / "out"))
        # From now on a file of this worker may have no byte, as on a disk that is full.
        limit = resource.RLIMIT_FSIZE
        client.run(resource.setrlimit, limit, (0, resource.RLIM_INFINITY), workers=[worker])
        with pytest.raises(PathsDiffer, match=rf"^worker {worker} .* cannot write to .*/out: "):
            check_paths(client, folder=str(tmp_path / "out"))
        client.run(resource.setrlimit, limit, resource.getrlimit(limit), workers=[worker])
    assert [name for name in os.listdir(tmp_path / "out") if name.startswith("_seen")] == []


def test_file_that_is_another_there_is_told(scheduler):
    """Each process has its own `memory://`: like a store, or a disk, of the same name elsewhere."""
    here = fsspec.filesystem("memory")
    here.pipe_file("/lake/a.csv", b"x,y\n1,2\n")

    def put(path, content):
        fsspec.filesystem("memory").pipe_file(path, content)

    try:
        with dsmote.connect(scheduler) as client:
            with pytest.raises(PathsDiffer, match=r"cannot read memory://lake/a\.csv: FileNotF"):
                check_paths(client, ["memory://lake/a.csv"])
            client.run(put, "/lake/a.csv", b"x,y\n")
            with pytest.raises(PathsDiffer, match=r"sees another memory://lake/a\.csv .*4 bytes"):
                check_paths(client, ["memory://lake/a.csv"])
            client.run(put, "/lake/a.csv", b"x,y\n1,2\n")
            check_paths(client, ["memory://lake/a.csv"])
            shared = r"it is not shared; every worker needs the input and the output's folder"
            with pytest.raises(PathsDiffer, match=shared):
                check_paths(client, ["memory://lake/a.csv"], "memory://lake")
        assert here.ls("/lake", detail=False) == ["/lake/a.csv"]
    finally:
        here.rm("/lake", recursive=True)


def test_package_that_a_worker_lacks_is_told():
    fsspec.register_implementation("lacking", "no_such_package.FileSystem", errtxt="Install it")
    try:
        said = _unseen({"lacking://bucket/table.parquet": 1}, None, "")
    finally:
        known_implementations.pop("lacking", None)
    assert said is not None
    assert "cannot read lacking://bucket/table.parquet: ImportError: Install it" in said
