# Sourced, not run: when a process was started, so that its pid is not mistaken for another's.
#
# shellcheck shell=bash

# As a word that neither a time zone nor a clock that is set changes: Linux counts from its own
# start. Elsewhere the time, in one zone. Nothing where there is no such process, or only what is left
# of it until its parent has asked how it ended.
started() { # pid
    local fields state
    if { read -r fields <"/proc/$1/stat"; } 2>/dev/null; then
        read -ra fields <<<"${fields##*) }" # its name, in brackets before, may have blanks
        [ "${fields[0]}" = Z ] || echo "${fields[19]}"
    else
        read -r state fields <<<"$(TZ=UTC0 LC_ALL=C ps -o stat= -o lstart= -p "$1" 2>/dev/null)"
        [[ $state == Z* ]] || echo "$fields"
    fi
}
