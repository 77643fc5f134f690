"""Two hosts with addresses of their own, made of network namespaces, and the link between them cut.

Both see the same file system, as with a shared folder. What must hold: the very bytes of an
undisturbed run, or nothing visible and one clear message.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

import psutil
import pytest

from dsmote import run_job
from tests.cluster.starting import (
    FIXED,
    hashes,
    running,
    scheduler_in,
    wait_until,
    worker_at,
    write_table,
)

FILES = 40
FILE_ROWS = 4000

#: Dask waits for minutes before it gives a silent host up; here it is seconds, as few as it takes.
SHORT = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s",
}


def ip(*args):
    program = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "ip"
    try:
        return subprocess.run([program, *args], capture_output=True, text=True, timeout=20)
    except FileNotFoundError:
        return subprocess.CompletedProcess([program, *args], 127, "", "there is no iproute2 here")


@dataclass(frozen=True)
class Host:
    """A network namespace with one link."""

    name: str
    address: str
    link: str

    @property
    def prefix(self):
        return ("ip", "netns", "exec", self.name)

    def set_link(self, state):
        done = ip("-n", self.name, "link", "set", self.link, state)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def hosts():
    """Two hosts that reach each other and nobody else."""
    number = os.getpid() % 250
    here = Host(f"dsmote-{os.getpid()}-a", f"10.213.{number}.1", "link-a")
    there = Host(f"dsmote-{os.getpid()}-b", f"10.213.{number}.2", "link-b")
    try:
        for host in (here, there):
            made = ip("netns", "add", host.name)
            if made.returncode != 0:
                pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
        pair = ("link", "add", here.link, "netns", here.name, "type", "veth")
        made = ip(*pair, "peer", "name", there.link, "netns", there.name)
        if made.returncode != 0:
            pytest.skip(f"no pair of links between namespaces here: {made.stderr.strip()}")
        for host in (here, there):
            for args in (
                ("addr", "add", f"{host.address}/24", "dev", host.link),
                ("link", "set", host.link, "up"),
                ("link", "set", "lo", "up"),
            ):
                done = ip("-n", host.name, *args)
                assert done.returncode == 0, done.stderr
        yield here, there
        left = [
            pid for host in (here, there) for pid in ip("netns", "pids", host.name).stdout.split()
        ]
        assert left == [], "processes are left in a namespace"
    finally:
        for host in (here, there):
            for pid in ip("netns", "pids", host.name).stdout.split():
                psutil.Process(int(pid)).kill()
            ip("netns", "del", host.name)
    assert f"dsmote-{os.getpid()}" not in ip("netns", "list").stdout


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("two-hosts") / "table", FILES, FILE_ROWS)


@pytest.fixture(scope="module")
def reference(table):
    """Part files of a run that nobody disturbed."""
    job = {"input": str(table), "output": str(table.parent / "reference"), "target": "label"}
    run_job(job | {"params": {"carry": ["id"], "random_state": 0}})
    return hashes(table.parent / "reference")


def parts_written(out):
    return len(list(out.parent.glob(f".{out.name}.dsmote/*/table/part-*.parquet")))


@pytest.mark.slow
@pytest.mark.parametrize("client_on", ["the scheduler's host", "the other host"])
def test_link_between_two_hosts_cut_in_the_middle(hosts, table, tmp_path, reference, client_on):
    here, there = hosts
    lonely = client_on == "the other host"
    out, log = tmp_path / "out", tmp_path / "client.log"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    def on(host):
        return {"host": host.address, "prefix": host.prefix, "env": SHORT}

    def command(host, out):
        dsmote = (*host.prefix, sys.executable, "-m", "dsmote", "resample", table, out, *FIXED)
        return (*dsmote, "--json", "--scheduler", scheduler)

    with (
        scheduler_in(tmp_path, **on(here)) as scheduler,
        worker_at(scheduler, tmp_path / "a" / "log", **on(here)) as near,
        worker_at(scheduler, tmp_path / "b" / "log", **on(there)) as far,
    ):
        assert f"//{here.address}:" in near
        assert f"//{there.address}:" in far
        client_host = there if lonely else here
        with running(*command(client_host, out), log=log, env=SHORT) as client:
            wait_until(lambda: parts_written(out) >= 10 or client.poll() is not None, "it writes")
            there.set_link("down")
            at_cut = parts_written(out)
            cut = time.monotonic()
            code = client.wait(240)
            seconds = time.monotonic() - cut
        said = log.read_text()
        # It was in the middle, and it did not take Dask's usual minutes to notice.
        assert 10 <= at_cut < len(reference), said
        assert seconds < 120
        errors = [line for line in said.splitlines() if line.startswith("Error: ")]
        if lonely:
            # It cannot know what became of the work, so it has failed.
            assert code == 1, said
            assert "the scheduler was lost" in errors[0], said
        if code == 0:
            manifest = json.loads(said[said.index("{") :])
            assert hashes(out) == reference
            assert set(manifest["memory"]["peak_bytes"]) == {near, far}
            assert far in (tmp_path / "scheduler.log").read_text().partition("Remove worker")[2]
        else:
            assert code == 1, said
            assert len(errors) == 1, said
            assert "Traceback" not in said
            assert not out.exists()
        assert {file.name for file in tmp_path.glob(".out.dsmote/*")} <= {"manifest.json"}

        if lonely:  # the next run, on what is left of the cluster, is as if nothing had been
            again = tmp_path / "again"
            with running(*command(here, again), log=tmp_path / "again.log", env=SHORT) as client:
                assert client.wait(240) == 0, (tmp_path / "again.log").read_text()
            assert hashes(again) == reference
