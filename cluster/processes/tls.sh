# Sourced, not run: with TLS=FOLDER, Dask's settings for the certificates that make-certificates.sh
# put there, for a scheduler, workers and clients alike. Without TLS, nothing.
#
#   TLS=~/certificates; . cluster/processes/tls.sh
#   dsmote resample INPUT OUTPUT --target COL --scheduler tls://HOST:8786
#
# shellcheck shell=bash
if [ -n "${TLS:-}" ]; then
    if [ ! -r "$TLS/ca.pem" ]; then
        echo "no certificates in $TLS: make them with make-certificates.sh $TLS" >&2
        exit 2
    fi
    TLS=$(CDPATH='' cd "$TLS" && pwd)
    export DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=true
    export DASK_DISTRIBUTED__COMM__TLS__CA_FILE="$TLS/ca.pem"
    export DASK_DISTRIBUTED__COMM__TLS__SCHEDULER__CERT="$TLS/scheduler.pem"
    export DASK_DISTRIBUTED__COMM__TLS__SCHEDULER__KEY="$TLS/scheduler-key.pem"
    export DASK_DISTRIBUTED__COMM__TLS__WORKER__CERT="$TLS/worker.pem"
    export DASK_DISTRIBUTED__COMM__TLS__WORKER__KEY="$TLS/worker-key.pem"
    export DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT="$TLS/client.pem"
    export DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY="$TLS/client-key.pem"
fi
