#!/usr/bin/env bash
# Makes a Python environment and prints its path.
#
#   scripts/venv.sh [REQUIREMENTS]    default: those of the tests
#
# It is named after its requirements and its interpreter.
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

requirements="${1:-scripts/requirements-test.txt}"
key="$({
  cat "$requirements"
  python3 -c 'import sys; print(sys.version, sys.base_prefix)'
} | sha256sum | cut -c 1-12)"
venv="$CAPSULE_CACHE/venv-$key"

install() {
  python3 -m venv "$venv" &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
}
once "$venv" install
printf '%s\n' "$venv"
