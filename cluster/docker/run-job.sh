#!/usr/bin/env bash
# Run a job for a scheduler (Kubernetes, compose, cron) that only knows that 0 is good.
#
#   run-job.sh JOB.yaml [OPTION]...
#
# 3 (skipped: nothing has changed) becomes 0. All other exit codes stay: 1 failed, 2 wrong usage,
# 4 refused for memory, 5 refused for the data, 130 interrupted. The first may be tried again; 2, 4
# and 5 need a human.
# A signal to this process is passed on, so that the job can clear up before it ends.
set -u

# The trap comes first: a signal that arrives while the job starts must not leave it alone. And it is
# bash that runs this: in other shells a child that has hardly begun loses the signal passed on.
job=
stopped=
trap 'stopped=yes; [ -z "$job" ] || kill -TERM "$job" 2>/dev/null' TERM INT
dsmote run "$@" &
job=$!
[ -z "$stopped" ] || kill -TERM "$job" 2>/dev/null
wait "$job"
code=$?
# A signal ends `wait`, not the job: it is waited for until it has really ended.
while kill -0 "$job" 2>/dev/null; do
    wait "$job"
    code=$?
done
[ "$code" -eq 3 ] && exit 0
exit "$code"
