#!/bin/sh
# state.sh UNIT FILE... -- RELOADED_FILE...
# Prints what has to be done so that UNIT runs with what is on disk, nothing if that is so: unread
# (its unit file), disabled (it does not start with the system), failed (systemd has given it up),
# stopped, stale (it started before a FILE changed), reload (before a RELOADED_FILE did), unready.
# Works on times, so that a change of an earlier run that was cut off is seen as well.
#
# UNIT_CONTAINER: the container that it runs, which is stale too when it is not of UNIT_IMAGE, on
# UNIT_CORES. UNIT_IN_FORCE: a command that succeeds as long as nobody has undone what it did: stale, if not.
# UNIT_READY: a command that succeeds when it is ready for work.
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

as_wanted() { # does the container run the image of that name, as it is now, on those cores?
    runs=$(docker inspect --format '{{.Image}} {{.HostConfig.CpusetCpus}}' "$UNIT_CONTAINER" 2>/dev/null) &&
        wanted=$(docker image inspect --format '{{.Id}}' "$UNIT_IMAGE" 2>/dev/null) &&
        [ "$runs" = "$wanted $UNIT_CORES" ]
}

[ "$(systemctl show -p NeedDaemonReload --value "$unit")" = no ] || echo unread
[ "$(systemctl is-enabled "$unit" 2>/dev/null)" != disabled ] || echo disabled
! systemctl is-failed --quiet "$unit" || echo failed
if ! systemctl is-active --quiet "$unit"; then
    echo stopped
    exit 0
fi
started=$(systemctl show --timestamp=us -p ActiveEnterTimestamp --value "$unit")
started=$(date -d "$started" +%s.%N)

state=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    if changed_since "$started" "$1"; then state=stale; fi
    shift
done
[ $# -eq 0 ] || shift
if [ -n "${UNIT_CONTAINER:-}" ] && ! as_wanted; then state=stale; fi
if [ -n "${UNIT_IN_FORCE:-}" ] && ! sh -c "$UNIT_IN_FORCE" >/dev/null 2>&1; then state=stale; fi
if [ -n "$state" ]; then
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
if changed_since "$started" "$@"; then
    echo reload
elif [ -n "${UNIT_READY:-}" ] && ! sh -c "$UNIT_READY" >/dev/null 2>&1; then
    echo unready
fi
