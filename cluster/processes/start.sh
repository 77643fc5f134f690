#!/usr/bin/env bash
# Start a Dask scheduler and N workers as processes on this machine, and leave them running.
#
#   start.sh FOLDER N_WORKERS       stop.sh FOLDER
#
# FOLDER gets scheduler.json (for `dsmote ... --scheduler-file`), a log and a pid file of each
# process, and the workers' scratch files. Returns when all workers are there.
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

if [ $# -ne 2 ] || ! [[ $2 =~ ^[0-9]+$ ]]; then
    echo "usage: $0 FOLDER N_WORKERS" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python}
host=${HOST:-127.0.0.1}
n_workers=$2
protocol=${TLS:+tls}
protocol=${protocol:-tcp}
# shellcheck source-path=SCRIPTDIR source=tls.sh
. "$here/tls.sh"

mkdir -p "$1"
folder=$(cd "$1" && pwd)
if compgen -G "$folder/*.pid" >/dev/null; then
    echo "$folder has pid files: stop what runs there first, with $here/stop.sh $folder" >&2
    exit 1
fi
trap '"$here/stop.sh" "$folder"' ERR
trap '"$here/stop.sh" "$folder"; exit 130' INT TERM
rm -f "$folder/scheduler.json"
export DASK_TEMPORARY_DIRECTORY=$folder/scratch

# Each in a process group of its own: a Ctrl-C in this terminal is not meant for them.
set -m
start() {
    local name=$1
    shift
    nohup "$python" -m dask "$@" </dev/null >"$folder/$name.log" 2>&1 &
    # The time it was started, too: a pid may come again.
    printf '%s\n%s\n' "$!" "$(ps -o lstart= -p "$!")" >"$folder/$name.pid"
}

wait_for_scheduler() {
    local pid
    read -r pid <"$folder/scheduler.pid"
    for _ in $(seq 600); do
        [ -s "$folder/scheduler.json" ] && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
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
        --memory-limit "${MEMORY_LIMIT:-auto}" --local-directory "$folder/scratch"
done

"$python" - "$folder/scheduler.json" "${names[@]}" <<'PY'
import sys
import time

from distributed import Client

file, *wanted = sys.argv[1:]
with Client(scheduler_file=file, timeout=30) as client:
    deadline = time.monotonic() + 60
    while True:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        lacking = set(wanted) - {worker["name"] for worker in workers}
        if not lacking:
            break
        if time.monotonic() > deadline:
            sys.exit(f"waited 60 s in vain for {sorted(lacking)}: see the logs in the folder")
        time.sleep(0.1)
    print(client.scheduler.address)
PY
