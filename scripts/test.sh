#!/usr/bin/env bash
# Runs every suite, goes on after a failure, and closes with one line:
#
#   capsule: N passed, N failed, N skipped
#
#   scripts/test.sh [SUITE...]    of: rust lockdown wasm doc cross, and every tests/SUITE/run.sh
#
# A suite of its own is a program tests/NAME/run.sh. It exits 0 (all passed), 77
# (not possible here) or anything else (failed), prints `skipped: REASON` for what
# it left out, and as its last line `NAME: N passed, N failed, N skipped`.
#
# A Rust test that finds its machine lacking appends `TEST: REASON` to the file
# that CAPSULE_SKIP_LOG names and returns; it is then counted as skipped, not as
# passed. With CAPSULE_NO_SKIP=1 anything that was skipped is a failure.
#
# Suites find the shipped binaries in CAPSULE_RUN_BIN and CAPSULE_BIN, and a
# Python with the pinned packages in CAPSULE_TEST_PYTHON.
set -uo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

work="$(mktemp -d "${TMPDIR:-/tmp}/capsule-test.XXXXXX")"
# shellcheck disable=SC2317 # called by the trap
clean() { rm -rf "$work"; }
trap clean EXIT
trap 'exit 130' INT TERM

export CAPSULE_SKIP_LOG="$work/skips"
: >"$CAPSULE_SKIP_LOG"
: >"$work/reasons"
passed=0 failed=0 skipped=0
problems=()

heading() { printf '\n=== %s\n' "$1"; }
wanted() { [ ${#suites[@]} = 0 ] || [[ " ${suites[*]} " == *" $1 "* ]]; }
suites=("$@")

add() {
  passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

# A suite that fails without counting a failure (it did not compile, it died) is
# one failure: a sum must not hide it.
# cargo_suite NAME COMMAND...
cargo_suite() {
  local name="$1" status=0 before ok bad left said
  shift
  heading "$name: $*"
  before="$(wc -l <"$CAPSULE_SKIP_LOG")"
  "$@" </dev/null 2>&1 | tee "$work/log" || status=$?
  read -r ok bad left < <(awk -f scripts/count.awk "$work/log")
  # Tests that skipped themselves passed in cargo's eyes.
  said=$(($(wc -l <"$CAPSULE_SKIP_LOG") - before))
  [ "$said" -le "$ok" ] || said=$ok
  if [ "$left" -gt 0 ]; then
    echo "$name: $left marked as ignored or left out by a filter" >>"$work/reasons"
  fi
  if [ "$status" != 0 ] && [ "$bad" = 0 ]; then
    bad=1
    problems+=("$name: ended with status $status")
  elif [ "$bad" != 0 ]; then
    problems+=("$name: $bad failed")
  fi
  add $((ok - said)) "$bad" $((left + said))
}

# program_suite NAME COMMAND...
program_suite() {
  local name="$1" status=0 line ok=0 bad=0 left=0
  shift
  heading "$name"
  "$@" </dev/null 2>&1 | tee "$work/log" || status=$?
  line="$(grep -E "^$name: [0-9]+ passed, [0-9]+ failed" "$work/log" | tail -n 1)"
  if [[ "$line" =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)? ]]; then
    ok="${BASH_REMATCH[1]}" bad="${BASH_REMATCH[2]}" left="${BASH_REMATCH[4]:-0}"
  elif [ "$status" = 77 ]; then
    left=1
  fi
  sed -n "s/^skipped: /$name: /p" "$work/log" | sed "s/^$name: $name: /$name: /" >>"$work/reasons"
  if [ "$status" != 0 ] && [ "$status" != 77 ] && [ "$bad" = 0 ]; then
    bad=1
    problems+=("$name: ended with status $status")
  elif [ "$bad" != 0 ]; then
    problems+=("$name: $bad failed")
  elif [ $((ok + left)) = 0 ]; then
    bad=1
    problems+=("$name: ran nothing")
  fi
  add "$ok" "$bad" "$left"
}

# --- what the suites stand on ------------------------------------------------

built=yes
heading "build"
if scripts/build.sh </dev/null; then
  export CAPSULE_RUN_BIN="$root/dist/capsule-run"
  if [ -x "$root/dist/capsule" ]; then
    export CAPSULE_BIN="$root/dist/capsule"
  fi
else
  built=no
  add 0 1 0
  problems+=("build: failed")
fi
if venv="$(scripts/venv.sh)"; then
  export CAPSULE_TEST_PYTHON="$venv/bin/python"
else
  echo "python: the packages of scripts/requirements-test.txt could not be installed" >>"$work/reasons"
  skipped=$((skipped + 1))
fi

# --- the suites --------------------------------------------------------------

# What stands on wasmtime or rolldown is tested as it ships: built once, and as fast.
shipped=(--release --target x86_64-unknown-linux-musl -p capsule-wasm -p capsule-bundle -p capsule)
others=(--workspace --exclude capsule-wasm --exclude capsule-bundle --exclude capsule)
if cargo nextest --version >/dev/null 2>&1; then
  runner=(cargo nextest run --no-fail-fast)
else
  runner=(cargo test --no-fail-fast)
fi
if wanted rust; then
  cargo_suite rust "${runner[@]}" "${others[@]}"
fi
# Its harness is its own: every attempt is a process with one thread.
if wanted lockdown; then
  cargo_suite lockdown cargo test -p capsule-jail --test lockdown
fi
if wanted wasm; then
  CAPSULE_RUNTIMES="$(guests/build.sh)"
  export CAPSULE_RUNTIMES
  cargo_suite wasm "${runner[@]}" "${shipped[@]}"
fi
# nextest runs no documentation tests.
if wanted doc; then
  cargo_suite doc cargo test "${others[@]}" --doc --no-fail-fast
fi

# capsule-run for the other machine: links, starts, and says who it is.
# shellcheck disable=SC2317 # called by name
cross() {
  if [ "$(uname -m)" != x86_64 ]; then
    echo "skipped: built on x86_64 only"
    return 77
  fi
  scripts/build.sh aarch64 || return 1
  if ! command -v qemu-aarch64-static >/dev/null; then
    echo "skipped: no qemu-aarch64-static to start it with (scripts/setup.sh test)"
    return 77
  fi
  qemu-aarch64-static dist/capsule-run-aarch64 --version || return 1
  count_line cross 1 0 0
}

if [ "$built" = yes ]; then
  if wanted cross; then
    program_suite cross cross
  fi
  for runner in tests/*/run.sh; do
    [ -x "$runner" ] || continue
    name="$(basename "$(dirname "$runner")")"
    if wanted "$name"; then
      program_suite "$name" "$runner"
    fi
  done
fi

# --- the sum -----------------------------------------------------------------

cat "$CAPSULE_SKIP_LOG" >>"$work/reasons"
heading "in short"
sort "$work/reasons" | uniq -c | sed 's/^ *1 /skipped /; s/^ *\([0-9]*\) /skipped \1 times: /; s/^skipped \([^0-9]\)/skipped: \1/'
for problem in "${problems[@]}"; do
  printf 'failed: %s\n' "$problem"
done
if [ -n "${CAPSULE_NO_SKIP:-}" ] && [ "$skipped" -gt 0 ]; then
  echo "failed: CAPSULE_NO_SKIP is set, and $skipped were skipped"
  failed=$((failed + skipped)) skipped=0
fi
count_line capsule "$passed" "$failed" "$skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
