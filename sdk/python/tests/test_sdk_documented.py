"""The Python that users know of the server, as it is written in the documents. Of their text
only the address is changed, to that of the server under test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from serving import Server

ROOT = Path(__file__).parents[3]

QUICK_START = """
from capsule_sdk import CapsuleClient

client = CapsuleClient("http://localhost:8080")

# Context manager auto-deletes on exit
with client.create("python") as capsule:
    result = capsule.run("print(sum(range(10)))")
    print(result.stdout)  # "45\\n"

    # File operations
    capsule.write_file("/workspace/app.py", "print('hello')")
    content = capsule.read_file_text("/workspace/app.py")
    files = capsule.list_dir("/workspace")
"""

#: The requests of the API reference, and what it answers.
EXEC = {"cmd": ["python3", "-c", "print('hello')"], "timeout_ms": 30000}


def run(program: str, server: Server, tmp_path: Path) -> str:
    """What a program prints. It has to end by itself, and well."""
    path = tmp_path / "program.py"
    path.write_text(program.replace("http://localhost:8080", server.url.replace("127.0.0.1", "localhost")))
    done = subprocess.run(
        [sys.executable, "-W", "error", path], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_the_quick_start(server: Server, tmp_path: Path) -> None:
    told = run(QUICK_START + "print(repr(content), files[0].name, len(files))", server, tmp_path)
    assert told == "45\n\n\"print('hello')\" app.py 1\n"


def test_its_sandbox_is_deleted_at_the_end(server: Server, tmp_path: Path) -> None:
    told = run(
        QUICK_START + "print([one.id for one in client.sandboxes() if one.id == capsule.id])",
        server,
        tmp_path,
    )
    assert told == "45\n\n[]\n"


def test_the_api_reference(server: Server, tmp_path: Path) -> None:
    from capsule_sdk import CapsuleClient

    with CapsuleClient(server.url) as client:
        made = client.call("sandbox.v1.create", {"template": "python", "ttl_ms": 600000})
        assert made["template"] == "python"
        told = client.call("sandbox.v1.exec", {"id": made["id"], **EXEC})
        assert (told["stdout"], told["stderr"], told["exit_code"], told["timed_out"]) == (
            "hello\n",
            "",
            0,
            False,
        )
        path = "/workspace/app.py"
        content = "cHJpbnQoJ2hlbGxvJyk="
        assert client.call("sandbox.v1.writeFile", {"id": made["id"], "path": path, "content": content}) == {
            "ok": True
        }
        assert client.call("sandbox.v1.readFile", {"id": made["id"], "path": path}) == {"content": content}
        listed = client.call("sandbox.v1.listDir", {"id": made["id"], "path": "/workspace"})
        assert listed == {"files": [{"name": "app.py", "path": path, "is_dir": False, "size": 14}]}
        assert client.call("sandbox.v1.delete", {"id": made["id"]}) == {"ok": True}


def blocks(page: str) -> list[str]:
    """The Python of a page. One that imports nothing goes on where the one before ended."""
    text = (ROOT / page).read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["docs/guide-sdk.md", "sdk/python/README.md", "README.md"])
def test_a_page(page: str, server: Server, tmp_path: Path) -> None:
    found = [block for block in blocks(page) if "capsule_sdk" in block]
    assert found
    (tmp_path / "data.csv").write_text("1,2\n3,4\n")
    for block in found:
        run(block, server, tmp_path)
