# shellcheck shell=bash
# Where things are. Sourced by every script of the house; changes to the
# project's root.
#
# The cache is only ever a saving: deleting it costs time and nothing else.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd "$root" || exit 1

export CAPSULE_CACHE="${CAPSULE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/capsule}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CAPSULE_CACHE/target}"
mkdir -p "$CAPSULE_CACHE"

# rustup's home and the folder of runc and qemu's friends are missing from the
# PATH of non-login shells.
for folder in "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin" /usr/sbin /sbin; do
  case ":$PATH:" in
    *":$folder:"*) ;;
    *) PATH="$PATH:$folder" ;;
  esac
done
export PATH
unset folder

# One format for all suites, so that they add up.
# count_line NAME PASSED FAILED SKIPPED
count_line() {
  printf '%s: %d passed, %d failed, %d skipped\n' "$@"
}

# once FOLDER COMMAND...: fills a folder of the cache, unless it is filled already. The
# folder is made in place, under a lock; a stamp says that it is whole. COMMAND has to end
# at its first failure by itself.
once() {
  local once_folder="$1"
  shift
  [ -e "$once_folder/.whole" ] && return
  exec 9>"$once_folder.lock"
  flock 9
  [ -e "$once_folder/.whole" ] && return
  rm -rf "$once_folder"
  "$@" </dev/null >&2 && : >"$once_folder/.whole"
}
