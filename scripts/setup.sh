#!/usr/bin/env bash
# Makes a Debian 12 that has Rust, Python >= 3.11 and Node >= 20 ready.
#
#   scripts/setup.sh build    what compiling needs (the default)
#   scripts/setup.sh test     what `make test` needs on top
#   scripts/setup.sh bench    the runtimes that `make bench` compares with
#
# As root it installs what is missing. As anybody else it says what to install
# and exits 1. Run twice, the second time only compares a stamp.
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

usage() {
  echo "usage: scripts/setup.sh [build] [test] [bench]" >&2
  exit 2
}

[ $# -gt 0 ] || set -- build
for group in "$@"; do
  case "$group" in build | test | bench) ;; *) usage ;; esac
done
groups="$*"

rust_targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)

# group | program that proves it | Debian package
# Asking for the program and not for the package lets a Java, Go or Docker that
# came from elsewhere count.
programs() {
  cat <<'TABLE'
build cc gcc
test busybox busybox-static
test qemu-system-x86_64 qemu-system-x86
test qemu-aarch64-static qemu-user-static
test cpio cpio
test git git
test gcc gcc
test make make
test curl curl
test chromium chromium
test go golang-go
test java default-jdk-headless
test flock util-linux
test dockerd docker.io
test runsc runsc
bench bwrap bubblewrap
bench runc runc
bench crun crun
bench runsc runsc
bench dockerd docker.io
TABLE
  # SQLite, TLS and zstd are C: the musl build then wants musl's headers.
  if grep -qs '^name = "cc"$' Cargo.lock; then
    echo "build musl-gcc musl-tools"
  fi
}

# --- the second time: nothing changed, so nothing is asked ------------------

# Everything whose change can make the answer stale: this script, the toolchain
# wish, the package database, the tools and the installed targets.
fingerprint() {
  local names=(cargo rustc rustup python3 node npm) name
  printf '%s\n' "$groups" "$PATH" "${RUSTUP_TOOLCHAIN:-}"
  grep -cs '^name = "cc"$' Cargo.lock || true
  for name in "${names[@]}"; do command -v "$name" || true; done
  while read -r _ name _; do command -v "$name" || true; done < <(programs)
  # A folder's time changes with its entries, so a removed target shows.
  stat -L -c '%n %Y %s' "${BASH_SOURCE[0]}" rust-toolchain.toml /var/lib/dpkg/status \
    "${RUSTUP_HOME:-${HOME:-/root}/.rustup}"/settings.toml \
    "${RUSTUP_HOME:-${HOME:-/root}/.rustup}"/toolchains/*/lib/rustlib 2>/dev/null || true
}

stamp="$CAPSULE_CACHE/setup-${groups// /-}"
now="$(fingerprint)"
if [ -r "$stamp" ] && [ "$(<"$stamp")" = "$now" ]; then
  exit 0
fi

# --- the tools that Debian 12 does not bring, or not new enough -------------

missing=0
lacks() {
  echo "missing: $1" >&2
  echo "  hint: $2" >&2
  missing=1
}

# is_at_least HAVE WANT, for dotted versions
is_at_least() {
  [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

rust_wanted="$(sed -n 's/^rust-version *= *"\(.*\)"$/\1/p' Cargo.toml 2>/dev/null | head -n 1)"
rust_wanted="${rust_wanted:-1.85}"
if ! command -v rustc >/dev/null || ! command -v cargo >/dev/null; then
  lacks "Rust >= $rust_wanted" "follow https://rustup.rs"
else
  have="$(rustc --version | cut -d ' ' -f 2)"
  is_at_least "$have" "$rust_wanted" ||
    lacks "Rust >= $rust_wanted (this is $have)" "rustup update stable"
fi
case " $groups " in
  *" test "*)
    if ! command -v python3 >/dev/null; then
      lacks "Python >= 3.11" "apt-get install python3 python3-venv"
    else
      have="$(python3 -c 'import platform; print(platform.python_version())')"
      is_at_least "$have" 3.11 ||
        lacks "Python >= 3.11 (this is $have)" "use Debian 12 or later, or put a newer python3 first in PATH"
    fi
    if ! command -v node >/dev/null; then
      lacks "Node >= 20" "follow https://nodejs.org/en/download"
    else
      have="$(node --version)"
      is_at_least "${have#v}" 20 ||
        lacks "Node >= 20 (this is ${have#v})" "follow https://nodejs.org/en/download"
    fi
    command -v npm >/dev/null || lacks "npm" "it comes with Node: https://nodejs.org/en/download"
    ;;
esac

# --- Debian packages --------------------------------------------------------

packages=()
while read -r group program package; do
  case " $groups " in *" $group "*) ;; *) continue ;; esac
  command -v "$program" >/dev/null || packages+=("$package")
done < <(programs)

case " $groups " in
  *" test "*)
    # Debian's python3 comes without ensurepip; others bring it.
    if command -v python3 >/dev/null && ! python3 -c 'import ensurepip' 2>/dev/null; then
      packages+=(python3-venv)
    fi
    # The package `busybox` has the same program, but linked dynamically.
    if command -v busybox >/dev/null && grep -aq '/ld-linux' "$(command -v busybox)"; then
      packages+=(busybox-static)
    fi
    ;;
esac

if [ ${#packages[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    lacks "${packages[*]}" "sudo apt-get install ${packages[*]}"
  elif ! command -v apt-get >/dev/null; then
    lacks "${packages[*]}" "install them with this system's package manager (the names are Debian's)"
  else
    echo "setup: installing ${packages[*]}"
    log="$CAPSULE_CACHE/setup-apt.log"
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes \
      --no-install-recommends "${packages[@]}"; } >"$log" 2>&1 </dev/null; then
      tail -n 20 "$log" >&2
      lacks "${packages[*]}" "apt-get failed, its whole output is in $log"
    fi
  fi
fi

# --- Rust targets -----------------------------------------------------------

if command -v rustc >/dev/null; then
  libraries="$(rustc --print sysroot)/lib/rustlib"
  for target in "${rust_targets[@]}"; do
    [ -d "$libraries/$target/lib" ] && continue
    if ! command -v rustup >/dev/null; then
      lacks "the Rust target $target" "use a Rust that rustup installed, then: rustup target add $target"
    else
      echo "setup: adding the Rust target $target"
      rustup target add "$target" >/dev/null ||
        lacks "the Rust target $target" "rustup target add $target"
    fi
  done
fi

[ "$missing" = 0 ] || exit 1

# Written whole or not at all, so that two setups at once cannot spoil it.
fingerprint >"$stamp.$$"
mv -f "$stamp.$$" "$stamp"
echo "setup: ready ($groups)"
