#!/usr/bin/env bash
# Asks packages of PyPI what they are for, in a sandbox, and compares docs/packages-pypi.md.
# Not all of them: each group is installed and imported once for every build of the guest.
# python3 tests/pypi/table.py asks all.
set -uo pipefail
# shellcheck source=scripts/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/env.sh"
# shellcheck source=scripts/checks.sh
source scripts/checks.sh

need_capsule
python3 tests/pypi/table.py --check text data speed
