#!/bin/busybox sh
# shellcheck shell=dash
# The checks that need a machine with nothing but cgroup v2. Runs as root inside
# the machine that run.sh boots; reads nothing from outside.
#
# After every check the machine is audited: a cgroup or a process that a run left
# behind fails the check that caused it.
#
# What stands in single quotes is for the guest's shell:
# shellcheck disable=SC2016,SC2181

passed=0 failed=0 skipped=0
patience=60
scratch=/run/suite
mkdir -p "$scratch"

# Directories of the cgroup tree, without the root.
cgroups() { find /sys/fs/cgroup -mindepth 1 -type d | sort; }
cgroups >"$scratch/cgroups.before"

# Processes of user space, without this suite's own: kernel threads have no
# command line.
strangers() {
  for folder in /proc/[0-9]*; do
    line="$(tr '\0' ' ' 2>/dev/null <"$folder/cmdline")"
    case "$line" in
      '' | *suite.sh* | '/bin/busybox sh /init'* | 'sh /init'* | */init\ booted*) ;;
      *) echo "${folder#/proc/} $line" ;;
    esac
  done
}

# Nothing may be left. One empty folder of Capsule's own, which the next run uses
# again, is no leak: a second one is.
audit() {
  tries=0
  while :; do
    cgroups | awk 'FILENAME == ARGV[1] { before[$0]; next } !($0 in before)' \
      "$scratch/cgroups.before" - >"$scratch/left"
    left="$(wc -l <"$scratch/left")"
    processes="$(strangers)"
    [ "$left" -le 1 ] && [ -z "$processes" ] && return 0
    tries=$((tries + 1))
    [ "$tries" -lt 10 ] || break
    usleep 200000
  done
  [ "$left" -le 1 ] || { echo "left behind, cgroups:"; cat "$scratch/left"; }
  [ -z "$processes" ] || { echo "left behind, processes:"; echo "$processes"; }
  return 1
}

# So that one failure is not blamed on the checks after it.
sweep() {
  strangers | while read -r process _; do kill -9 "$process"; done
  sort -r "$scratch/left" | while read -r folder; do
    echo 1 >"$folder/cgroup.kill"
    usleep 100000
    rmdir "$folder"
  done
} 2>/dev/null

now() { read -r up _ </proc/uptime; echo "$up"; }

# check NAME COMMAND...: COMMAND succeeds within $patience seconds and leaves nothing.
# 77 skips; what it printed last is then the reason.
check() {
  name="$1" started="$(now)"
  shift
  rm -f "$scratch/out" "$scratch/err" "$scratch/json"
  ("$@") >"$scratch/log" 2>&1 &
  job=$!
  (
    trap 'kill "$nap"; exit' TERM
    sleep "$patience" &
    nap=$!
    wait "$nap"
    echo "no end after $patience s" >>"$scratch/log"
    kill -9 "$job"
  ) &
  watch=$!
  wait "$job"
  status=$?
  kill "$watch" 2>/dev/null
  wait "$watch" 2>/dev/null
  took="$(awk -v a="$started" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }')"
  if [ "$status" = 77 ]; then
    skipped=$((skipped + 1))
    echo "skip  $name: $(tail -n 1 "$scratch/log")"
  elif [ "$status" = 0 ] && audit >>"$scratch/log"; then
    passed=$((passed + 1))
    echo "ok    $name ($took s)"
  else
    failed=$((failed + 1))
    echo "FAIL  $name ($took s, status $status)"
    tail -n 60 "$scratch/log" | sed 's/^/      | /'
    sweep
  fi
}

# expect STATUS COMMAND...
expect() {
  want="$1"
  shift
  "$@"
  got=$?
  [ "$got" = "$want" ] || { echo "exit code $got, wanted $want: $*"; return 1; }
}

# says PATTERN FILE: prints the file when it does not hold the pattern.
says() {
  grep -Eq -- "$1" "$2" || { echo "no /$1/ in:"; cat "$2"; return 1; }
}

# --- the checks -------------------------------------------------------------

runs_a_command() {
  expect 0 capsule-run -- /bin/busybox true &&
    expect 3 capsule-run -- /bin/busybox sh -c 'exit 3' &&
    [ "$(capsule-run -- /bin/busybox echo inside)" = inside ]
}

# dd reads one block of 96 MiB, so it must own 96 MiB.
hog='dd if=/dev/zero of=/dev/null bs=96M count=1'

memory_limit_kills() {
  # shellcheck disable=SC2086
  expect 0 capsule-run --memory 256M -- $hog && expect 137 capsule-run --memory 32M -- $hog
}

memory_limit_is_reported() {
  printf '{"command":["dd","if=/dev/zero","of=/dev/null","bs=96M","count=1"],"resources":{"memory_bytes":33554432}}\n' |
    capsule-run --json >"$scratch/json"
  says '"code": *"E4001"' "$scratch/json"
}

process_limit_refuses() {
  capsule-run --max-pids 16 --timeout 20000 -- sh -c \
    'i=0; while [ $i -lt 64 ]; do sleep 30 & i=$((i + 1)); done; echo all of them' >"$scratch/out" 2>&1
  [ $? != 0 ] || { echo "64 processes where 16 are allowed"; return 1; }
  says "fork" "$scratch/out" && ! grep -q 'all of them' "$scratch/out"
}

fork_bomb_ends() {
  # The deadline is Capsule's; the suite's own is far behind it.
  started="$(now)"
  capsule-run --max-pids 24 --timeout 5000 -- sh -c 'b() { b | b & }; b; sleep 60' >"$scratch/out" 2>&1
  status=$?
  ended="$(now)"
  [ "$status" != 0 ] || { echo "a bomb that reports success"; return 1; }
  awk -v a="$started" -v b="$ended" 'BEGIN { exit !(b - a < 25) }' ||
    { echo "took from $started to $ended"; return 1; }
}

disk_limit_holds() {
  expect 0 capsule-run --disk 8M -- sh -c 'dd if=/dev/zero of=/tmp/file bs=1M count=4' || return 1
  capsule-run --disk 8M -- sh -c \
    'dd if=/dev/zero of=/tmp/file bs=1M count=32; status=$?; wc -c </tmp/file; exit $status' >"$scratch/out" 2>&1
  [ $? != 0 ] || { echo "32 MiB fit in 8 MiB"; return 1; }
  says 'No space left' "$scratch/out" || return 1
  size="$(grep -Ex '[0-9]+' "$scratch/out")"
  [ "$size" -le 8388608 ] || { echo "$size bytes in 8 MiB"; return 1; }
}

# Spins for three seconds of the wall and prints its own share of a processor,
# in hundredths.
spin='
  read -r a _ </proc/uptime; a="${a%.*}${a#*.}"; b=$a
  while [ $((b - a)) -lt 300 ]; do read -r b _ </proc/uptime; b="${b%.*}${b#*.}"; done
  set -- $(cut -d ")" -f 2 /proc/$$/stat)
  echo $((100 * (${12} + ${13}) / (b - a)))'

cpu_limit_throttles() {
  free="$(capsule-run --timeout 30000 -- sh -c "$spin")" || return 1
  half="$(capsule-run --timeout 30000 --cpus 0.5 -- sh -c "$spin")" || return 1
  echo "share of a cpu: $free without a limit, $half with --cpus 0.5"
  # Loose on purpose: the emulated clock is coarse and the host is busy.
  [ "$free" -ge 75 ] && [ "$half" -le 65 ] && [ "$half" -ge 20 ]
}

dead_supervisor_leaves_nothing() {
  capsule-run --timeout 60000 -- sleep 4242 &
  supervisor=$!
  guest() { strangers | grep -x '[0-9]* sleep 4242 '; }
  tries=0
  while [ -z "$(guest)" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 50 ] || { echo "the guest never started"; return 1; }
    usleep 100000
  done
  kill -9 "$supervisor"
  wait "$supervisor" 2>/dev/null
  tries=0
  while [ -n "$(guest)" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 30 ] || { echo "still there: $(guest)"; return 1; }
    usleep 100000
  done
  # The next run clears the cgroup away; the audit after this check looks.
  expect 0 capsule-run -- true
}

works_unprivileged() {
  cd /home/user || return 1
  expect 0 su user -c 'capsule-run -- /bin/busybox true' || return 1
  expect 3 su user -c 'capsule-run -- sh -c "exit 3"' || return 1
  id="$(su user -c 'capsule-run -- id -u')" || return 1
  [ "$id" != 0 ] || { echo "the guest is root"; return 1; }
  su user -c 'capsule-run --max-pids 16 --timeout 20000 -- sh -c "i=0; while [ \$i -lt 64 ]; do sleep 30 & i=\$((i + 1)); done; echo all of them"' >"$scratch/out" 2>&1
  [ $? != 0 ] || { echo "64 processes where 16 are allowed"; return 1; }
  says "fork" "$scratch/out" && ! grep -q 'all of them' "$scratch/out"
}

doctor_sees_cgroup_v2() {
  [ -x /usr/bin/capsule ] || { echo "no capsule binary was given"; return 77; }
  capsule doctor --json >"$scratch/out" 2>"$scratch/err" || { cat "$scratch/out" "$scratch/err"; return 1; }
  tr -d ' \n' <"$scratch/out" >"$scratch/flat"
  says '[Cc]group.*v2|cgroup2' "$scratch/flat"
}

attack_holds() {
  [ -x /usr/bin/capsule ] || { echo "no capsule binary was given"; return 77; }
  timeout -k 5 "$attack_limit" capsule attack >"$scratch/out" 2>"$scratch/err"
  status=$?
  # Emulated, the suite can be too slow; then it proves nothing either way.
  case "$status" in 124 | 137 | 143) echo "not done after $attack_limit s of emulation"; return 77 ;; esac
  [ "$status" = 0 ] || { grep -A 1 -E "ESCAPED|INCONCL|SKIPPED|attempts:" "$scratch/out"; return 1; }
}
attack_limit=300

# The tree is mounted before anything ran, so the first run proves itself too.
check "runs a command and passes its exit code on" runs_a_command
check "memory: over the limit is killed with 137" memory_limit_kills
check "memory: over the limit is E4001 in JSON" memory_limit_is_reported
check "processes: one too many is refused" process_limit_refuses
check "processes: a fork bomb ends with its run" fork_bomb_ends
check "disk: the limit holds" disk_limit_holds
check "cpu: half a processor is half a processor" cpu_limit_throttles
check "kill -9 of the supervisor leaves nothing" dead_supervisor_leaves_nothing
check "works without privileges" works_unprivileged
check "doctor sees cgroup v2" doctor_sees_cgroup_v2
patience=320
check "attack: every wall holds" attack_holds

echo "VM: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
