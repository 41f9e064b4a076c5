# shellcheck shell=bash
# An engine of Docker of one's own, for suites: own data, own socket, no bridge, nothing of
# the host's network changed. Sourced; `engine_start FOLDER` answers 77 where there can be
# none, and `engine_stop` leaves nothing.

engine_pid="" engine_folder=""

engine_start() {
  engine_folder="$1"
  if [ "$(id -u)" != 0 ]; then
    echo "skipped: an engine of Docker is started by root only"
    return 77
  fi
  if ! command -v dockerd >/dev/null; then
    echo "skipped: there is no dockerd (scripts/setup.sh test)"
    return 77
  fi
  mkdir -p "$engine_folder/data" "$engine_folder/run"
  # gVisor's own network needs a network namespace that is not the host's root one.
  local runtimes="{}"
  if command -v runsc >/dev/null; then
    runtimes='{"runsc":{"path":"'"$(command -v runsc)"'","runtimeArgs":["--network=none"]}}'
  fi
  printf '{"runtimes":%s}\n' "$runtimes" >"$engine_folder/daemon.json"
  # Short: the address of a socket has room for 108 bytes.
  engine_socket="$engine_folder/d.sock"
  export DOCKER_HOST="unix://$engine_socket" DOCKER_API_VERSION=1.41
  dockerd --config-file "$engine_folder/daemon.json" --data-root "$engine_folder/data" \
    --exec-root "$engine_folder/run" --pidfile "$engine_folder/pid" -H "$DOCKER_HOST" \
    --iptables=false --ip6tables=false --bridge=none >"$engine_folder/log" 2>&1 &
  engine_pid=$!
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    docker version >/dev/null 2>&1 && return 0
    kill -0 "$engine_pid" 2>/dev/null || break
    sleep 0.1
  done
  echo "the engine did not start:"
  tail -n 20 "$engine_folder/log"
  engine_stop
  return 1
}

# Ends it, its containers and its containerd.
engine_stop() {
  [ -n "$engine_folder" ] || return 0
  if [ -n "$engine_pid" ] && kill -0 "$engine_pid" 2>/dev/null; then
    docker ps -aq 2>/dev/null | xargs -r docker rm -f >/dev/null 2>&1
    kill "$engine_pid" 2>/dev/null
    local tries
    for ((tries = 0; tries < 200; tries++)); do
      kill -0 "$engine_pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -9 "$engine_pid" 2>/dev/null
  fi
  wait "$engine_pid" 2>/dev/null
  # What a runtime that broke off has left.
  local mount
  while read -r mount; do umount -l "$mount" 2>/dev/null; done \
    < <(awk -v folder="$engine_folder/" 'index($5, folder) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
  rm -rf "${engine_folder:?}"
  engine_pid="" engine_folder=""
}
