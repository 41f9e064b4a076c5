"""Reads one folder, writes to another, and sees nothing else.

    capsule run examples/tasks/files/main.py
"""

import csv
import errno
import sqlite3
from pathlib import Path

from capsule import task


@task(
    name="main",
    allowed_files=[
        {"path": "./data", "mode": "ro"},
        {"path": "./report", "mode": "rw"},
    ],
)
def main() -> dict:
    # /tmp is this sandbox's own: a database there vanishes with it.
    database = sqlite3.connect("/tmp/planets.db")
    database.execute("create table planets (name text, axis real, period real)")
    with open("data/planets.csv", newline="") as file:
        rows = [
            (row["name"], row["semi_major_axis_au"], row["period_days"])
            for row in csv.DictReader(file)
        ]
    database.executemany("insert into planets values (?, ?, ?)", rows)
    query = "select name, round(period * period / (axis * axis * axis)) from planets order by axis"
    constants = dict(database.execute(query).fetchall())
    lines = [f"{name:<10}{constant:>10.0f}" for name, constant in constants.items()]
    Path("report/kepler.txt").write_text("\n".join(lines) + "\n")

    refused = {}
    for path in ("data/planets.csv", "main.py", "/etc/passwd"):
        try:
            open(path, "r+").close()
        except OSError as error:
            refused[path] = errno.errorcode[error.errno]
    return {"planets": len(rows), "refused": refused}
