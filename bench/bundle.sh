#!/usr/bin/env bash
# How long programs take to become one script: a single file, and one with zod, lodash-es
# and date-fns; made, and found in the cache. Each is a process of its own.
#
#   bench/bundle.sh [PROGRAM]     what bundles: dist/capsule by default
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/env.sh"

program="${1:-$root/dist/capsule}"
work="$(mktemp -d "${TMPDIR:-/tmp}/capsule-bundle.XXXXXX")"
trap 'rm -rf "$work"' EXIT

mkdir "$work/one" "$work/three"
cat >"$work/one/main.ts" <<'TS'
import { task } from "@capsule-run/sdk";
interface Shape { width: number; height: number }
const area = task({ name: "area" }, (shape: Shape): number => shape.width * shape.height);
export const main = task({ name: "main" }, async (): Promise<number> => area({ width: 2, height: 3 }));
TS
cp tests/packages/package.json tests/packages/package-lock.json "$work/three/"
npm --prefix "$work/three" ci --ignore-scripts --no-audit --no-fund --loglevel error </dev/null >&2
cat >"$work/three/main.ts" <<'TS'
import { addDays, format } from "date-fns";
import { groupBy, sortBy } from "lodash-es";
import { z } from "zod";
const Item = z.object({ name: z.string(), day: z.number() });
export const main = (): unknown => {
  const items = [Item.parse({ name: "a", day: 1 }), Item.parse({ name: "b", day: 2 })];
  const dated = items.map(({ name, day }) => ({ name, date: format(addDays(new Date(2024, 0, 1), day), "yyyy-MM-dd") }));
  return [groupBy(dated, "name"), sortBy(dated, "date")];
};
TS
target=x86_64-unknown-linux-musl
cargo build --quiet --release --target "$target" -p capsule-bundle --example measure
for project in one three; do
  echo "$project:"
  "$CARGO_TARGET_DIR/$target/release/examples/measure" "$work/$project" main.ts "$program" | sed 's/^/  /'
done
