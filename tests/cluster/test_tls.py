"""A cluster that lets nobody in without a certificate, started by cluster/processes."""

import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import dask
import psutil
import pytest
from distributed import Security

import dsmote
from dsmote.cluster import SchedulerUnreachable
from dsmote.job.demo import demo_chunk
from tests.cluster.starting import ROOT

SCRIPTS = ROOT / "cluster" / "processes"
ENVIRONMENT = {
    **os.environ,
    "PYTHON": sys.executable,
    "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
}


def run(*command: object, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        env=ENVIRONMENT | {name: str(value) for name, value in settings.items()},
        capture_output=True,
        text=True,
        timeout=150,
    )


def arguments(authority: Path, holder: Path) -> dict[str, str]:
    return {
        "tls_ca_file": str(authority / "ca.pem"),
        "tls_client_cert": str(holder / "client.pem"),
        "tls_client_key": str(holder / "client-key.pem"),
    }


def options(authority: Path, holder: Path) -> list[str]:
    names = {"tls_ca_file": "--tls-ca-file", "tls_client_cert": "--tls-cert"}
    return [
        part
        for name, file in arguments(authority, holder).items()
        for part in (names.get(name, "--tls-key"), file)
    ]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of the cluster."""
    folder = tmp_path_factory.mktemp("tls") / "own"
    made = run(SCRIPTS / "make-certificates.sh", folder)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def foreign(own: Path) -> Path:
    """Certificates of another cluster."""
    folder = own.parent / "foreign"
    made = run(SCRIPTS / "make-certificates.sh", folder, "nas.example", "10.9.8.7", "fd00::7")
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def cluster(own: Path) -> Iterator[str]:
    """Address of the scheduler, with two workers. Afterwards nothing is left."""
    folder = own.parent / "cluster"
    started = run(SCRIPTS / "start.sh", folder, 2, TLS=own, MEMORY_LIMIT="1GiB")
    try:
        assert started.returncode == 0, started.stderr
        processes = [
            psutil.Process(int(file.read_text().split()[0])) for file in folder.glob("*.pid")
        ]
        processes += [child for each in processes for child in each.children(recursive=True)]
        assert len(processes) >= 5  # a scheduler, and two workers with a nanny each
        yield started.stdout.strip()
    finally:
        stopped = run(SCRIPTS / "stop.sh", folder)
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert psutil.wait_procs(processes, timeout=5)[1] == []
    assert {file.name for file in folder.iterdir()} == {
        "scheduler.log",
        "worker-0.log",
        "worker-1.log",
    }


@pytest.fixture(scope="module")
def table(own: Path) -> Path:
    file = own.parent / "table.parquet"
    demo_chunk(0, 4000).to_parquet(file, index=False)
    return file


def resample(table: Path, out: Path, *args: object) -> subprocess.CompletedProcess[str]:
    fixed = ("--target", "label", "--carry", "id", "--random-state", 0, "--json")
    return run(sys.executable, "-m", "dsmote", "resample", table, out, *fixed, *args)


def hashes(out: Path) -> list[str]:
    return [
        hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(out.glob("part-*.parquet"))
    ]


def test_job_over_tls_gives_the_same_files(
    cluster: str, own: Path, table: Path, tmp_path: Path
) -> None:
    assert cluster.startswith("tls://127.0.0.1:")
    done = resample(table, tmp_path / "out", "--scheduler", cluster, *options(own, own))
    assert done.returncode == 0, done.stderr
    peaks = json.loads(done.stdout)["memory"]["peak_bytes"]
    assert len(peaks) == 2
    assert all(worker.startswith("tls://") for worker in peaks)
    dsmote.run_job(
        {"input": str(table), "output": str(tmp_path / "plain"), "target": "label"}
        | {"params": {"carry": ["id"], "random_state": 0}, "cluster": {"n_workers": 1}}
    )
    assert hashes(tmp_path / "out") == hashes(tmp_path / "plain") != []


def test_job_file_over_tls(cluster: str, own: Path, table: Path, tmp_path: Path) -> None:
    job = {
        "input": str(table),
        "output": str(tmp_path / "out"),
        "target": "label",
        "params": {"carry": ["id"], "random_state": 0},
        "if_exists": "skip",
        "cluster": {"address": cluster, "security": arguments(own, own)},
    }
    file = tmp_path / "job.yaml"
    file.write_text(json.dumps(job), encoding="utf-8")  # which is YAML, too
    done = run(sys.executable, "-m", "dsmote", "run", file)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "_SUCCESS").exists()
    del job["cluster"]["security"]
    file.write_text(json.dumps(job | {"output": str(tmp_path / "other")}), encoding="utf-8")
    done = run(sys.executable, "-m", "dsmote", "run", file)
    assert done.returncode == 1
    assert "wants to see a certificate and there is none" in done.stderr
    assert not (tmp_path / "other").exists()


def refused(cluster: str, table: Path, out: Path, *args: object) -> str:
    """Message of a run that must end with nothing written."""
    done = resample(table, out, "--scheduler", cluster, *args)
    assert (done.returncode, done.stdout) == (1, "")
    errors = [line for line in done.stderr.splitlines() if not line.endswith(" ...")]
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("Error: ")
    assert not out.exists()
    return errors[0]


def test_client_without_a_certificate_is_refused(cluster: str, table: Path, tmp_path: Path) -> None:
    said = refused(cluster, table, tmp_path / "out")
    assert f"the scheduler at {cluster} wants to see a certificate and there is none" in said
    assert "--tls-ca-file" in said


def test_certificates_of_another_ca_are_refused(cluster: str, own: Path, foreign: Path) -> None:
    cases = {
        (own, foreign): f"not accept the certificate {foreign / 'client.pem'} .*UNKNOWN_CA",
        (foreign, foreign): f"shows a certificate that {foreign / 'ca.pem'} has not signed",
    }
    for files, message in cases.items():
        with (
            pytest.raises(SchedulerUnreachable, match=message),
            dsmote.connect(cluster, security=arguments(*files)),
        ):
            pass


def test_address_without_encryption_is_refused(cluster: str, own: Path) -> None:
    plain = cluster.replace("tls://", "tcp://")
    with (
        pytest.raises(SchedulerUnreachable, match=f"{plain} talks TLS only: use {cluster} and"),
        dsmote.connect(plain),
    ):
        pass
    with (
        pytest.raises(SchedulerUnreachable, match=f"{plain} is not encrypted, and encryption is"),
        dsmote.connect(plain, security=arguments(own, own) | {"require_encryption": True}),
    ):
        pass


def test_certificates_from_python_and_from_the_configuration(cluster: str, own: Path) -> None:
    for security in (arguments(own, own), Security(**arguments(own, own))):
        with dsmote.connect(cluster, security=security) as client:
            assert client.submit(sum, [1, 2]).result() == 3
    settings = {
        "scheduler-address": cluster,
        "distributed.comm.tls.ca-file": str(own / "ca.pem"),
        "distributed.comm.tls.client.cert": str(own / "client.pem"),
        "distributed.comm.tls.client.key": str(own / "client-key.pem"),
    }
    with dask.config.set(settings), dsmote.connect() as client:
        assert client.scheduler.address == cluster


def test_local_cluster_can_be_encrypted(own: Path) -> None:
    security = Security(
        **arguments(own, own),
        tls_scheduler_cert=str(own / "scheduler.pem"),
        tls_scheduler_key=str(own / "scheduler-key.pem"),
        tls_worker_cert=str(own / "worker.pem"),
        tls_worker_key=str(own / "worker-key.pem"),
        require_encryption=True,
    )
    with dsmote.connect(n_workers=1, threads_per_worker=1, security=security) as client:
        addresses = [client.scheduler.address, *client.nthreads()]
        assert all(address.startswith("tls://127.0.0.1:") for address in addresses)


@pytest.mark.parametrize(
    ("security", "error", "message"),
    [
        ({"tls_ca": "x"}, ValueError, r"Unknown parameters: \['tls_ca'\].*takes require_encryp"),
        ({"tls_ca_file": "/no/ca.pem"}, FileNotFoundError, r"/no/ca\.pem, given as tls_ca_file"),
        (True, ValueError, "security= is a bool"),
    ],
)
def test_security_that_cannot_be_used_is_told(
    security: object, error: type[Exception], message: str
) -> None:
    with (
        pytest.raises(error, match=message),
        dsmote.connect("tls://127.0.0.1:9", security=security),
    ):
        pass


def test_key_of_another_certificate_is_told(own: Path, foreign: Path) -> None:
    mixed = arguments(own, own) | {"tls_client_key": str(foreign / "client-key.pem")}
    with (
        pytest.raises(SchedulerUnreachable, match="KEY_VALUES_MISMATCH"),
        dsmote.connect("tls://127.0.0.1:9", security=mixed),
    ):
        pass


def test_certificate_that_has_expired_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "of last year"
    assert run(SCRIPTS / "make-certificates.sh", folder, KEEP_CA_KEY=1).returncode == 0
    key, old = folder / "scheduler-key.pem", folder / "old.pem"
    asked = ("openssl", "req", "-new", "-key", key, "-subj", "/CN=scheduler", "-out", folder / "r")
    assert run(*asked).returncode == 0
    authority = ("-CA", folder / "ca.pem", "-CAkey", folder / "ca-key.pem", "-set_serial", 7)
    signed = ("openssl", "x509", "-req", "-in", folder / "r", "-days", -1, *authority, "-out", old)
    assert run(*signed).returncode == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(old, key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            plain, _ = server.accept()
            with suppress(OSError), plain, context.wrap_socket(plain, server_side=True):
                pass

        thread = Thread(target=serve)
        thread.start()
        address = f"tls://127.0.0.1:{server.getsockname()[1]}"
        with (
            pytest.raises(
                SchedulerUnreachable, match=f"{address} shows a certificate that has expired"
            ),
            dsmote.connect(address, security=arguments(folder, folder)),
        ):
            pass
        thread.join(10)


def test_certificates_are_as_they_should_be(own: Path, foreign: Path) -> None:
    def text(file: Path) -> str:
        shown = run("openssl", "x509", "-noout", "-text", "-in", file)
        assert shown.returncode == 0, shown.stderr
        return shown.stdout

    for role, purpose in (("scheduler", "sslserver"), ("worker", "sslserver")):
        for asked in (purpose, "sslclient"):
            verified = run(
                *("openssl", "verify", "-x509_strict", "-purpose", asked),
                *("-CAfile", own / "ca.pem", own / f"{role}.pem"),
            )
            assert verified.returncode == 0, verified.stderr
    assert "TLS Web Server Authentication" not in text(own / "client.pem")
    names = text(foreign / "scheduler.pem")
    for name in ("DNS:localhost", "DNS:nas.example", "IP Address:127.0.0.1", "IP Address:10.9.8.7"):
        assert name in names
    assert "FD00:0:0:0:0:0:0:7" in names
    # Nobody else reads the keys, and with the CA's gone nobody makes another certificate.
    assert {file.stat().st_mode & 0o077 for file in own.iterdir()} == {0}
    assert {file.name for file in own.iterdir()} == {
        "ca.pem",
        *(f"{role}{key}.pem" for role in ("scheduler", "worker", "client") for key in ("", "-key")),
    }


def test_certificates_are_not_overwritten_by_accident(own: Path) -> None:
    before = (own / "ca.pem").read_bytes()
    again = run(SCRIPTS / "make-certificates.sh", own)
    assert again.returncode == 1
    assert "has certificates already" in again.stderr
    assert (own / "ca.pem").read_bytes() == before


def test_host_name_that_is_none_is_refused(tmp_path: Path) -> None:
    made = run(SCRIPTS / "make-certificates.sh", tmp_path / "new", "a,IP:10.0.0.1")
    assert made.returncode == 2
    assert "neither a host name nor an IP address" in made.stderr
    assert not (tmp_path / "new").exists()
