#!/usr/bin/env bash
# Installs what a package.json asks for, and prints the folder node_modules.
#
#   scripts/npm.sh FOLDER     of a package.json and its package-lock.json
#
# It is named after the two files and the interpreter, is built once, and no install
# script is run.
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

folder="$1"
key="$({
  cat "$folder/package.json" "$folder/package-lock.json"
  node --version
} | sha256sum | cut -c 1-12)"
place="$CAPSULE_CACHE/npm-$key"

install() {
  mkdir -p "$place" &&
    cp "$folder/package.json" "$folder/package-lock.json" "$place/" &&
    npm --prefix "$place" ci --ignore-scripts --no-audit --no-fund --loglevel error
}
once "$place" install
printf '%s\n' "$place/node_modules"
