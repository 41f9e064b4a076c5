#!/usr/bin/env bash
# Builds what the binary carries, the guests and the program that bundles, and prints the
# folder that they are in.
#
# Each is named after everything that goes into it, so it is built once; the folder is
# named after all of them.
set -euo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/env.sh"

store="$CAPSULE_CACHE/guests"
sdk=sdk/python/src/capsule
shared=(__init__ _runtime _submission _task _values errors http)

# listed FOLDER PATTERN...: files below it whose names match, in order.
listed() {
  local folder="$1" names=(-name "$2")
  shift 2
  for pattern in "$@"; do names+=(-o -name "$pattern"); done
  find "$folder" -name node_modules -prune -o -type f \( "${names[@]}" \) -print0 | sort -z
}

# componentize-py takes any site-packages that it can find into the image, so it is
# told of an environment that has none. Its ten libraries are then joined (link/).
build_python() {
  local tools
  tools="$(scripts/venv.sh guests/requirements.txt)"
  mkdir -p "$work/app/capsule" "$work/empty/lib/site-packages"
  cp -r guests/python/guest "$work/app/guest"
  mv "$work/app/guest/app.py" "$work/app/capsule_guest.py"
  for name in "${shared[@]}"; do cp "$sdk/$name.py" "$work/app/capsule/"; done
  VIRTUAL_ENV="$work/empty" "$tools/bin/componentize-py" --quiet \
    --wit-path guests/wit --world guest \
    --import-interface-name capsule:guest/types@0.1.0=types \
    componentize --python-path "$work/app" --output "$work/libraries.wasm" capsule_guest >&2
  "$tools/bin/python3" guests/python/null.py "$work/libraries.wasm"
  cargo run --quiet --locked -p guest-link -- "$work/libraries.wasm" "$work/python.wasm" >&2
}

# The interface of files that it is built with is longer than the other guest's, which has
# a C library for them.
build_javascript() {
  local modules
  modules="$(scripts/npm.sh guests/javascript)"
  mkdir -p "$work/wit" "$work/javascript"
  cp guests/wit/world.wit "$work/wit/"
  cp -r guests/javascript/wit/deps "$work/wit/"
  cp -r guests/javascript/. "$work/javascript/"
  rm -rf "$work/javascript/node_modules"
  ln -s "$modules" "$work/javascript/node_modules"
  (cd "$work/javascript" && timeout 300 node build.js "$work/wit" "$work/javascript.wasm" >&2)
}

# With `-p capsule` its libraries are the same ones, and so are built once.
build_bundle() {
  local target=x86_64-unknown-linux-musl
  env -u CAPSULE_RUNTIMES cargo build --quiet --locked --release --target "$target" \
    -p capsule -p capsule-bundle --bin capsule-bundle >&2
  cp "$CARGO_TARGET_DIR/$target/release/capsule-bundle" "$work/capsule-bundle"
}

# make NAME FILE KEY: what `build_NAME` leaves as FILE, as a file of the store.
make() {
  local made="$store/$3-$2"
  if [ ! -e "$made" ]; then
    echo "guests: building $2" >&2
    "build_$1"
    mv "$work/$2" "$made"
  fi
  # What is in use is not old.
  touch "$made"
  ln -f "$made" "$folder/$2"
}

python="$({
  printf '%s\0' guests/build.sh guests/requirements.txt
  listed guests/wit '*.wit'
  listed guests/python '*.py'
  listed guests/link '*.rs' '*.toml'
  printf '%s\0' "${shared[@]/#/$sdk/}" | sed -z 's/$/.py/'
} | xargs -0 sha256sum | sha256sum | cut -c 1-12)"
javascript="$({
  printf '%s\0' guests/build.sh
  listed guests/wit '*.wit'
  listed guests/javascript '*.js' '*.wit' '*.json'
} | xargs -0 sha256sum | sha256sum | cut -c 1-12)"
bundle="$({
  printf '%s\0' guests/build.sh Cargo.toml Cargo.lock .cargo/config.toml
  for crate in bundle spec backend init jail; do
    printf '%s\0' "crates/$crate/Cargo.toml"
    listed "crates/$crate/src" '*'
  done
} | { xargs -0 sha256sum && rustc -vV; } | sha256sum | cut -c 1-12)"
folder="$store/$python-$javascript-$bundle"

if [ ! -e "$folder/.whole" ]; then
  mkdir -p "$store"
  exec 9>"$store/lock"
  flock 9
fi
if [ ! -e "$folder/.whole" ]; then
  work="$(mktemp -d "${TMPDIR:-/tmp}/capsule-guests.XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$folder"
  make python python.wasm "$python"
  make javascript javascript.wasm "$javascript"
  make bundle capsule-bundle "$bundle"
  : >"$folder/.whole"
  # Older ones would only fill the disk.
  find "$store" -mindepth 1 -maxdepth 1 ! -path "$folder" ! -name lock -mtime +7 -exec rm -rf {} +
fi
printf '%s\n' "$folder"
