#!/usr/bin/env bash
# Repeats the published numbers: capsule beside every sandbox of this host.
#
#   bench/run.sh [jail] [FLAGS OF `capsule bench jail`]
#   bench/run.sh wasm [FLAGS OF bench/wasm.py]
#   bench/run.sh serve [FLAGS OF `capsule bench serve`]
#
# Without a part: the jail, the door, the tasks, and a server. For the jail and the server,
# as root, and where no Docker engine answers, it starts one of its own, with its own folders
# and socket, and ends it again.
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/env.sh"

part=all
case "${1:-}" in
  jail | wasm | serve)
    part=$1
    shift
    ;;
esac

if [ "$part" = wasm ]; then
  exec python3 bench/wasm.py dist/capsule "$@"
fi

engine=
work="$(mktemp -d "${TMPDIR:-/tmp}/capsule-engine.XXXXXX")"
# shellcheck disable=SC2317 # called by the trap
clean() {
  if [ -n "$engine" ]; then
    kill "$engine" 2>/dev/null || true
    wait "$engine" || true
  fi
  rm -rf "$work"
}
trap clean EXIT

start_engine() {
  dockerd --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
    -H "unix://$work/socket" --iptables=false --ip6tables=false --bridge=none \
    >"$work/log" 2>&1 &
  engine=$!
  # A client can be newer than Debian's engine.
  export DOCKER_HOST="unix://$work/socket" DOCKER_API_VERSION=1.41
  for _ in {1..150}; do
    docker version >/dev/null 2>&1 && return
    kill -0 "$engine" 2>/dev/null || break
    sleep 0.2
  done
  echo "bench: no Docker engine could be started: $(tail -n 1 "$work/log")" >&2
}

if [ "$(id -u)" = 0 ] && command -v dockerd >/dev/null && ! docker version >/dev/null 2>&1; then
  start_engine
fi
if [ "$part" = serve ]; then
  dist/capsule bench serve "$@"
  exit
fi
dist/capsule bench jail "$@"
echo
python3 bench/door.py dist/capsule-run
if [ "$part" = all ]; then
  echo
  python3 bench/wasm.py dist/capsule
  echo
  dist/capsule bench serve
fi
