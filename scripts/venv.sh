#!/usr/bin/env bash
# Makes a Python environment and prints its path.
#
#   scripts/venv.sh [REQUIREMENTS]    default: those of the tests
#
# It is named after its requirements and its interpreter. A venv cannot be
# moved, so it is built in place under a lock, and a stamp says that it is whole.
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

requirements="${1:-scripts/requirements-test.txt}"
key="$({
  cat "$requirements"
  python3 -c 'import sys; print(sys.version, sys.base_prefix)'
} | sha256sum | cut -c 1-12)"
venv="$CAPSULE_CACHE/venv-$key"

if [ ! -e "$venv/.whole" ]; then
  exec 9>"$venv.lock"
  flock 9
  if [ ! -e "$venv/.whole" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv" >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
      --requirement "$requirements" >&2 </dev/null
    : >"$venv/.whole"
  fi
fi
printf '%s\n' "$venv"
