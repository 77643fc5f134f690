"""The program for Slurm: the script as rendered, and a run on workers that `sbatch` starts."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import module_from_spec, spec_from_file_location

import psutil
import pytest

from dsmote.job.demo import demo_chunk
from tests.cluster.starting import CLUSTER, missing, run, wait_until

PROGRAM = CLUSTER / "slurm" / "dsmote_on_slurm.py"


@pytest.fixture(autouse=True)
def _jobqueue():
    try:
        distribution("dask-jobqueue")
    except PackageNotFoundError:
        missing("no dask-jobqueue here: extra `test`")


@pytest.fixture
def program():
    spec = spec_from_file_location("dsmote_on_slurm", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_slurm(*args, **settings):
    return run(sys.executable, PROGRAM, "--interface", "lo", "--workers", 2, *args, **settings)


def test_slurm_script_as_rendered(certificates, tmp_path):
    shown = on_slurm(
        *("--memory", "8GiB", "--queue", "long", "--account", "lake", "--show"),
        *("--walltime", "1-02:00:00", "--certificates", certificates, "--logs", tmp_path / "logs"),
    )
    assert shown.returncode == 0, shown.stderr
    script = shown.stdout
    directives = re.findall(r"^#SBATCH (.*)$", script, flags=re.M)
    assert set(directives) >= {
        *("-J dsmote", "-p long", "-A lake", "-n 1", "--cpus-per-task=1", "--mem=8192M"),
        *("-t 1-02:00:00", f"-e {tmp_path}/logs/dsmote-%J.err"),
    }
    (worker,) = [line for line in script.splitlines() if "dask_worker" in line]
    for part in (
        *("--nthreads 1", "--memory-limit 8.00GiB", "--nanny", "--protocol tls://"),
        *(" tls://127.0.0.1:", "--local-directory $TMPDIR", f"--lifetime {26 * 3600 - 600}s"),
        f"--tls-cert {certificates}/worker.pem --tls-key {certificates}/worker-key.pem",
    ):
        assert part in worker
    parsed = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert (parsed.returncode, parsed.stderr) == (0, "")


@pytest.mark.parametrize(
    ("walltime", "seconds"),
    [
        ("90", 90 * 60),
        ("90:30", 90 * 60 + 30),
        ("6:00:00", 6 * 3600),
        ("2-12", 60 * 3600),
        ("2-12:30", 60 * 3600 + 1800),
        ("2-12:30:15", 60 * 3600 + 1815),
        *((nonsense, None) for nonsense in ("", "UNLIMITED", "6h", "1-", "1:2:3:4", "-5")),
    ],
)
def test_walltime_is_read_as_slurm_reads_it(program, walltime, seconds):
    """As `man sbatch` tells under --time; a worker that took 90 for seconds would live for 81 s."""
    if seconds is not None:
        assert program.seconds_of(walltime) == seconds
        return
    with pytest.raises(SystemExit):
        program.parse(["--workers=1", "--memory=1GiB", f"--walltime={walltime}", "--show"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_was_submitted_is_given_back(program, monkeypatch, number):
    """A signal ends this program in good order, also before and after the command runs."""
    given_back = []
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}

    @contextmanager
    def cluster_of(given):
        try:
            signal.raise_signal(number)
            yield
        finally:
            given_back.append(given)

    monkeypatch.setattr(program, "cluster_of", cluster_of)
    try:
        with pytest.raises(SystemExit) as ended:
            program.main(["--workers", "1", "--memory", "1GiB", "--", "demo"])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert (ended.value.code, len(given_back)) == (130, 1)


@pytest.fixture
def slurm(tmp_path):
    """What `sbatch` and `scancel` do, on this machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(
        "#!/bin/bash\nset -m\n"
        f'bash "$1" </dev/null >"{tmp_path}/worker-$$.log" 2>&1 &\n'
        f'echo $! >>"{folder}/pids"\necho "Submitted batch job $!"\n'
    )
    (folder / "scancel").write_text('#!/bin/bash\nfor pid; do kill -- "-$pid"; done\n')
    for name in ("sbatch", "scancel"):
        (folder / name).chmod(0o755)
    yield folder
    for pid in (folder / "pids").read_text().split() if (folder / "pids").exists() else []:
        wait_until(lambda pid=int(pid): not psutil.pid_exists(pid), "the Slurm job has ended")


@pytest.mark.slow
def test_command_runs_on_slurms_workers(slurm, certificates, tmp_path):
    table = tmp_path / "table.parquet"
    demo_chunk(0, 4000).to_parquet(table, index=False)
    fixed = (
        *("--memory", "1GiB", "--certificates", certificates, "--logs", tmp_path / "logs"),
        *("--scratch", tmp_path, "--"),
    )
    path = f"{slurm}:{os.environ['PATH']}"
    job = ("resample", table, tmp_path / "out", "--target", "label", "--carry", "id", "--json")
    done = on_slurm(*fixed, *job, PATH=path)
    logs = "".join(file.read_text() for file in tmp_path.glob("worker-*.log"))
    assert done.returncode == 0, done.stderr + logs
    peaks = json.loads(done.stdout)["memory"]["peak_bytes"]
    assert 1 <= len(peaks) <= 2
    assert all(worker.startswith("tls://127.0.0.1:") for worker in peaks)
    assert len((slurm / "pids").read_text().split()) >= 2
    # The exit code is the command's.
    failed = on_slurm(*fixed, *job, PATH=path)
    assert failed.returncode == 5
    assert "is there already" in failed.stderr
