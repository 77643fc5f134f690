# Sourced, not run: when a process was started, so that its pid is not mistaken for another's.
#
# shellcheck shell=bash

# As a word that neither a time zone nor a clock that is set changes: Linux counts from its own
# start. Elsewhere the time, in one zone. Nothing where there is no such process.
started() { # pid
    local fields
    if { read -r fields <"/proc/$1/stat"; } 2>/dev/null; then
        read -ra fields <<<"${fields##*) }" # its name, in brackets before, may have blanks
        echo "${fields[19]}"
    else
        TZ=UTC0 LC_ALL=C ps -o lstart= -p "$1" 2>/dev/null
    fi
}
