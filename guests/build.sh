#!/usr/bin/env bash
# Builds the guests that the binary carries, and prints the folder that they are in.
#
# The folder is named after everything that goes into them, so it is built once.
# componentize-py takes any site-packages that it can find into the image, so it is
# told of an environment that has none. Its ten libraries are then joined (link/).
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/env.sh"

sdk=sdk/python/src/capsule
shared=(__init__ _runtime _submission _task _values errors http)
key="$({
  cat guests/build.sh guests/requirements.txt guests/link/Cargo.toml guests/link/src/*.rs
  find guests/python -type f \( -name '*.py' -o -name '*.wit' \) -print0 | sort -z | xargs -0 sha256sum
  for name in "${shared[@]}"; do sha256sum "$sdk/$name.py"; done
} | sha256sum | cut -c 1-12)"
folder="$CAPSULE_CACHE/guests/$key"

if [ ! -e "$folder/.whole" ]; then
  mkdir -p "$CAPSULE_CACHE/guests"
  exec 9>"$CAPSULE_CACHE/guests/lock"
  flock 9
fi
if [ ! -e "$folder/.whole" ]; then
  echo "guests: building the Python runtime" >&2
  rm -rf "$folder"
  tools="$(scripts/venv.sh guests/requirements.txt)"
  work="$(mktemp -d "${TMPDIR:-/tmp}/capsule-guests.XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/app/capsule" "$work/empty/lib/site-packages" "$folder"
  cp -r guests/python/guest "$work/app/guest"
  mv "$work/app/guest/app.py" "$work/app/capsule_guest.py"
  for name in "${shared[@]}"; do cp "$sdk/$name.py" "$work/app/capsule/"; done
  VIRTUAL_ENV="$work/empty" "$tools/bin/componentize-py" --quiet \
    --wit-path guests/python/wit --world python \
    --import-interface-name capsule:guest/types@0.1.0=types \
    componentize --python-path "$work/app" --output "$work/python.wasm" capsule_guest >&2
  "$tools/bin/python3" guests/python/null.py "$work/python.wasm"
  cargo run --quiet --locked -p guest-link -- "$work/python.wasm" "$folder/python.wasm" >&2
  : >"$folder/.whole"
  # Older ones would only fill the disk.
  find "$CAPSULE_CACHE/guests" -mindepth 1 -maxdepth 1 -type d ! -name "$key" -mtime +7 -exec rm -rf {} +
fi
printf '%s\n' "$folder"
