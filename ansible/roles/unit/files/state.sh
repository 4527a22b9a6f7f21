#!/bin/sh
# state.sh UNIT FILE... -- RELOADED_FILE...
# Prints what has to be done so that UNIT runs with what is on disk: unread (its unit file),
# failed (systemd has given it up), stopped, stale (it started before a FILE changed), reload (before a RELOADED_FILE did).
# Works on times, so that a change of an earlier run that was cut off is seen as well.
set -eu
unit=$1
shift

changed_since() { # changed_since SECONDS PATH...: has one of them changed after that?
    since=$1
    shift
    for path in "$@"; do
        [ -e "$path" ] || continue
        [ -z "$(find "$path" -newermt "@$since" -print -quit)" ] || return 0
    done
    return 1
}

[ "$(systemctl show -p NeedDaemonReload --value "$unit")" = no ] || echo unread
! systemctl is-failed --quiet "$unit" || echo failed
if ! systemctl is-active --quiet "$unit"; then
    echo stopped
    exit 0
fi
started=$(systemctl show --timestamp=us -p ActiveEnterTimestamp --value "$unit")
started=$(date -d "$started" +%s.%N)

files=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    if changed_since "$started" "$1"; then files=stale; fi
    shift
done
[ $# -eq 0 ] || shift
if [ -n "$files" ]; then
    echo stale
    exit 0
fi
stamp=/run/voicebot-deploy/$unit
if [ -e "$stamp" ]; then
    reloaded=$(stat -c %.9Y "$stamp")
    if [ "$(printf '%s\n%s\n' "$reloaded" "$started" | sort -g | tail -n 1)" = "$reloaded" ]; then
        started=$reloaded
    fi
fi
if changed_since "$started" "$@"; then echo reload; fi
