"""Run one dsmote command on workers that Slurm starts, and give them back.

    python dsmote_on_slurm.py --workers 8 --memory 8GiB --certificates ~/dsmote-tls \
        -- resample INPUT OUTPUT --target COL

The scheduler runs in this process: start it where it may stay for hours, on a login node or as a
Slurm job of its own (`sbatch --mem=4G --wrap "python dsmote_on_slurm.py ..."`). Workers that
Slurm takes away cost time, not rows. The exit code is that of the command. Needs dask-jobqueue.
"""

import argparse
import math
import re
import signal
import sys
from pathlib import Path

from dask.utils import parse_bytes
from dask_jobqueue import SLURMCluster
from distributed import Client, Security

from dsmote.cli import main as dsmote

#: A nanny and what it starts besides the worker.
NANNY_BYTES = 200 * 2**20


def parse(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, required=True, help="Slurm jobs of one worker each")
    parser.add_argument("--memory", required=True, help="of a worker, as `dsmote plan` asks for")
    parser.add_argument(
        "--walltime", default="06:00:00", help="as `sbatch --time` takes it; default: %(default)s"
    )
    parser.add_argument("--queue", help="the partition")
    parser.add_argument("--account")
    parser.add_argument("--interface", help="network card that the nodes reach each other by")
    parser.add_argument("--scratch", default="$TMPDIR", help="folder on a node's own disk")
    parser.add_argument("--logs", default="slurm-logs", help="folder for the workers' logs")
    parser.add_argument(
        "--certificates",
        type=Path,
        help="folder of processes/make-certificates.sh, seen by all nodes; without it the "
        "connections are not encrypted, and everybody on the network can run code as you",
    )
    parser.add_argument("--show", action="store_true", help="print the worker's Slurm script only")
    parser.add_argument("command", nargs="*", help="after --: a dsmote command with its options")
    given = parser.parse_args(args)
    if not given.show and not given.command:
        parser.error("there is no dsmote command after --")
    for option, read in (("walltime", lifetime), ("memory", memory_of_job)):
        try:
            read(getattr(given, option))
        except ValueError as error:
            parser.error(f"--{option}: {error}")
    return given


def security_of(folder: Path | None) -> Security | None:
    if folder is None:
        return None
    files = {"tls_ca_file": str(folder / "ca.pem")}
    for role in ("scheduler", "worker", "client"):
        files[f"tls_{role}_cert"] = str(folder / f"{role}.pem")
        files[f"tls_{role}_key"] = str(folder / f"{role}-key.pem")
    return Security(**files, require_encryption=True)


def seconds_of(walltime: str) -> int:
    """Seconds of what `sbatch --time` takes: M, M:S and H:M:S, or D-H, D-H:M and D-H:M:S."""
    form = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", walltime)
    if form is None:
        raise ValueError(f"{walltime} is none of MINUTES, HH:MM:SS, D-HH and D-HH:MM:SS")
    days, hours, minutes, seconds = (int(part or 0) for part in form.groups())
    if form[1] is None and form[4] is None:
        hours, minutes, seconds = 0, hours, minutes
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def lifetime(walltime: str) -> int:
    """Seconds of a worker: a tenth less than Slurm gives it, but at most ten minutes less."""
    seconds = seconds_of(walltime)
    return seconds - min(seconds // 10, 600)


def memory_of_job(memory: str) -> str:
    """Return what Slurm is asked for: room for the nanny, too, above the 95 % that Dask allows."""
    limit = parse_bytes(memory)
    return f"{math.ceil((limit + max(0, NANNY_BYTES - limit // 20)) / 2**20)}M"


def cluster_of(given: argparse.Namespace) -> SLURMCluster:
    return SLURMCluster(
        n_workers=0,
        cores=1,
        processes=1,
        memory=given.memory,
        job_mem=memory_of_job(given.memory),
        walltime=given.walltime,
        queue=given.queue,
        account=given.account,
        interface=given.interface,
        local_directory=given.scratch,
        log_directory=given.logs,
        job_name="dsmote",
        security=security_of(given.certificates),
        job_script_prologue=["export MALLOC_MMAP_THRESHOLD_=33554432"],
        # It ends before Slurm's limit would kill it, hands over what it holds, and is replaced.
        worker_extra_args=["--lifetime", f"{lifetime(given.walltime)}s"],
        scheduler_options={"dashboard_address": "127.0.0.1:0", "dashboard": False},
    )


def main(args: list[str]) -> int:
    given = parse(args)
    # `scancel` and a closed terminal, when it is not `dsmote` that is asked to end: what was
    # submitted is given back, or it would wait in the queue for nothing.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: sys.exit(130))
    with cluster_of(given) as cluster:
        if given.show:
            print(cluster.job_script())
            return 0
        cluster.adapt(minimum_jobs=given.workers, maximum_jobs=given.workers)
        # The command uses the client that is active, and waits for the first worker.
        with Client(cluster):
            try:
                dsmote(given.command)
            except SystemExit as ended:
                return int(ended.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
