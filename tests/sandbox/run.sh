#!/usr/bin/env bash
# Tests the TypeScript client of `capsule serve`: types, style, behaviour against the built
# binary; then packs it, installs the package into an empty project as a user would, and runs
# there what the documents show, in Node, and what it does in Node, Deno and Bun.
set -uo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/env.sh"
# shellcheck source=scripts/checks.sh
source scripts/checks.sh

need_capsule

make_work sandbox

# From a copy: nothing is left in the repository.
source="$work/source"
mkdir "$source"
tar -C sdk/sandbox --exclude node_modules --exclude dist -cf - . | tar -C "$source" -xf -
quiet=(--no-audit --no-fund --loglevel error)
if ! npm --prefix "$source" ci --ignore-scripts "${quiet[@]}" </dev/null; then
  echo "skipped: the packages of sdk/sandbox/package-lock.json could not be installed"
  exit 77
fi
bin="$source/node_modules/.bin"
in_source() { (cd "$source" && "$@"); }
check build in_source "$bin/tsc" -p tsconfig.build.json
check types in_source "$bin/tsc" -p tsconfig.json
check biome in_source "$bin/biome" check .

echo "--- vitest"
export CAPSULE_SCHEMA="$root/schema/openrpc.json"
in_source timeout 600 "$bin/vitest" run --reporter=default --reporter=json --outputFile.json="$work/report.json"
status=$?
if [ -e "$work/report.json" ]; then
  read -r ok bad left < <(node -p '
    const report = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
    [report.numPassedTests, report.numFailedTests + report.numFailedTestSuites, report.numPendingTests].join(" ")' \
    "$work/report.json")
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + left))
fi
[ "$status" = 0 ] || [ "$failed" -gt 0 ] || failed=1

# --- as a user has it --------------------------------------------------------

project="$work/project"
mkdir "$project"
cp tests/sandbox/snippets/* tests/sandbox/runtimes/program.js "$project/"
printf '1,2\n3,4\n' >"$project/data.csv"
truncate --size 50000000 "$project/large"
echo '{"private": true, "type": "module"}' >"$project/package.json"
pack() { (cd "$source" && npm pack --ignore-scripts --pack-destination "$work" "${quiet[@]}" </dev/null >"$work/packed"); }
check pack pack
install() { npm --prefix "$project" install --offline --cache "$work/npm" --ignore-scripts "${quiet[@]}" "$work"/capsule-sdk-*.tgz </dev/null; }
check install install
only_itself() { [ "$(ls "$project/node_modules")" = capsule-sdk ]; }
check "no dependency" only_itself
in_project() { (cd "$project" && "$@"); }
# Of no platform's modules is one named where a bundler would follow it.
platform_free() { ! grep -REn "from \"(node|bun|deno):|require\(" "$project/node_modules/capsule-sdk/dist" --include '*.js'; }
check "nothing of a platform is imported" platform_free

programs=(quick-start)
for page in docs/guide-sdk.md sdk/sandbox/README.md; do
  mapfile -t found < <(node tests/sandbox/extract.js "$page" "$project")
  [ ${#found[@]} -gt 0 ] || failed=$((failed + 1))
  programs+=("${found[@]}")
done
check "what the documents show has types" in_project "$bin/tsc" -p .

# Two servers: an address, and a socket.
servers=()
serve() { # NAME OPTION VALUE
  "$CAPSULE_BIN" serve --data "$work/data-$1" "$2" "$3" >"$work/$1" 2>"$work/$1.log" </dev/null &
  servers+=($!)
  for _ in {1..300}; do
    [ -s "$work/$1" ] && return
    sleep 0.1
  done
  cat "$work/$1.log" >&2
  return 1
}
stop() {
  for server in "${servers[@]}"; do kill "$server" 2>/dev/null; done
  for server in "${servers[@]}"; do wait "$server" 2>/dev/null; done
  rm -rf "$work"
}
trap stop EXIT
check "a server" serve address --listen 127.0.0.1:0
check "a server on a socket" serve socket --unix "$work/capsule.sock"
url="$(<"$work/address")"

# Of what is written there only the address is changed. It has to end by itself.
shown() {
  sed -i "s|http://localhost:8080|${url/127.0.0.1/localhost}|" "$project/built/$1.js"
  in_project timeout 120 node "built/$1.js" >"$work/told" || return 1
  cat "$work/told"
}
for program in "${programs[@]}"; do
  check "$program in node" shown "$program"
done
greets() { shown quick-start && grep -qx 'Hello, Capsule!' "$work/told"; }
check "quick-start says what it says" greets

in_runtime() { # SOCKET COMMAND...
  local socket="$1"
  shift
  [ "$(in_project timeout 120 "$@" program.js "$url" "$socket" "$project")" = "as expected" ]
}
check "in node" in_runtime "$work/capsule.sock" node
if others="$(scripts/npm.sh tests/npm)"; then
  check "in deno" in_runtime "$work/capsule.sock" "$others/@deno/linux-x64-glibc/deno" run -A
  check "in bun" in_runtime "$work/capsule.sock" "$others/@oven/bun-linux-x64/bin/bun"
else
  skip "in deno" "the package could not be installed"
  skip "in bun" "the package could not be installed"
fi

close sandbox
