#!/bin/sh
# Handles the events of cfw-job-poller as a member of a consumer group, with redis-cli alone.
#
#   redis-cli.sh GROUP CONSUMER
#
# One event after the other: taken over from a dead consumer, or else a new one. It is acknowledged after it was handled.
set -eu
[ $# -eq 2 ] || { echo "usage: $0 GROUP CONSUMER" >&2; exit 2; }
group=$1 consumer=$2
stream=${EVENT_STREAM:-'{cfw}:events'}
idle=${CLAIM_IDLE_MS:-60000}

# A URL with a password needs the user, too: redis://default:password@host.
cli() { redis-cli -u "${REDIS_URL:-redis://127.0.0.1:6379}" --no-auth-warning "$@"; }

# $1 is the id of the entry, $2 its data. Put your own work here; where it fails the entry stays pending.
handle() {
  if command -v jq > /dev/null; then
    printf '%s' "$2" | jq -r '[.status, .jobId // "-", .reason // "-"] | join(" ")'
  else
    printf '%s %s\n' "$1" "$2"
  fi
}

[ "$(cli PING)" = PONG ] || { echo "Redis cannot be used" >&2; exit 1; }
# "0" begins with the oldest event that the stream holds, "$" with the next one.
cli XGROUP CREATE "$stream" "$group" 0 MKSTREAM > /dev/null 2>&1 || true

while :; do
  # --raw prints each part of the answer on a line of its own; an entry begins with its id.
  answer=$(cli --raw XAUTOCLAIM "$stream" "$group" "$consumer" "$idle" 0-0 COUNT 1 | tail -n +2)
  id=$(printf '%s\n' "$answer" | grep -m 1 -E '^[0-9]+-[0-9]+$' || true)
  if [ -z "$id" ] || [ "$(printf '%s\n' "$answer" | wc -l)" -lt 3 ]; then
    answer=$(cli --raw XREADGROUP GROUP "$group" "$consumer" COUNT 1 BLOCK 1000 STREAMS "$stream" '>')
    id=$(printf '%s\n' "$answer" | grep -m 1 -E '^[0-9]+-[0-9]+$' || true)
  fi
  [ -n "$id" ] || continue
  data=$(printf '%s\n' "$answer" | grep -A 1 -m 1 -x 'data' | tail -n 1)
  if handle "$id" "$data"; then
    cli XACK "$stream" "$group" "$id" > /dev/null
  fi
done
