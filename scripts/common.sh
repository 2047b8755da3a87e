# What the scripts share. Sourced: sets the working directory to the root of the checkout.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say()
{
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die()
{
    say "$*"
    exit 1
}

# Prints the comment at the head of the script, its first line (#!) left out, and ends: what --help shows.
usage()
{
    sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$0"
    exit "${1:-0}"
}

# Runs a command whose output matters only when it fails.
quietly()
{
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -ne 0 ]; then
        cat "$log" >&2
    fi
    rm -f "$log"
    return "$status"
}

# build PRESET [CMAKE-ARGUMENT...] [-- TARGET...]: configures and builds in build/PRESET.
build()
{
    local preset=$1 arguments=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        arguments+=("$1")
        shift
    done
    [ $# -eq 0 ] || shift
    if [ ! -e "build/$preset/build.ninja" ]; then
        say "building in build/$preset for the first time: this takes a minute or two"
    else
        say "bringing build/$preset up to date"
    fi
    quietly cmake --preset "$preset" ${arguments[@]+"${arguments[@]}"} || die "configuring failed, see above"
    quietly cmake --build --preset "$preset" ${1+--target "$@"} || die "building failed, see above"
}
