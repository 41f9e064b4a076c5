#!/usr/bin/env bash
# Writes a small root file system, made of this host's own programs, as an archive: what
# `docker import` makes an image of, without a registry.
#
#   scripts/image.sh ROOT.tar
set -euo pipefail

out="${1:?usage: scripts/image.sh ROOT.tar}"
work="$(mktemp -d "${TMPDIR:-/tmp}/capsule-image.XXXXXX")"
trap 'rm -rf "$work"' EXIT
tree="$work/root"
mkdir -p "$tree"/{usr/{bin,sbin,lib,lib64},etc,proc,sys,dev,tmp,root,workspace,run,var/tmp}
for name in bin sbin lib lib64; do ln -s "usr/$name" "$tree/$name"; done

# The basic programs of Debian, those that a shell script expects.
programs=(
  bash dash sh
  "[" awk basename base64 cat chmod cksum comm cp cut date dd df diff dirname du echo env expr false
  find fold getconf grep head hostname id join kill link ln ls mawk md5sum mkdir mkfifo mknod mktemp
  mount mv nice nl nohup nproc od paste printenv printf ps pwd readlink realpath rev rm rmdir sed seq
  setsid sha256sum shuf sleep sort split stat stdbuf stty sum sync tac tail tar tee test timeout touch
  tr true truncate tty umount uname uniq unlink unshare wc which whoami xargs yes
)
files=()
for name in "${programs[@]}"; do
  path="$(PATH=/usr/bin:/bin:/usr/sbin:/sbin command -v -- "$name" || true)"
  case "$path" in
    /*) files+=("$path") ;;
    *) [ -x "/usr/bin/$name" ] && files+=("/usr/bin/$name") ;;
  esac
done

# Python, wherever it is here, at the same place.
python="$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')"
library="$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
files+=("$python")
mkdir -p "$tree$(dirname "$library")"
tar -C / --exclude=__pycache__ --exclude=site-packages --exclude=dist-packages --exclude=test \
  --exclude='*.a' --exclude=idlelib --exclude=ensurepip -cf - "${library#/}" | tar -C "$tree" -xf -
while IFS= read -r extension; do files+=("$extension"); done \
  < <(find "$library/lib-dynload" -name '*.so' 2>/dev/null)

# Each with the libraries that it names, under their real names and their linked ones.
copy() {
  mkdir -p "$tree$(dirname "$1")"
  [ -e "$tree$1" ] || cp -L -- "$1" "$tree$1"
}
for file in "${files[@]}"; do
  copy "$file"
done
while IFS= read -r library; do copy "$library"; done < <(
  printf '%s\0' "${files[@]}" | xargs -0 ldd 2>/dev/null |
    sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-[^ ]*\) .*/\1/p' | sort -u
)
[ -e "$tree/usr/bin/python3" ] || ln -s "$python" "$tree/usr/bin/python3"

cat >"$tree/etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/bin/sh
capsule:x:1000:1000:capsule:/workspace:/bin/sh
nobody:x:65534:65534:nobody:/:/usr/sbin/nologin
PASSWD
printf 'root:x:0:\ncapsule:x:1000:\nnogroup:x:65534:\n' >"$tree/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$tree/etc/nsswitch.conf"
tar -C "$tree" --owner=0 --group=0 --numeric-owner -cf "$out" .
