#!/usr/bin/env bash
# Formatting, clippy without a warning, shellcheck without a finding. Runs all
# three before it fails.
set -uo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

status=0
cargo fmt --all --check || status=1
cargo clippy --workspace --all-targets --quiet -- -D warnings || status=1

if command -v shellcheck >/dev/null; then
  mapfile -d '' -t files < <(find .ci scripts tests bench guests -type f \( -name '*.sh' -o -path .ci/run \) -print0 2>/dev/null)
  shellcheck -x "${files[@]}" tests/vm/init || status=1
else
  echo "skipped: shellcheck is not installed (apt-get install shellcheck)"
fi
exit "$status"
