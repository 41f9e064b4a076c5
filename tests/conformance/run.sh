#!/usr/bin/env bash
# One list of checks on every backend of sandboxes: the contract's (main.rs), and the server's
# with the real binary (tests/serve). Containers run on an engine of this suite's own, from an
# image made of this host's programs.
set -uo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/env.sh"
# shellcheck source=scripts/checks.sh
source scripts/checks.sh
# shellcheck source=scripts/engine.sh
source scripts/engine.sh

need_capsule
make_work conformance
trap 'engine_stop; rm -rf "$work"' EXIT

# What the backends are, in the order of the table's columns.
backends=(jail)
image="capsule-test:host"
engine_start "$work/engine"
case "$?" in
  0)
    if scripts/image.sh "$work/root.tar" && docker import "$work/root.tar" "$image" >/dev/null; then
      backends+=(runc)
      if command -v runsc >/dev/null; then
        backends+=(runsc)
      else
        skip gVisor "there is no runsc (scripts/setup.sh test)"
      fi
    else
      echo "failed: the image"
      failed=$((failed + 1))
    fi
    ;;
  77) skipped=$((skipped + 1)) ;;
  *) failed=$((failed + 1)) ;;
esac

# run_on BACKEND SUITE: its lines, in the shape that the table is made of.
run_on() {
  local backend="$1" suite="$2"
  if [ "$backend" != jail ]; then
    export CAPSULE_CONFORMANCE_RUNTIME="$backend" CAPSULE_CONFORMANCE_SOCKET="$engine_socket"
    export CAPSULE_CONFORMANCE_IMAGE="$image"
  fi
  timeout -k 10 900 cargo test -p capsule-tests --test "$suite" -- \
    --format=pretty >"$work/$backend-$suite" 2>&1
  local status=$?
  sed -n "s/^test \(.*\) \.\.\. \(ok\|FAILED\|ignored.*\)$/$backend $suite::\1 \2/p" \
    "$work/$backend-$suite" >>"$work/lines"
  if [ "$status" != 0 ]; then
    grep -vE '^test .* \.\.\. ok$' "$work/$backend-$suite" | tail -n 200
    if [ "$status" = 124 ] || ! grep -q "^$backend $suite::.* FAILED" "$work/lines"; then
      echo "failed: $suite on $backend ended with $status"
      failed=$((failed + 1))
    fi
  fi
}

: >"$work/lines"
for backend in "${backends[@]}"; do
  echo "--- the contract on $backend"
  (run_on "$backend" conformance; echo "$failed" >"$work/failed")
  failed="$(<"$work/failed")"
  # Jails stand behind the server in a suite of their own.
  if [ "$backend" != jail ]; then
    echo "--- the server on $backend"
    (run_on "$backend" containers; echo "$failed" >"$work/failed")
    failed="$(<"$work/failed")"
  fi
done

# What is left on the engine is a fault of somebody.
if [ "${#backends[@]}" -gt 1 ]; then
  left="$(docker ps -a --format '{{.Names}} {{.Status}}'; docker images --format '{{.Repository}}' | grep -v '^capsule-test$'; docker volume ls -q)"
  if [ -n "$left" ]; then
    echo "failed: left on the engine: $left"
    failed=$((failed + 1))
  else
    passed=$((passed + 1))
  fi
fi

python3 - "$work/lines" "${backends[@]}" <<'PYTHON' || exit 1
import sys

lines, backends = sys.argv[1], sys.argv[2:]
found = {}
for line in open(lines):
    backend, check, state = line.split(maxsplit=2)
    found.setdefault(check, {})[backend] = state.split()[0]
width = max((len(check) for check in found), default=5)
print(f"\n{'check':{width}}  " + "  ".join(f"{backend:7}" for backend in backends))
for check in sorted(found):
    states = [found[check].get(backend, "-") for backend in backends]
    print(f"{check:{width}}  " + "  ".join(f"{state:7}" for state in states))
PYTHON
passed=$((passed + $(grep -c ' ok$' "$work/lines")))
failed=$((failed + $(grep -c ' FAILED$' "$work/lines")))
close conformance
