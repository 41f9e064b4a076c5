"""Asks the one server that it may, and no other.

    python3 -m http.server 8000 --bind 127.0.0.1 --directory examples/tasks/http/served &
    capsule run examples/tasks/http/main.py

A host on the Internet is a name: `allowed_hosts=["api.example.com"]`.
"""

from capsule import DeniedError, http, task


@task(name="main", timeout="10s", allowed_hosts=["127.0.0.1:8000"])
def main() -> dict:
    moons = http.get("http://127.0.0.1:8000/moons.json").json()
    missing = http.get("http://127.0.0.1:8000/suns.json")
    try:
        http.get("http://127.0.0.1:9000/")
        denied = False
    except DeniedError:
        denied = True
    return {
        "of Jupiter": [moon["name"] for moon in moons if moon["planet"] == "Jupiter"],
        "missing": missing.status_code,
        "denied": denied,
    }
