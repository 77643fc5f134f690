#!/usr/bin/env bash
# Stop what start.sh started with the same FOLDER, each process by its own pid: workers first, so
# that none looks for a scheduler that is gone. Logs stay.
#
#   stop.sh FOLDER
set -euo pipefail

if [ $# -ne 1 ] || [ ! -d "$1" ]; then
    echo "usage: $0 FOLDER" >&2
    exit 2
fi
unset CDPATH # with it, cd may go elsewhere, and says where
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(cd "$1" && pwd)
# shellcheck source-path=SCRIPTDIR source=started.sh
. "$here/started.sh"

# An impatient second Ctrl-C is for all in this terminal: half of what was started would be left.
trap '' INT TERM HUP

runs() { # pid, time: still the process that was started?
    [ -n "$2" ] && [ "$(started "$1")" = "$2" ]
}

stop() {
    local pid started
    [ -e "$1" ] || return 0
    { read -r pid && IFS= read -r started; } <"$1" || { rm -f "$1" && return 0; }
    if runs "$pid" "$started"; then
        kill -TERM "$pid" 2>/dev/null || true
        for _ in {1..200}; do
            runs "$pid" "$started" || break
            sleep 0.1
        done
        if runs "$pid" "$started"; then
            echo "$(basename "$1" .pid) (pid $pid) did not end in 20 s and is killed" >&2
            kill -KILL "$pid" 2>/dev/null || true
        fi
    fi
    rm -f "$1"
}

# What is about to start finds this gone and gives up: see start.sh.
rm -f "$folder"/dask-scratch/start-*
# All workers at once, then each is waited for.
for file in "$folder"/worker-*.pid; do
    stop "$file" &
done
wait
stop "$folder/scheduler.pid"
rm -rf "$folder/dask-scratch" "$folder/scheduler.json"
