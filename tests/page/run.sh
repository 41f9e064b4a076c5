#!/usr/bin/env bash
# Tests the page of `capsule serve` in a headless Chromium, against the built binary.
set -uo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/env.sh"
# shellcheck source=scripts/checks.sh
source scripts/checks.sh

need_capsule
make_work page

# What is vendored is what its authors publish: byte for byte the files of the packages.
vendored() {
  local of="$1" name="$2" place=crates/server/src/page/assets/vendor
  shift 2
  cmp "$packages/$of/LICENSE" "$place/$name.LICENSE.txt" || return 1
  for file in "$@"; do
    cmp "$packages/$of/$file" "$place/$(basename "$file")" || return 1
  done
}
if packages="$(scripts/npm.sh tests/page)"; then
  check "xterm.js as it is" vendored @xterm/xterm xterm lib/xterm.mjs css/xterm.css
  check "its addon as it is" vendored @xterm/addon-fit addon-fit lib/addon-fit.mjs
  mkdir "$work/lint"
  cp -r tests/page/biome.json tests/page/*.js crates/server/src/page/assets "$work/lint/"
  in_lint() { (cd "$work/lint" && "$@"); }
  check biome in_lint "$packages/.bin/biome" check .
else
  skip "xterm.js as it is" "the packages could not be installed"
fi

CAPSULE_CHROMIUM="$(command -v chromium || command -v chromium-browser || command -v google-chrome)"
export CAPSULE_CHROMIUM
if [ -z "$CAPSULE_CHROMIUM" ]; then
  skip "the page" "there is no Chromium (scripts/setup.sh test)"
else
  # One file after the other: each has a server and a browser.
  timeout 900 node --test --test-concurrency=1 --test-reporter=tap tests/page/*.test.js >"$work/tap" 2>&1
  status=$?
  grep -E '^ *(not )?ok |^ +(error|stack|location): |^# ' "$work/tap"
  [ "$status" = 0 ] || sed -n '/^not ok/,$p' "$work/tap"
  ok="$(sed -n 's/^# pass //p' "$work/tap")" bad="$(sed -n 's/^# fail //p' "$work/tap")"
  left="$(sed -n 's/^# skipped //p' "$work/tap")"
  passed=$((passed + ${ok:-0})) failed=$((failed + ${bad:-0})) skipped=$((skipped + ${left:-0}))
  [ "$status" = 0 ] || [ "$failed" -gt 0 ] || failed=1
fi

close page
