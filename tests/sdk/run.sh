#!/usr/bin/env bash
# Installs the Python SDKs, capsule and capsule_sdk, into a fresh environment, as a user would, and tests it there
# against the built binary: types, style, behaviour.
set -uo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/env.sh"
# shellcheck source=scripts/checks.sh
source scripts/checks.sh

need_capsule
tools="$(scripts/venv.sh tests/sdk/requirements.txt)" || {
  echo "skipped: the packages of tests/sdk/requirements.txt could not be installed"
  exit 77
}

make_work sdk

# Built from a copy: nothing is left in the repository.
cp -r sdk/python "$work/source"
python="$work/venv/bin/python"
install() {
  python3 -m venv "$work/venv" &&
    "$tools/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps \
      --wheel-dir "$work" "$work/source" &&
    "$python" -m pip install --quiet --disable-pip-version-check --no-index "$work"/capsule-*.whl &&
    (cd "$work" && "$python" -c 'import capsule, capsule_sdk; print(capsule.__file__, capsule_sdk.__file__)')
}
check install install
check mypy "$tools/bin/mypy" --strict --config-file sdk/python/pyproject.toml --cache-dir "$work/mypy" \
  sdk/python/src/capsule sdk/python/src/capsule_sdk
check "the client without asyncio is up to date" "$tools/bin/python" -B sdk/python/generate_sync.py --check
check ruff "$tools/bin/ruff" check --no-cache sdk/python
check "ruff format" "$tools/bin/ruff" format --no-cache --check sdk/python

# The tools come after what was installed, so that the package is the one under test.
site="$("$tools/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
PYTHONPATH="$site" "$python" -m pytest -c sdk/python/pyproject.toml --rootdir sdk/python -rs \
  --junit-xml "$work/report.xml" sdk/python/tests
status=$?
if [ -e "$work/report.xml" ]; then
  read -r ok bad left < <("$python" - "$work/report.xml" <<'PYTHON'
import sys
import xml.etree.ElementTree as ElementTree

suite = ElementTree.parse(sys.argv[1]).getroot().find("testsuite")
count = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
bad = count["failures"] + count["errors"]
print(count["tests"] - bad - count["skipped"], bad, count["skipped"])
for case in suite.iter("testcase"):
    for skipped in case.iter("skipped"):
        print(f"skipped: {case.get('name')}: {skipped.get('message')}", file=sys.stderr)
PYTHON
  )
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + left))
fi
[ "$status" = 0 ] || [ "$failed" -gt 0 ] || failed=1

close sdk
