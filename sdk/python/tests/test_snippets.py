"""The Python of the documentation that users know, as it is written there."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Program
from test_session import sees_files

from capsule import run_sync

ANALYZE = '''
from capsule import task

@task(name="analyze_data", compute="MEDIUM", ram="512MB", timeout="30s", max_retries=1)
def analyze_data(dataset: list) -> dict:
    """Process data in an isolated, resource-controlled environment."""
    # Your code runs safely in a Wasm sandbox
    return {"processed": len(dataset), "status": "complete"}
'''

HELLO = """
from capsule import task

@task(name="main", compute="LOW", ram="64MB")
def main() -> str:
    return "Hello from Capsule!"
"""

HTTP = '''
from capsule import task
from capsule.http import get, post, put, delete

@task(name="http_example", compute="MEDIUM", timeout="30s")
def main() -> dict:
    """Example demonstrating HTTP client usage within a task."""

    # GET request
    response = get("https://api.example.com/data")

    # POST with JSON body
    response = post("https://api.example.com/submit", json={"key": "value"})

    # Response methods
    is_ok = response.ok()           # Returns True if status code is 2xx
    status = response.status_code    # Get the HTTP status code
    data = response.json()           # Parse response as JSON
    text = response.text()           # Get response as text

    return {"status": status, "success": is_ok}
'''

FILES = """
from capsule import task

@task(name="main", allowed_files=["./data"])
def main() -> str:
    with open("./data/input.txt") as f:
        return f.read()
"""


def test_a_task_with_options(program: Program) -> None:
    result = run_sync(program(ANALYZE), args=[[1, 2, 3, 4, 5]], task="analyze_data")
    assert result["result"] == {"processed": 5, "status": "complete"}


def test_a_task_that_another_calls(program: Program) -> None:
    path = program(
        ANALYZE + "\n@task(name='main', compute='HIGH')\ndef main():\n    return analyze_data([1, 2])\n"
    )
    assert run_sync(path)["result"] == {"processed": 2, "status": "complete"}


def test_hello(program: Program) -> None:
    result = run_sync(file=program(HELLO, "hello.py"))
    assert result["result"] == "Hello from Capsule!"
    assert result["execution"]["task_name"] == "main"


def test_http_is_denied_by_default(program: Program) -> None:
    # As written it grants itself no host. The task has a name of its own, and the program
    # a function `main`, which is the entry.
    path = program(HTTP)
    for name in ("http_example", "main"):
        error = run_sync(path, task=name)["error"]
        assert error is not None
        if "HTTPSConnection" in error["message"]:
            pytest.skip("guests have no https yet")
        assert "api.example.com" in error["message"]
        assert error["code"] == "E5002"


def test_files(program: Program, tmp_path: Path) -> None:
    if not sees_files():
        pytest.skip("guests have no files yet")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_text("input")
    assert run_sync(program(FILES))["result"] == "input"
