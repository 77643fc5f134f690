"""Who has no certificate gets in nowhere: what cluster/processes starts, and local clusters."""

import json
import os
import re
import ssl
import sys
import tempfile
import time
from contextlib import contextmanager

import dask
import psutil
import pytest
from distributed import Security

import dsmote
from dsmote import cluster as cluster_module
from dsmote.cluster import SchedulerUnreachable
from dsmote.job.demo import demo_chunk
from tests.cluster.starting import FIXED, SCRIPTS, hashes, resample, run, succeeded
from tests.cluster.starting import refused as refused_command


def arguments(authority, holder):
    return {
        "tls_ca_file": str(authority / "ca.pem"),
        "tls_client_cert": str(holder / "client.pem"),
        "tls_client_key": str(holder / "client-key.pem"),
    }


@pytest.fixture(scope="module")
def foreign(certificates):
    """Certificates of another cluster."""
    folder = certificates.parent / "foreign"
    made = run(SCRIPTS / "make-certificates.sh", folder, "nas.example", "10.9.8.7", "fd00::7")
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def cluster(certificates):
    """Address of the scheduler, with a worker. Afterwards nothing is left."""
    folder = certificates.parent / "cluster"
    started = run(SCRIPTS / "start.sh", folder, 1, TLS=certificates, MEMORY_LIMIT="1GiB")
    try:
        assert started.returncode == 0, started.stderr
        processes = [
            psutil.Process(int(file.read_text().split()[0])) for file in folder.glob("*.pid")
        ]
        processes += [child for each in processes for child in each.children(recursive=True)]
        assert len(processes) >= 3  # a scheduler, and a worker with a nanny
        yield started.stdout.strip()
    finally:
        stopped = run(SCRIPTS / "stop.sh", folder)
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert psutil.wait_procs(processes, timeout=5)[1] == []
    assert set(os.listdir(folder)) == {"scheduler.log", "worker-0.log"}


@pytest.fixture(scope="module")
def table(certificates):
    file = certificates.parent / "table.parquet"
    demo_chunk(0, 4000).to_parquet(file, index=False)
    return file


def test_jobs_over_tls_give_the_same_files(cluster, certificates, table, tmp_path):
    assert cluster.startswith("tls://127.0.0.1:")
    names = ("--tls-ca-file", "--tls-cert", "--tls-key")
    files = zip(names, arguments(certificates, certificates).values(), strict=True)
    options = [part for each in files for part in each]
    done = resample(table, tmp_path / "out", "--json", "--scheduler", cluster, *options)
    (worker,) = json.loads(succeeded(done))["memory"]["peak_bytes"]
    assert worker.startswith("tls://")
    job = {"input": str(table), "target": "label"}
    job["params"] = {"carry": ["id"], "random_state": 0}
    there = {"address": cluster, "security": arguments(certificates, certificates)}
    for name, where in (("file", {"cluster": there}), ("here", {})):
        dsmote.run_job({**job, "output": str(tmp_path / name), **where})
        assert hashes(tmp_path / name) == hashes(tmp_path / "out") != {}


@pytest.mark.slow
def test_run_script_stops_what_it_started(certificates, table, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    settings = {"TLS": certificates, "TMPDIR": scratch, "MEMORY_LIMIT": "1GiB"}
    job = ("resample", table, tmp_path / "out", *FIXED, "--json")
    done = run(SCRIPTS / "run.sh", 1, *job, **settings)
    assert done.returncode == 0, done.stderr
    (worker,) = json.loads(done.stdout)["memory"]["peak_bytes"]
    assert worker.startswith("tls://127.0.0.1:")
    assert os.listdir(scratch) == []
    running = [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"]]
    assert not [each for each in running if str(scratch) in " ".join(each.info["cmdline"])]


@pytest.mark.slow
def test_workers_that_cannot_start_are_told(cluster, certificates, tmp_path):
    """More workers, from what could be another machine: as they should, lame, without scheduler."""
    more = tmp_path / "more"
    settings = {"TLS": certificates, "SCHEDULER": cluster}
    joined = run(SCRIPTS / "start.sh", more, 1, **settings)
    assert (joined.returncode, joined.stdout.strip()) == (0, cluster), joined.stderr
    assert run(SCRIPTS / "stop.sh", more).returncode == 0
    lame = tmp_path / "python"
    lame.write_text(
        '#!/bin/sh\ncase "$*" in *" worker "*) echo no memory; exit 1;; esac\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    lame.chmod(0o755)
    for changed, said in (
        ({"PYTHON": lame}, r"no memory\n\S+-0 has ended: see above what it said last\n"),
        ({"SCHEDULER": "tcp://127.0.0.1:9"}, r"no scheduler can be reached .*TLS.*\n"),
    ):
        failed = run(SCRIPTS / "start.sh", more, 1, **settings | changed)
        assert failed.returncode == 1
        assert re.fullmatch(said, failed.stderr)
        assert list(more.glob("*.pid")) == []
    failed = run(SCRIPTS / "start.sh", tmp_path / "new", 1, TLS=tmp_path)
    assert (failed.returncode, os.path.exists(tmp_path / "new")) == (2, False)
    assert f"no certificates in {tmp_path}: make them" in failed.stderr


def test_client_without_a_certificate_is_refused(cluster, table, tmp_path):
    said = refused_command("resample", table, tmp_path / "out", *FIXED, "--scheduler", cluster)
    assert f"{cluster}, or it does not let this client in" in said
    assert "--tls-ca-file" in said
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("authority", "holder", "key", "cause"),
    [
        # Where the scheduler is busy, its alert may come after the connection has ended.
        ("own", "foreign", "foreign", "UNKNOWN_CA|EOF occurred"),
        ("foreign", "foreign", "foreign", "unable to get local issuer|self.signed"),
        ("own", "own", "foreign", "KEY_VALUES_MISMATCH"),
    ],
)
def test_certificates_of_another_ca_are_refused_at_once(
    cluster, certificates, foreign, authority, holder, key, cause
):
    of = {"own": certificates, "foreign": foreign}
    security = arguments(of[authority], of[holder])
    security["tls_client_key"] = str(of[key] / "client-key.pem")
    assert refused(cluster, security, cause) < 3


def refused(address, security, cause):
    """Seconds until a client is told why it does not get in."""
    started = time.monotonic()
    with (
        pytest.raises(SchedulerUnreachable, match=rf"answers at {address}, or .* \(.*({cause})"),
        dsmote.connect(address, security=security),
    ):
        pass
    return time.monotonic() - started


def test_address_without_encryption_is_refused(cluster, certificates):
    plain = cluster.replace("tls://", "tcp://")
    refused(plain, {}, r".*\): check the address \(tls:// where there are certificates")
    encrypted = arguments(certificates, certificates) | {"require_encryption": True}
    assert refused(plain, encrypted, "encryption required") < 3


def test_certificates_from_python_and_from_the_configuration(cluster, certificates):
    given = Security(**arguments(certificates, certificates))
    with dsmote.connect(cluster, security=given) as client:
        assert client.submit(sum, [1, 2]).result() == 3
    settings = {
        "scheduler-address": cluster,
        "distributed.comm.tls.ca-file": str(certificates / "ca.pem"),
        "distributed.comm.tls.client.cert": str(certificates / "client.pem"),
        "distributed.comm.tls.client.key": str(certificates / "client-key.pem"),
    }
    with dask.config.set(settings), dsmote.connect() as client:
        assert client.scheduler.address == cluster


def test_certificates_are_as_they_should_be(certificates, foreign):
    def text(file):
        shown = run("openssl", "x509", "-noout", "-text", "-in", file)
        assert shown.returncode == 0, shown.stderr
        return shown.stdout

    for role in ("scheduler", "worker"):
        for purpose in ("sslserver", "sslclient"):
            verified = run(
                *("openssl", "verify", "-x509_strict", "-purpose", purpose),
                *("-CAfile", certificates / "ca.pem", certificates / f"{role}.pem"),
            )
            assert verified.returncode == 0, verified.stderr
    assert "TLS Web Server Authentication" not in text(certificates / "client.pem")
    names = text(foreign / "scheduler.pem")
    for name in ("DNS:localhost", "DNS:nas.example", "IP Address:127.0.0.1", "IP Address:10.9.8.7"):
        assert name in names
    assert "FD00:0:0:0:0:0:0:7" in names
    # Nobody else reads the keys, and with the CA's gone nobody makes another certificate.
    assert {file.stat().st_mode & 0o077 for file in certificates.iterdir()} == {0}
    assert set(os.listdir(certificates)) == {
        "ca.pem",
        *(f"{role}{key}.pem" for role in ("scheduler", "worker", "client") for key in ("", "-key")),
    }


def test_certificates_that_cannot_be_made(certificates, tmp_path):
    before = (certificates / "ca.pem").read_bytes()
    again = run(SCRIPTS / "make-certificates.sh", certificates)
    assert again.returncode == 1
    assert "has certificates already" in again.stderr
    assert (certificates / "ca.pem").read_bytes() == before
    no_host = run(SCRIPTS / "make-certificates.sh", tmp_path / "new", "a,IP:10.0.0.1")
    assert no_host.returncode == 2
    assert "neither a host name nor an IP address" in no_host.stderr
    assert os.listdir(tmp_path) == []


#: Run by another process: it prints what it could open, of all ports, as which client.
STRANGER = """
import asyncio, http.client, json, os, sys
from distributed import Client, Security, rpc

async def answers(address, security):
    arguments = security.get_connection_args("client")
    try:
        async with rpc(address, timeout=2, connection_args=arguments) as there:
            await asyncio.wait_for(there.identity(), 5)
    except (OSError, ValueError, asyncio.TimeoutError):
        return False
    return True

async def open_ports(tries):
    found = await asyncio.gather(*(answers(address, security) for address, security in tries))
    return [address for (address, _), opened in zip(tries, found) if opened]

def runs_code(address, security):
    try:
        with Client(address, timeout=2, security=security) as client:
            return client.run_on_scheduler(os.getpid) > 0
    except (OSError, ValueError):
        return False

def page(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False

tried, scheduler, *ports = json.loads(sys.argv[1])
clients = {"tcp": Security(), "tls": Security.temporary()}
clients = {by: clients[by] for by in clients if by in tried}
tries = [(f"{by}://127.0.0.1:{port}", clients[by]) for port in ports for by in clients]
opened = asyncio.run(open_ports(tries))
opened += [by for by in clients if runs_code(f"{by}://127.0.0.1:{scheduler}", clients[by])]
pages = "/info/main/workers.html", "/json/identity.json", "/metrics", "/health"
pages = pages if "http" in tried else ()
opened += [f"{port}{path}" for port in ports for path in pages if page(port, path)]
print(json.dumps(opened))
"""


def opened_by_a_stranger(client, *tried):
    """What another process opens of the ports of scheduler, nannies and workers."""
    places = [
        one.laddr
        for pid in (os.getpid(), *client.run(os.getpid).values())
        for one in psutil.Process(pid).net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    ]
    assert {place.ip for place in places} == {"127.0.0.1"}
    scheduler = int(client.scheduler.address.rpartition(":")[2])
    ports = [place.port for place in places]
    assert scheduler in ports
    ran = run(sys.executable, "-c", STRANGER, json.dumps([tried, scheduler, *ports]))
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize(
    "how", ["of a job", pytest.param("certificates given", marks=pytest.mark.slow)]
)
def test_a_stranger_cannot_run_code_on_a_local_cluster_nor_read_its_key(
    how, certificates, table, tmp_path, monkeypatch
):
    opened, shown, folders = [], [], []
    real, load = cluster_module._local_cluster, ssl.SSLContext.load_cert_chain
    (tmp_path / "own").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "own"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "own"))

    def seen(context, certificate, key):
        folders.append(os.stat(os.path.dirname(key)).st_mode & 0o777)
        load(context, certificate, key)

    @contextmanager
    def tried(*args):
        before = os.umask(0)
        try:
            with real(*args) as client:
                addresses = [client.scheduler.address, *client.nthreads()]
                assert all(address.startswith("tls://127.0.0.1:") for address in addresses)
                opened.append(opened_by_a_stranger(client, "tcp", "tls", "http"))
                shown.append(str(client.run(lambda: [str(dict(os.environ)), str(sys.argv)])))
                pids = client.run(os.getpid).values()
                shown.extend(str(psutil.Process(pid).cmdline()) for pid in pids)
                kept = [file for file in (tmp_path / "own").rglob("*") if file.is_file()]
                shown.extend(file.read_text(errors="replace") for file in kept)
                yield client
        finally:
            os.umask(before)

    monkeypatch.setattr(cluster_module, "_local_cluster", tried)
    if how == "of a job":
        monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", seen)
    size = {"n_workers": 1, "threads_per_worker": 1}
    if how == "of a job":
        job = {"input": str(table), "output": str(tmp_path / "out"), "target": "label"}
        dsmote.run_job({**job, "params": {"carry": ["id"]}, "cluster": size})
    else:
        files = {"tls_ca_file": str(certificates / "ca.pem")}
        for role in ("scheduler", "worker", "client"):
            files[f"tls_{role}_cert"] = str(certificates / f"{role}.pem")
            files[f"tls_{role}_key"] = str(certificates / f"{role}-key.pem")
        with dsmote.connect(**size, security=files) as client:
            assert client.submit(sum, [1, 2]).result() == 3
    assert opened == [[]]
    assert how == "certificates given" or set(folders) == {0o700}
    assert len(shown) >= 2 and not [text for text in shown if "PRIVATE KEY" in text]


@pytest.mark.parametrize(
    ("given", "configured", "encrypted"),
    [
        (None, None, True),
        (None, True, True),
        ({"require_encryption": True}, None, True),
        (None, False, False),
        ({"require_encryption": False}, None, False),
    ],
)
def test_a_local_cluster_is_encrypted_unless_that_is_ruled_out(given, configured, encrypted):
    with dask.config.set({"distributed.comm.require-encryption": configured}):
        security = cluster_module._local_security(given)
    assert security.require_encryption is encrypted
    for role in ("scheduler", "worker", "client"):
        assert (security.get_listen_args(role)["ssl_context"] is not None) is encrypted


@pytest.mark.slow
def test_without_encryption_it_is_open_as_the_readme_says():
    """So the stranger would find a door, and whoever asks for plain connections gets them."""
    plain = {"require_encryption": False}
    with dsmote.connect(n_workers=1, threads_per_worker=1, security=plain) as client:
        opened = opened_by_a_stranger(client, "tcp")
        assert client.scheduler.address in opened
        assert "tcp" in opened  # it ran code
