#!/usr/bin/env bash
# Asks packages of npm what they are for, in a sandbox, and compares docs/packages-npm.md.
set -uo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/env.sh"

export CAPSULE_BIN="${CAPSULE_BIN:-$root/dist/capsule}"
[ -x "$CAPSULE_BIN" ] || {
  echo "error: $CAPSULE_BIN is not there" >&2
  echo "  hint: make build" >&2
  exit 1
}
work="$(mktemp -d "${TMPDIR:-/tmp}/capsule-packages.XXXXXX")"
# shellcheck disable=SC2317 # called by the trap
clean() { rm -rf "$work"; }
trap clean EXIT

# From a copy: nothing is left in the repository.
mkdir -p "$work/tests/packages" "$work/docs"
cp tests/packages/{package.json,package-lock.json,cases.js,table.js} "$work/tests/packages/"
cp docs/packages-npm.md "$work/docs/" 2>/dev/null
cd "$work/tests/packages" || exit 1
if ! npm ci --ignore-scripts --no-audit --no-fund --loglevel error </dev/null; then
  echo "skipped: the packages of tests/packages/package-lock.json could not be installed"
  exit 77
fi
node table.js --check
