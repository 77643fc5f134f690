#!/usr/bin/env bash
# Start a Dask scheduler and N workers as processes on this machine, run one dsmote command on them,
# and stop them again.
#
#   run.sh 4 resample INPUT OUTPUT --target COL
#
# Settings from the environment as for start.sh. The exit code is that of the command.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 N_WORKERS COMMAND [OPTION]..." >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python}
n_workers=$1
shift
# shellcheck source-path=SCRIPTDIR source=tls.sh
. "$here/tls.sh"

folder=$(mktemp -d)
stop() {
    "$here/stop.sh" "$folder"
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

DASK_SCHEDULER_ADDRESS=$("$here/start.sh" "$folder" "$n_workers")
export DASK_SCHEDULER_ADDRESS

# In the background and waited for, so that a signal is answered while the command runs.
"$python" -m dsmote "$@" &
command=$!
trap 'kill -INT "$command" 2>/dev/null || true; wait "$command" || true; exit 130' INT TERM
wait "$command"
