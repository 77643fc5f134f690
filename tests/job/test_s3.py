"""Jobs on an object store: a real S3 server, a process of its own on 127.0.0.1.

Parts are written by a worker process, which knows the store from the environment alone.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace

import fsspec
import pandas as pd
import pytest

from dsmote.job import JobSpec, prepare, unchanged, write_job
from dsmote.job.spec import Split
from dsmote.job.storage import Output, OutputLocked, opened
from tests.job.conftest import local_workers, numeric_frame
from tests.job.test_resume import ended, killed, resumed, run  # noqa: F401

FILES = 8
SECONDS = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition, what):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def server():
    """Address of the store; the environment names it and a key to it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"

    def answers():
        assert process.poll() is None, "the S3 server has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", address)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_MAX_ATTEMPTS", "2")
        patch.delenv("AWS_PROFILE", raising=False)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        try:
            wait_until(answers, "the S3 server answers")
            yield address
        finally:
            fsspec.get_filesystem_class("s3").clear_instance_cache()
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def shared_client(server):
    """A worker that has the store in its environment."""
    with local_workers(1, 2) as client:
        yield client


@pytest.fixture
def store(server):
    """The store with one empty bucket; nothing but a table and its manifest may be left."""
    fs = fsspec.filesystem("s3")
    fs.mkdir("lake")
    yield fs
    fs.invalidate_cache()
    left = fs.find("lake")
    fs.rm("lake", recursive=True)
    assert {path.rpartition("/")[2] for path in left if "/." in path} <= {"manifest.json"}


@pytest.fixture
def table(store):
    """A folder of Parquet files in the bucket."""
    frame = numeric_frame(400)
    for number in range(FILES):
        rows = frame.iloc[50 * number : 50 * (number + 1)]
        store.pipe_file(f"lake/in/{number}.parquet", rows.to_parquet(index=False))
    return frame


SPEC = JobSpec("s3://lake/in", "y", output="s3://lake/out", random_state=0)


def read(store, out="lake/out"):
    """Read a table by the rules for readers: _SUCCESS first, then what the manifest lists."""
    store.invalidate_cache()
    assert store.exists(f"{out}/_SUCCESS"), "the folder is not whole"
    folder, _, name = out.rpartition("/")
    manifest = json.loads(store.cat_file(f"{folder}/.{name}.dsmote/manifest.json"))
    parts = [pd.read_parquet(f"s3://{out}/{part['file']}") for part in manifest["parts"]]
    return pd.concat(parts, ignore_index=True)


def names(store, folder):
    store.invalidate_cache()
    return sorted(path.removeprefix(f"{folder}/") for path in store.find(folder))


def test_job_from_store_to_store(store, table, client, tmp_path):
    table.to_parquet(tmp_path / "in.parquet", index=False)
    parts = run(replace(SPEC, input="s3://lake/in/*.parquet"), client).manifest["parts"]
    run(replace(SPEC, input=str(tmp_path / "in.parquet"), output=str(tmp_path / "out")))
    pd.testing.assert_frame_equal(read(store), pd.read_parquet(tmp_path / "out"))
    # Readers that only list the folder find the same.
    pd.testing.assert_frame_equal(read(store), pd.read_parquet("s3://lake/out"))
    assert names(store, "lake/out") == sorted(["_SUCCESS", *(part["file"] for part in parts)])
    for part in parts:
        assert store.info(f"lake/out/{part['file']}")["size"] == part["bytes"]


def test_skip_by_entity_tags(store, table, client):
    spec = replace(SPEC, if_exists="skip")
    first = run(spec, client)
    assert unchanged(spec) == first.manifest
    time.sleep(1.1)  # times have whole seconds here
    content = store.cat_file("lake/in/0.parquet")
    store.pipe_file("lake/in/0.parquet", content)
    assert unchanged(spec) == first.manifest  # the same bytes, only later
    assert run(spec, client).skipped
    other = table.iloc[:50].assign(a=table["a"].iloc[:50] + 1)
    store.pipe_file("lake/in/0.parquet", other.to_parquet(index=False))
    assert unchanged(spec) is None
    again = run(spec, client)
    assert not again.skipped
    old = {part["file"] for part in first.manifest["parts"]}
    new = {part["file"] for part in again.manifest["parts"]}
    assert old & new == set()
    assert names(store, "lake/out") == sorted(["_SUCCESS", *new])
    assert read(store)["a"].iloc[:50].tolist() == other["a"].tolist()


def test_second_run_is_refused_and_sees_how_far_the_first_is(store, table, client, monkeypatch):
    monkeypatch.setattr("dsmote.job.storage.BEAT_SECONDS", 1.0)
    job = prepare(SPEC)
    with opened("s3://lake/out") as output:
        with pytest.raises(FileExistsError):  # who looks at the same moment makes no such lock
            store.pipe_file(output.lock, b"", mode="create")
        output.show(stage="writing")
        other = Output("s3://lake/out")
        wait_until(lambda: (other.read(output.lock) or {}).get("stage") == "writing", "it is seen")
        for attempt in (lambda: prepare(SPEC), lambda: write_job(job, client)):
            with pytest.raises(
                OutputLocked, match=r"if you delete lake/.out.dsmote/lock\.1"
            ) as error:
                attempt()
            assert f"writing s3://lake/out: process {os.getpid()} on" in str(error.value)
    assert names(store, "lake") == [f"in/{number}.parquet" for number in range(FILES)]
    run(SPEC, client)


@pytest.mark.slow
def test_next_run_after_one_that_died(
    store,
    table,
    client,
    killed,  # noqa: F811
    resumed,  # noqa: F811
):
    spec = replace(SPEC, split=Split(test_fraction=0.25), partition_by=("y",))
    whole = run(replace(spec, output="s3://lake/other"), client).manifest["parts"]
    killed(spec)
    assert not store.exists("lake/out")
    parts = run(replace(spec, resume=True), client).manifest["parts"]
    assert len(resumed) >= 4
    assert parts == whole
    files = [part["file"] for part in parts]
    assert names(store, "lake/out") == sorted(["_SUCCESS", *files])
    assert {file.rpartition("/")[0] for file in files} == {
        f"{side}/y={label}" for side in ("train", "test") for label in ("rare", "usual")
    }
    for file in files:
        assert store.cat_file(f"lake/out/{file}") == store.cat_file(f"lake/other/{file}")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"output": "s3://nowhere/out"}, "cannot write s3://nowhere/out"),
        ({"input": "s3://nowhere/in"}, "cannot read s3://nowhere/in"),
    ],
)
def test_missing_bucket(store, table, fields, message):
    with pytest.raises(OSError) as error:
        run(replace(SPEC, **fields))
    assert str(error.value) == f"{message}: The specified bucket does not exist"
    assert not store.exists("nowhere")


def test_wrong_credentials(store, table, server):
    def authenticate(after):
        headers = {"Content-Type": "text/plain"}
        url = f"{server}/moto-api/reset-auth"
        urllib.request.urlopen(urllib.request.Request(url, after.encode(), headers)).close()

    authenticate("0")
    try:
        with pytest.raises(PermissionError, match="no permission to read s3://lake/in: ") as error:
            prepare(replace(SPEC, output=None))
    finally:
        authenticate("inf")
    said = ("Access Key Id you provided does not exist", "Forbidden")
    assert any(text in str(error.value) for text in said)


def test_without_the_extra_the_message_names_it(monkeypatch):
    def missing(*args):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("dsmote.job.files.url_to_fs", missing)
    with pytest.raises(ValueError, match=r'Install s3fs to access S3: pip install "dsmote\[s3\]"'):
        prepare(SPEC)
