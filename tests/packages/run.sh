#!/usr/bin/env bash
# Asks packages of npm what they are for, in a sandbox, and compares docs/packages-npm.md.
set -uo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/env.sh"
# shellcheck source=scripts/checks.sh
source scripts/checks.sh

need_capsule
make_work packages

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
