# shellcheck shell=bash
# What suites in bash have in common: checks that are counted, and a binary to test.
# Sourced after scripts/env.sh.

passed=0 failed=0 skipped=0

# check NAME COMMAND...
check() {
  local name="$1"
  shift
  echo "--- $name"
  if "$@"; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "failed: $name"
  fi
}

# skip NAME WHY
skip() {
  skipped=$((skipped + 1))
  echo "skipped: $1: $2"
}

# close SUITE: the closing line; fails if a check did.
close() {
  count_line "$1" "$passed" "$failed" "$skipped"
  [ "$failed" = 0 ]
}

# The binary under test, in CAPSULE_BIN.
need_capsule() {
  export CAPSULE_BIN="${CAPSULE_BIN:-$root/dist/capsule}"
  [ -x "$CAPSULE_BIN" ] || {
    echo "error: $CAPSULE_BIN is not there" >&2
    echo "  hint: make build" >&2
    exit 1
  }
}

# A folder for this run, in work.
make_work() {
  work="$(mktemp -d "${TMPDIR:-/tmp}/capsule-$1.XXXXXX")"
  trap 'rm -rf "$work"' EXIT
}
