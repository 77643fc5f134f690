#!/usr/bin/env bash
# Start a Dask scheduler and N workers as processes on this machine, run one dsmote command on them,
# and stop them again.
#
#   run.sh 4 resample INPUT OUTPUT --target COL
#
# Settings from the environment as for start.sh. The exit code is that of the command.
set -euo pipefail

if [ $# -lt 2 ] || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: $0 N_WORKERS COMMAND [OPTION]..." >&2
    exit 2
fi
unset CDPATH # with it, cd may go elsewhere, and says where
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
# Passed on as SIGTERM: what a shell starts in the background ignores SIGINT until it asks for it, and
# one that came while Python starts would be lost.
child='' stopped=''
pass_on() { [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true; }
trap 'stopped=yes; pass_on' INT TERM HUP

# In the background and waited for, so that a signal is answered at once; and waited for until it has
# really ended, because a signal ends `wait`.
attend() {
    local code=0
    "$@" &
    child=$!
    [ -z "$stopped" ] || pass_on
    wait "$child" || code=$?
    while kill -0 "$child" 2>/dev/null; do
        wait "$child" || code=$?
    done
    child=''
    [ -z "$stopped" ] || exit 130
    return "$code"
}

attend "$here/start.sh" "$folder" "$n_workers" >"$folder/address"
DASK_SCHEDULER_ADDRESS=$(<"$folder/address")
export DASK_SCHEDULER_ADDRESS
attend "$python" -m dsmote "$@"
