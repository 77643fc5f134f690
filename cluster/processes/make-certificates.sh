#!/usr/bin/env bash
# Make a certificate authority for one cluster, and certificates for its scheduler, its workers and
# its clients.
#
#   make-certificates.sh FOLDER [HOST]...
#
# FOLDER gets ca.pem, and scheduler.pem, worker.pem and client.pem with their -key.pem; HOST is a
# name or an IP address besides localhost and 127.0.0.1. The CA's own key is made and deleted, unless
# KEEP_CA_KEY=1: who has it can let others in. A folder that has certificates is left alone, unless
# REPLACE=1. DAYS (365) is how long they are valid.
#
# Dask compares no host names: every certificate of this CA opens every door of the cluster, and a
# client may run code on it. So a cluster gets a CA of its own, and the keys are as good as its
# passwords.
set -euo pipefail

if [ $# -lt 1 ] || [[ $1 == -* ]]; then
    echo "usage: $0 FOLDER [HOST]..." >&2
    exit 2
fi
folder=$1
shift
days=${DAYS:-365}

if [ -e "$folder/ca.pem" ] && [ "${REPLACE:-0}" != 1 ]; then
    echo "$folder has certificates already: take another folder, or REPLACE=1" >&2
    exit 1
fi

names="DNS:localhost,IP:127.0.0.1"
for host in "$@"; do
    if [[ $host =~ ^[0-9.]+$ || $host =~ ^[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*$ ]]; then
        names+=",IP:$host"
    elif [[ $host =~ ^[A-Za-z0-9.*_-]+$ ]]; then
        names+=",DNS:$host"
    else
        echo "$host is neither a host name nor an IP address" >&2
        exit 2
    fi
done

umask 077
mkdir -p "$folder"
work=$(mktemp -d "$folder/.making-XXXXXX")
trap 'rm -rf "$work"' EXIT

quietly() {
    if ! "$@" >"$work/log" 2>&1; then
        cat "$work/log" >&2
        exit 1
    fi
}

new_key() { quietly openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

new_key "$work/ca-key.pem"
quietly openssl req -x509 -new -key "$work/ca-key.pem" -out "$work/ca.pem" -days "$days" -sha256 \
    -subj "/O=dsmote/CN=CA of a Dask cluster" \
    -addext "keyUsage=critical,keyCertSign,cRLSign"

for role in scheduler worker client; do
    # Workers listen to each other as well as call; a client only calls.
    usage=serverAuth,clientAuth
    [ "$role" = client ] && usage=clientAuth
    printf '%s\n' "basicConstraints=critical,CA:FALSE" \
        "keyUsage=critical,digitalSignature" \
        "extendedKeyUsage=$usage" \
        "subjectKeyIdentifier=hash" \
        "authorityKeyIdentifier=keyid" \
        "subjectAltName=$names" >"$work/$role.ext"
    new_key "$work/$role-key.pem"
    quietly openssl req -new -key "$work/$role-key.pem" -out "$work/$role.csr" \
        -subj "/O=dsmote/CN=$role"
    quietly openssl x509 -req -in "$work/$role.csr" -out "$work/$role.pem" -days "$days" -sha256 \
        -CA "$work/ca.pem" -CAkey "$work/ca-key.pem" -set_serial "0x00$(openssl rand -hex 16)" \
        -extfile "$work/$role.ext"
done

# ca.pem last: whoever waits for it finds all the others.
for role in scheduler worker client; do
    mv "$work/$role.pem" "$work/$role-key.pem" "$folder/"
done
rm -f "$folder/ca-key.pem"
[ "${KEEP_CA_KEY:-0}" != 1 ] || mv "$work/ca-key.pem" "$folder/"
mv "$work/ca.pem" "$folder/"
