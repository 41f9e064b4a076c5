#!/usr/bin/env bash
# Shows the main jobs on real input: a workflow of tasks, each in a sandbox of its own;
# then commands that nobody has read, in a jail.
set -uo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
scripts/build.sh

run="$root/dist/capsule-run"
capsule="$root/dist/capsule"
tasks="$root/examples/tasks"
examples="$root/examples/jail"
work="$(mktemp -d "${TMPDIR:-/tmp}/capsule-demo.XXXXXX")"
trap 'rm -rf "$work"' EXIT
failed=0

bold=$'\e[1m' cyan=$'\e[36m' plain=$'\e[0m'
[ -t 1 ] || bold='' cyan='' plain=''
title() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
# told COMMAND: what a person would type.
told() { printf '%s$ %s%s\n' "$cyan" "$1" "$plain"; }
# show WANTED ARGUMENTS...: prints the command, runs it in a jail, and checks its exit code.
show() {
  local wanted="$1"
  shift
  play "$wanted" capsule-run "$run" "$@"
}
# play WANTED NAME PROGRAM ARGUMENTS...: the same for any program.
play() {
  local wanted="$1" name="$2" program="$3" code=0
  shift 3
  told "$name $(shorten "$@")"
  "$program" "$@" || code=$?
  if [ "$code" != "$wanted" ]; then
    echo "demo: exit code $code in place of $wanted" >&2
    failed=1
  fi
}
# As a person would type it.
shorten() {
  local word
  for word in "$@"; do
    case "$word" in
      *[[:space:]\;\&\|\<\>\(\)\{\}]*) printf "'%s' " "$word" ;;
      *) printf '%s ' "$word" ;;
    esac
  done | sed "s/ $//; s|$examples|examples/jail|g; s|$tasks|examples/tasks|g; s|$work|/tmp/demo|g"
}

# code FILE: what stands in it, set off from what is run.
code() { sed 's/^/  | /; s/ *$//' "$1"; }
# workflow FILE MISSING: runs one, and looks for what each sub-task has to come to.
workflow() {
  local wanted
  play 0 capsule "$capsule" run "$tasks/$1" >"$work/workflow"
  cat "$work/workflow"
  for wanted in '2262 primes' 'retry: the service answered' 'timeout: .*Timeout' \
    'host: .*Denied' "file: .*$2"; do
    grep -q "^$wanted" "$work/workflow" || {
      echo "demo: nothing says '$wanted'" >&2
      failed=1
    }
  done
}

title "1. A function in a sandbox of its own, in Python and in TypeScript"
for language in py ts; do
  code "$tasks/hello.$language"
  play 0 capsule "$capsule" run "$tasks/hello.$language"
done

title "2. A workflow: parallel sub-tasks, a retry that helps, a timeout, a denied host and file"
workflow workflow.py FileNotFoundError

title "3. The same workflow in TypeScript"
workflow workflow.ts ENOENT

title "   and what became of the task that had to be tried again"
told 'capsule run --verbose examples/tasks/workflow.ts 2>&1 | grep fetch'
"$capsule" run --verbose "$tasks/workflow.ts" 2>&1 >/dev/null | grep 'fetch' || failed=1

title "   and a project in both languages, whose tasks call each other"
play 0 capsule "$capsule" run "$tasks/languages/main.ts"

title "4. Files: one folder to read, one to write, and nothing else"
play 0 capsule "$capsule" run "$tasks/files/main.py"
told 'cat examples/tasks/files/report/kepler.txt'
cat "$tasks/files/report/kepler.txt"

title "5. A program analyses a data file that it can read, and nothing else"
show 0 --bind "$examples:/workspace" -- python3 analyse.py planets.csv

title "6. A program tries to break out; each attempt is refused"
echo "hunter2" >"$work/secret"
show 0 --bind "$examples:/workspace" -e "SECRET_FILE=$work/secret" -- python3 mischief.py

title "7. A program eats memory: it is ended at its limit"
show 137 --memory 64M -- python3 -c 'data = bytearray(1 << 30)'

title "8. A program never ends: it is ended at its timeout, with all that it started"
show 124 --timeout 1s -- sh -c 'sleep 1000 & echo "working..."; while :; do :; done'

title "9. A fork bomb: the kernel refuses, the run goes on and says so"
# Without a control group nothing counts the refusals, and the run is a success.
counted=0
"$run" --dry-run --require pids -- true >/dev/null 2>&1 && counted=1
show "$counted" --max-pids 20 -- bash -c 'for i in {1..60}; do sleep 1 & done 2>/dev/null; echo survived; exit 0' 2>"$work/refusals"
grep -v 'fork' "$work/refusals" >&2

title "10. The same for programs: one JSON object in, one out"
told "echo '{\"command\":[\"python3\",\"-c\",\"print(6*7)\"]}' | capsule-run --json --pretty"
echo '{"command":["python3","-c","print(6*7)"]}' | "$run" --json --pretty || failed=1

title "11. What this host can enforce"
told 'capsule doctor'
"$capsule" doctor || failed=1

title "12. A sandbox that lives on, driven from Python and then from TypeScript"
told 'capsule serve'
"$capsule" serve --listen 127.0.0.1:0 --data "$work/server" >"$work/address" 2>"$work/log" </dev/null &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -rf "$work"' EXIT
for _ in {1..100}; do
  [ -s "$work/address" ] && break
  sleep 0.1
done
CAPSULE_URL="$(<"$work/address")"
export CAPSULE_URL
told 'python3 examples/serve/sandbox.py'
PYTHONPATH="$root/sdk/python/src" python3 -B "$root/examples/serve/sandbox.py" || failed=1
# As npm would install it.
package="$work/node_modules/capsule-sdk"
mkdir -p "$package"
cp sdk/sandbox/package.json "$package/"
cp examples/serve/sandbox.mjs "$work/"
if modules="$(scripts/npm.sh sdk/sandbox)" &&
  "$modules/.bin/tsc" -p sdk/sandbox/tsconfig.build.json --typeRoots "$modules/@types" --outDir "$package/dist"; then
  told 'node examples/serve/sandbox.mjs'
  node "$work/sandbox.mjs" || failed=1
else
  failed=1
fi

[ "$failed" = 0 ] && title "All as it should be."
exit "$failed"
