#!/usr/bin/env bash
# Start a Dask scheduler and N workers as processes on this machine, run one dsmote command on them,
# and stop them again.
#
#   cluster/processes/run.sh 4 resample INPUT OUTPUT --target COL
#
# Settings from the environment: PYTHON (python), MEMORY_LIMIT of a worker (auto), THREADS of a
# worker (1). The exit code is that of the command.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 N_WORKERS COMMAND [OPTION]..." >&2
    exit 2
fi
n_workers=$1
shift

python=${PYTHON:-python}
folder=$(mktemp -d)
started=()

stop() {
    # Workers first: they would complain about a scheduler that is gone.
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do
        kill "${started[i]}" 2>/dev/null || true
        wait "${started[i]}" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

"$python" -m dask scheduler --host 127.0.0.1 --port 0 --no-dashboard \
    --dashboard-address 127.0.0.1:0 --scheduler-file "$folder/scheduler.json" \
    >"$folder/scheduler.log" 2>&1 &
started+=($!)

for _ in $(seq 300); do
    [ -s "$folder/scheduler.json" ] && break
    if ! kill -0 "${started[0]}" 2>/dev/null; then
        cat "$folder/scheduler.log" >&2
        exit 1
    fi
    sleep 0.1
done
address=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' \
    "$folder/scheduler.json")

for ((i = 0; i < n_workers; i++)); do
    "$python" -m dask worker "$address" --host 127.0.0.1 --no-dashboard \
        --nthreads "${THREADS:-1}" --memory-limit "${MEMORY_LIMIT:-auto}" \
        --local-directory "$folder" >"$folder/worker-$i.log" 2>&1 &
    started+=($!)
done

# In the background and waited for, so that a signal is answered while the command runs.
"$python" -m dsmote "$@" --scheduler "$address" &
command=$!
trap 'kill -INT "$command" 2>/dev/null || true; wait "$command" || true; exit 130' INT TERM
wait "$command"
