#!/bin/sh
# Runs a job file for schedulers that know no retries, such as cron:
#
#   retry.sh JOB.yaml [--set key=value]...
#
# DSMOTE names the command (default: dsmote on the PATH), TRIES how often it is tried (4), WAIT the
# seconds between two tries (300). Ends with 0 when the output is there, new or unchanged; else with
# the code of the last try. No lock is needed here: the job has one on its output.
set -u

child=
stopped=
run() { # in the background and waited for, so that a signal is answered at once
    child=
    "$@" &
    child=$!
    [ -z "$stopped" ] || stop # it came before the number was known
    wait "$child"
}
stop() { # the job stops its workers and clears up
    stopped=yes
    [ -n "$child" ] || return
    trap '' INT TERM
    kill -TERM "$child" 2>/dev/null
    # A child that has hardly begun loses it to the shell's own handler; a job that has it already
    # lets a second one pass.
    sleep 0.2
    kill -TERM "$child" 2>/dev/null
    wait
    exit 130
}
trap stop INT TERM

try=1
while :; do
    run "${DSMOTE:-dsmote}" run "$@"
    code=$?
    case $code in
    0 | 3) exit 0 ;; # done; skipped as unchanged
    2 | 4 | 5 | 126 | 127) exit "$code" ;; # usage, memory, data, no such command: it would be the same again
    esac
    [ "$try" -lt "${TRIES:-4}" ] || exit "$code"
    echo "retry.sh: try $try of ${TRIES:-4} ended with exit code $code; the next in ${WAIT:-300} s" >&2
    run sleep "${WAIT:-300}"
    try=$((try + 1))
done
