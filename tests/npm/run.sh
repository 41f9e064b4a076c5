#!/usr/bin/env bash
# Tests the TypeScript SDK: types, style, behaviour against the built binary; then packs it,
# installs the package into an empty project as a user would, and runs the documented
# programs there.
set -uo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/env.sh"
# shellcheck source=scripts/checks.sh
source scripts/checks.sh

need_capsule

make_work npm

# From a copy: nothing is left in the repository.
source="$work/source"
mkdir "$source"
tar -C sdk/typescript --exclude node_modules --exclude dist -cf - . | tar -C "$source" -xf -
quiet=(--no-audit --no-fund --loglevel error)
if ! npm --prefix "$source" ci --ignore-scripts "${quiet[@]}" </dev/null; then
  echo "skipped: the packages of sdk/typescript/package-lock.json could not be installed"
  exit 77
fi
bin="$source/node_modules/.bin"
in_source() { (cd "$source" && "$@"); }
check build in_source "$bin/tsc" -p tsconfig.build.json
check types in_source "$bin/tsc" -p tsconfig.json
check biome in_source "$bin/biome" check .

echo "--- vitest"
in_source "$bin/vitest" run --reporter=default --reporter=json --outputFile.json="$work/report.json"
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
cp tests/npm/snippets/* "$project/"
mkdir "$project/data"
printf 'from a file' >"$project/data/input.txt"
echo '{"private": true, "type": "module"}' >"$project/package.json"
pack() { (cd "$source" && npm pack --ignore-scripts --pack-destination "$work" "${quiet[@]}" </dev/null >"$work/packed"); }
check pack pack
install() { npm --prefix "$project" install --offline --ignore-scripts "${quiet[@]}" "$work"/capsule-run-sdk-*.tgz </dev/null; }
check install install
only_itself() { [ "$(ls "$project/node_modules")" = "@capsule-run" ] && [ "$(ls "$project/node_modules/@capsule-run")" = sdk ]; }
check "no dependency" only_itself
in_project() { (cd "$project" && "$@"); }
check "the documented programs have types" in_project "$bin/tsc" -p .

# What a unit test would do with them.
local_run='
  const { main } = await import(process.argv[1]);
  const told = JSON.stringify(await main());
  if (told !== process.argv[2]) { console.error(told); process.exit(1); }'
for pair in 'analyze:{"processed":5,"status":"complete"}' 'hello:"Hello from Capsule!"' 'files:"from a file"'; do
  program="${pair%%:*}" expected="${pair#*:}"
  check "$program in node" in_project node --input-type=module -e "$local_run" "$project/built/$program.js" "$expected"
done

# The whole of it, in every runtime. It has to end by itself, too.
cp tests/npm/runtimes/program.js "$project/"
in_runtime() { [ "$(in_project timeout 120 "$@" program.js)" = "as expected" ]; }
check "in node" in_runtime node
if others="$(scripts/npm.sh tests/npm)"; then
  check "in deno" in_runtime "$others/@deno/linux-x64-glibc/deno" run -A
  check "in bun" in_runtime "$others/@oven/bun-linux-x64/bin/bun"
else
  skip "in deno" "the package could not be installed"
  skip "in bun" "the package could not be installed"
fi

# In the sandbox. As it is written the last one grants itself no host.
for pair in 'analyze:{"processed":5,"status":"complete"}' 'hello:"Hello from Capsule!"' 'files:"from a file"' \
  'http:"E5002"'; do
  program="${pair%%:*}" expected="${pair#*:}"
  runs() {
    in_project "$CAPSULE_BIN" run "$program.ts" --json >"$work/told"
    node -e '
      const told = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
      const found = JSON.stringify(told.success ? told.result : told.error.code);
      if (found !== process.argv[2]) { console.error(told); process.exit(1); }' \
      "$work/told" "$expected"
  }
  check "$program in a sandbox" runs
done
runner() { [ "$(in_project node built/runner.js)" = "true Hello from Capsule! null main" ]; }
check "run() of the package" runner

# The examples of the repository; their packages have types, too, but are not installed here.
examples="$project/examples"
mkdir "$examples"
cp -r examples/tasks/*.ts examples/tasks/{files,http} "$examples/"
typed() {
  in_project "$bin/tsc" --noEmit --strict --target ES2022 --module NodeNext --lib ES2023,DOM \
    --typeRoots "$source/node_modules/@types" --types node "$examples"/*.ts "$examples"/*/*.ts
}
check "the examples have types" typed

close npm
