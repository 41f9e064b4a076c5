#!/usr/bin/env bash
# Boots a machine that has nothing but cgroup v2, and runs suite.sh in it.
#
#   tests/vm/run.sh [CAPSULE_RUN [CAPSULE]]
#
# Both are static binaries; without arguments they come from dist/. The machine
# is emulated, so neither root nor KVM is needed and the host's own cgroups do
# not matter. Exit status: 0 all passed, 1 something failed, 77 not possible here
# (the reason is the last line).
#
#   CAPSULE_VM_ACCEL=kvm       use KVM (a KVM device can be there and still not
#                              boot a stock kernel, so it is a choice)
#   CAPSULE_VM_KERNEL=FILE     boot this kernel instead of Debian's cloud kernel
#   CAPSULE_VM_TIMEOUT=SECONDS for the whole machine, 480 unless told
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
called_from="$PWD"
# shellcheck source=scripts/env.sh
source "$here/../../scripts/env.sh"

skip() {
  echo "skipped: $1"
  exit 77
}

# Given paths are the caller's, and this script has changed folder.
from_caller() {
  case "$1" in /*) printf '%s\n' "$1" ;; *) printf '%s\n' "$called_from/$1" ;; esac
}
capsule_run="$root/dist/capsule-run"
capsule="$root/dist/capsule"
[ $# -lt 1 ] || capsule_run="$(from_caller "$1")"
[ $# -lt 2 ] || capsule="$(from_caller "$2")"
[ -x "$capsule_run" ] || {
  echo "error: $capsule_run is not there" >&2
  echo "  hint: make build" >&2
  exit 1
}

[ "$(uname -m)" = x86_64 ] || skip "the test machine is x86_64, this host is $(uname -m)"
for program in qemu-system-x86_64 busybox cpio gzip timeout; do
  command -v "$program" >/dev/null || skip "$program is not installed (scripts/setup.sh test)"
done
busybox="$(command -v busybox)"
! grep -aq '/ld-linux' "$busybox" || skip "busybox is not static (scripts/setup.sh test)"

# --- the kernel: only its image, taken out of the package, nothing installed ---

store="$CAPSULE_CACHE/vm"
mkdir -p "$store"
work="$(mktemp -d "${TMPDIR:-/tmp}/capsule-vm.XXXXXX")"
# shellcheck disable=SC2317 # called by the trap
clean() { rm -rf "$work"; }
trap clean EXIT
trap 'exit 130' INT TERM

newest_kernel() {
  find "$store" -name 'vmlinuz-*' -size +1M | sort -V | tail -n 1
}

cloud_kernel() {
  apt-cache depends linux-image-cloud-amd64 2>/dev/null |
    sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}

fetch_kernel() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    skip "no apt to get a kernel from (CAPSULE_VM_KERNEL names one)"
  fi
  local package
  package="$(cloud_kernel)"
  if [ -z "$package" ] && [ "$(id -u)" = 0 ]; then
    apt-get update >"$work/apt.log" 2>&1 </dev/null || true
    package="$(cloud_kernel)"
  fi
  [ -n "$package" ] || skip "apt knows no linux-image-cloud-amd64 (CAPSULE_VM_KERNEL names another kernel)"
  echo "vm: taking the kernel out of $package" >&2
  if ! (cd "$work" && apt-get download "$package") >"$work/apt.log" 2>&1 </dev/null; then
    # The list is older than the archive: once more with a new one.
    if [ "$(id -u)" = 0 ]; then
      apt-get update >>"$work/apt.log" 2>&1 </dev/null || true
      package="$(cloud_kernel)"
      (cd "$work" && apt-get download "$package") >>"$work/apt.log" 2>&1 </dev/null || true
    fi
  fi
  local archives=("$work"/linux-image-*.deb)
  [ -f "${archives[0]}" ] || skip "apt-get could not download $package: $(tail -n 1 "$work/apt.log")"
  dpkg-deb --fsys-tarfile "${archives[0]}" | tar -x -C "$work" --wildcards './boot/vmlinuz-*'
  local image=("$work"/boot/vmlinuz-*)
  # Renamed into place: a half-written kernel never has its final name.
  cp "${image[0]}" "$store/.new.$$"
  mv -f "$store/.new.$$" "$store/$(basename "${image[0]}")"
  rm -rf "${work:?}/boot" "${archives[@]}"
}

kernel="${CAPSULE_VM_KERNEL:-$(newest_kernel)}"
if [ -z "$kernel" ]; then
  fetch_kernel
  kernel="$(newest_kernel)"
fi

# --- the system: busybox, the binaries, two scripts --------------------------

system="$work/initramfs/payload"
mkdir -p "$work/initramfs/bin" "$system/bin" "$system/etc" "$system/usr/bin" "$system/root"
cp -L "$busybox" "$work/initramfs/bin/busybox"
cp -L "$busybox" "$system/bin/busybox"
cp "$here/init" "$work/initramfs/init"
cp "$here/init" "$system/init"
cp "$here/suite.sh" "$system/suite.sh"
cp -L "$capsule_run" "$system/usr/bin/capsule-run"
if [ -x "$capsule" ]; then
  cp -L "$capsule" "$system/usr/bin/capsule"
fi
chmod -R u+rwX,go+rX,go-w "$work/initramfs"
chmod 755 "$work/initramfs/init" "$system/init" "$system"/usr/bin/* "$system"/bin/*
printf 'root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$system/etc/passwd"
printf 'root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n' >"$system/etc/group"
printf '127.0.0.1 localhost capsule-vm\n' >"$system/etc/hosts"
(cd "$work/initramfs" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$work/initramfs.gz"

# --- the machine -------------------------------------------------------------

accel="${CAPSULE_VM_ACCEL:-tcg}"
limit="${CAPSULE_VM_TIMEOUT:-480}"
cpu=max
[ "$accel" != kvm ] || cpu=host
echo "vm: $(basename "$kernel"), $accel, at most $limit s"
started=$SECONDS
status=0
# panic=-1 with -no-reboot: a panic ends qemu at once instead of hanging.
timeout --kill-after=5 "$limit" qemu-system-x86_64 \
  -M pc -accel "$accel" -cpu "$cpu" -m 1024 -smp 2 -no-reboot -nographic \
  -nodefaults -serial stdio -monitor none -nic none \
  -kernel "$kernel" -initrd "$work/initramfs.gz" \
  -append "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic" \
  </dev/null 2>&1 | sed -u 's/\r//; s/\x1b\[[0-9;?=]*[A-Za-z]//g; s/\x1bc//g' | tee "$work/serial.log" || status=$?
took=$((SECONDS - started))

# Only the closing line decides: a panic, a hang and a crash all lack it.
line="$(grep -E '^VM: [0-9]+ passed, [0-9]+ failed' "$work/serial.log" | tail -n 1 || true)"
if [ -z "$line" ]; then
  reason="the machine ended without a closing line (status $status)"
  [ "$status" != 124 ] || reason="no closing line after $limit s"
  ! grep -q 'Kernel panic' "$work/serial.log" || reason="the kernel panicked"
  echo "vm: $reason, after $took s" >&2
  exit 1
fi
[[ "$line" =~ ^VM:\ ([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]] || {
  echo "vm: cannot read the closing line: $line" >&2
  exit 1
}
passed="${BASH_REMATCH[1]}" failed="${BASH_REMATCH[2]}" skips="${BASH_REMATCH[4]:-0}"
sed -n 's/^skip  /skipped: vm: /p' "$work/serial.log"
echo "vm: took $took s"
count_line vm "$passed" "$failed" "$skips"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ] && [ "$status" = 0 ]
