# shellcheck shell=bash
# An engine of Docker of one's own, for suites: own data, own socket, no bridge, nothing of
# the host's network changed. Sourced; `engine_start FOLDER [OPTION...]` answers 77 where there
# can be none, also on what one that was killed has left there, and `engine_stop` leaves nothing.

engine_pid="" engine_folder=""

engine_start() {
  engine_folder="$1"
  shift
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
  # Their numbers may be somebody else's by now, or of who is dead and was not taken note of.
  rm -f "$engine_folder/pid" "$engine_folder/run/containerd/containerd.pid"
  dockerd --config-file "$engine_folder/daemon.json" --data-root "$engine_folder/data" \
    --exec-root "$engine_folder/run" --pidfile "$engine_folder/pid" -H "$DOCKER_HOST" \
    --iptables=false --ip6tables=false --bridge=none "$@" >>"$engine_folder/log" 2>&1 &
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

# engine_shims: the pids of the shims whose arguments name a path below this engine's folder.
# Its containerd starts them apart from itself, so that they outlive it.
engine_shims() {
  local process name arguments argument
  for process in /proc/[0-9]*; do
    mapfile -d '' -t arguments 2>/dev/null <"$process/cmdline" || continue
    name="${arguments[0]:-}"
    [[ "${name##*/}" == containerd-shim* ]] || continue
    for argument in "${arguments[@]:1}"; do
      if [[ "$argument" == "$engine_folder"/* ]]; then
        echo "${process#/proc/}"
        break
      fi
    done
  done
}

# A shim whose container is gone is asked first. What is asked in vain is killed.
engine_end_shims() {
  local signal pids tries
  for signal in TERM KILL; do
    mapfile -t pids < <(engine_shims)
    [ "${#pids[@]}" -gt 0 ] || return 0
    kill -s "$signal" "${pids[@]}" 2>/dev/null
    for ((tries = 0; tries < 30; tries++)); do
      [ -n "$(engine_shims)" ] || return 0
      sleep 0.1
    done
  done
}

# Ends it, its containers, its containerd, and the shims that these have left.
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
  engine_end_shims
  # What a runtime that broke off has left.
  local mount
  while read -r mount; do umount -l "$mount" 2>/dev/null; done \
    < <(awk -v folder="$engine_folder/" 'index($5, folder) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
  rm -rf "${engine_folder:?}"
  engine_pid="" engine_folder=""
}
