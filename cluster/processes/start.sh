#!/usr/bin/env bash
# Start a Dask scheduler and N workers as processes on this machine, and leave them running.
#
#   start.sh FOLDER N_WORKERS       stop.sh FOLDER
#
# FOLDER gets scheduler.json (for `dsmote ... --scheduler-file`), a log and a pid file of each
# process, and the workers' scratch files in dask-scratch/. Returns when all workers are there.
#
# Settings from the environment:
#   PYTHON        the interpreter (python)
#   HOST, PORT    where they listen (127.0.0.1, any free port of the scheduler)
#   THREADS, MEMORY_LIMIT   of a worker (1, auto)
#   TLS           a folder that make-certificates.sh filled: all connections are encrypted, and who
#                 has no certificate is refused
#   SCHEDULER     the address of a scheduler that runs elsewhere: only workers are started
#   DASK_...      as Dask takes them
set -euo pipefail

if [ $# -ne 2 ] || ! [[ $2 =~ ^(0|[1-9][0-9]*)$ ]]; then
    echo "usage: $0 FOLDER N_WORKERS" >&2
    exit 2
fi
unset CDPATH # with it, cd may go elsewhere, and says where
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python}
host=${HOST:-127.0.0.1}
n_workers=$2
protocol=${TLS:+tls}
protocol=${protocol:-tcp}
# shellcheck source-path=SCRIPTDIR source=tls.sh
. "$here/tls.sh"
# shellcheck source-path=SCRIPTDIR source=started.sh
. "$here/started.sh"

mkdir -p "$1"
folder=$(cd "$1" && pwd)
# Made here or not at all: of two starts at once one gets it, and what stop.sh deletes is ours.
if compgen -G "$folder/*.pid" >/dev/null || ! mkdir "$folder/dask-scratch"; then
    echo "$folder is in use: stop what runs there first, with $here/stop.sh $folder" >&2
    exit 1
fi
rm -f "$folder/scheduler.json"
# There as long as what this start starts may run: stop.sh deletes it before it looks for pids.
counts=$folder/dask-scratch/start-$$
: >"$counts"
export DASK_TEMPORARY_DIRECTORY=$folder/dask-scratch
export MALLOC_MMAP_THRESHOLD_=${MALLOC_MMAP_THRESHOLD_:-33554432}

# Whatever goes wrong, what was started is stopped. A signal is only noted, and answered between two
# steps.
stopped='' waiting=''
trap 'stopped=yes' INT TERM HUP
clear_up() {
    local code=$?
    [ -z "$waiting" ] || kill "$waiting" 2>/dev/null || true
    exec 3>&2 2>/dev/null # else bash tells of each that it was terminated
    "$here/stop.sh" "$folder" 2>&3 3>&- || true
    wait # for what had no pid file yet, and gives up
    exit "$code"
}
trap clear_up EXIT
go_on() { [ -z "$stopped" ] || exit 130; }

# Each in a process group of its own: a Ctrl-C in this terminal is not meant for them. Each writes
# its own pid before it becomes Dask, and gives up if stop.sh was there meanwhile: so none runs that
# stop.sh does not find, even if this script is killed between any two steps.
set -m
start() {
    local name=$1
    local pid_file=$folder/$name.pid
    shift
    (
        # BASHPID, which bash 3.2 does not have: the parent of what runs in $() is this process.
        # shellcheck disable=SC2016
        pid=$(exec sh -c 'echo "$PPID"')
        [ -e "$counts" ] || exit 1 # by now the file may be another start's
        # When it was started, too: a pid may come again.
        printf '%s\n%s\n' "$pid" "$(started "$pid")" >"$pid_file" || exit 1
        [ -e "$counts" ] || { rm -f "$pid_file"; exit 1; }
        exec nohup "$python" -m dask "$@" </dev/null >"$folder/$name.log" 2>&1
    ) &
    until [ -f "$pid_file" ] && [ -s "$pid_file" ]; do
        kill -0 "$!" 2>/dev/null || exit 1
        sleep 0.01
    done
    go_on
}

wait_for_scheduler() {
    local pid
    read -r pid <"$folder/scheduler.pid"
    for _ in {1..600}; do
        [ -s "$folder/scheduler.json" ] && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
        go_on
    done
    cat "$folder/scheduler.log" >&2
    return 1
}

if [ -n "${SCHEDULER:-}" ]; then
    printf '{"address": "%s"}\n' "$SCHEDULER" >"$folder/scheduler.json"
else
    start scheduler scheduler --host "$host" --port "${PORT:-0}" --protocol "$protocol" \
        --no-dashboard --dashboard-address "$host:0" --scheduler-file "$folder/scheduler.json"
    wait_for_scheduler
fi

names=()
for ((i = 0; i < n_workers; i++)); do
    # With the machine's name: workers of several machines must not have the same.
    names+=("$(hostname)-$$-$i")
    start "worker-$i" worker --scheduler-file "$folder/scheduler.json" --host "$host" \
        --name "${names[i]}" --no-dashboard --nthreads "${THREADS:-1}" \
        --memory-limit "${MEMORY_LIMIT:-auto}" --local-directory "$folder/dask-scratch"
done

# In the background and waited for, so that a signal is answered at once.
"$python" - "$folder" ${names[@]+"${names[@]}"} <<'PY' &
import os
import sys
import time
from pathlib import Path

from distributed import Client

folder, *wanted = sys.argv[1:]


def ended(number):
    pid = Path(folder, f"worker-{number}.pid").read_text().split()[0]
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    return False


try:
    client = Client(scheduler_file=f"{folder}/scheduler.json", timeout=30)
except (OSError, RuntimeError, TypeError, ValueError) as error:
    sys.exit(f"no scheduler can be reached (is its address right, and TLS as it was there?): {error}")
with client:
    deadline = time.monotonic() + 60
    while True:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        lacking = set(wanted) - {worker["name"] for worker in workers}
        if not lacking:
            break
        late = time.monotonic() > deadline
        for number, name in enumerate(wanted):
            if name in lacking and (late or ended(number)):
                # Its folder may be deleted with what was started: see run.sh.
                said = Path(folder, f"worker-{number}.log").read_text(errors="replace")
                sys.stderr.write("".join(said.splitlines(keepends=True)[-20:]))
                why = "is not there after 60 s" if late else "has ended"
                sys.exit(f"{name} {why}: see above what it said last")
        time.sleep(0.1)
    print(client.scheduler.address)
PY
waiting=$!
if ! wait "$waiting"; then
    go_on
    waiting=''
    exit 1
fi
trap - EXIT INT TERM HUP
