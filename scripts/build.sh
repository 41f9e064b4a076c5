#!/usr/bin/env bash
# Builds what ships, static, into dist/.
#
#   scripts/build.sh            capsule-run and capsule for this x86_64 machine
#   scripts/build.sh aarch64    capsule-run for aarch64, without a cross gcc
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

musl=x86_64-unknown-linux-musl
dist="$root/dist"
mkdir -p "$dist"

# The target folder can be shared by several clones; from the build to the copy
# it must be ours.
exec 9>"$CAPSULE_CACHE/dist.lock"
flock 9

# take FROM NAME: replaced by rename, because the old one may be running.
take() {
  cp "$1" "$dist/.$2.$$"
  mv -f "$dist/.$2.$$" "$dist/$2"
  printf '%s (%s KiB)\n' "dist/$2" "$(($(stat -c %s "$dist/$2") / 1024))"
}

is_static() {
  if grep -aqE '/(ld-linux|ld-musl)' "$1"; then
    echo "error: $1 asks for a dynamic loader" >&2
    return 1
  fi
}

case "${1:-here}" in
  here)
    cargo build --profile static --target "$musl" -p capsule-jail --bin capsule-run
    is_static "$CARGO_TARGET_DIR/$musl/static/capsule-run"
    take "$CARGO_TARGET_DIR/$musl/static/capsule-run" capsule-run
    if [ -e crates/capsule/Cargo.toml ]; then
      CAPSULE_RUNTIMES="$(guests/build.sh)"
      export CAPSULE_RUNTIMES
      cargo build --release --target "$musl" -p capsule
      is_static "$CARGO_TARGET_DIR/$musl/release/capsule"
      take "$CARGO_TARGET_DIR/$musl/release/capsule" capsule
    fi
    ;;
  aarch64)
    arm=aarch64-unknown-linux-musl
    cargo build --profile static --target "$arm" -p capsule-jail --bin capsule-run
    take "$CARGO_TARGET_DIR/$arm/static/capsule-run" capsule-run-aarch64
    ;;
  *)
    echo "usage: scripts/build.sh [here|aarch64]" >&2
    exit 2
    ;;
esac
