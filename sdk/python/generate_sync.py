"""Makes the client without ``asyncio`` from the one with it.

    python generate_sync.py            writes src/capsule_sdk/_sync/
    python generate_sync.py --check    says what is stale, and fails if anything is

A line that ends with ``# async only`` is left out.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "src" / "capsule_sdk"
NOTE = "# Made from _async/{name} by generate_sync.py. Change that one.\n"
#: In order: a longer word comes before its parts.
WORDS = [
    (r"async (def|for|with) ", r"\1 "),
    (r"\bawait ", ""),
    (r"``await``|``async``", "a loop"),
    (r"\b__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\baclose\b", "close"),
    (r"\bAsync(?=[A-Z])", ""),
]


def translated(text: str) -> str:
    """A module without ``asyncio``."""
    lines = [line for line in text.splitlines(keepends=True) if not line.rstrip().endswith("# async only")]
    text = "".join(lines)
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    return text


def main() -> int:
    """Writes, or checks."""
    is_check = "--check" in sys.argv[1:]
    stale = []
    for source in sorted((FOLDER / "_async").glob("*.py")):
        if source.name in ("__init__.py", "stream.py"):
            continue
        text = NOTE.format(name=source.name) + translated(source.read_text())
        target = FOLDER / "_sync" / source.name
        if is_check:
            if not target.exists() or target.read_text() != text:
                stale.append(target.name)
        else:
            target.write_text(text)
    if stale:
        print(f"stale: {', '.join(stale)}\nhint: python sdk/python/generate_sync.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
