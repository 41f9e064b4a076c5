import os
import time

from capsule import task

import probe


@task(allowed_files=["granted"], timeout="20s")
def swap():
    os.makedirs("/granted/turn", exist_ok=True)
    with open("/granted/turn/secret", "w") as file:
        file.write("harmless")
    swaps = 0
    until = time.monotonic() + 3
    while time.monotonic() < until:
        for one, other in (("turn", "away"), ("out", "turn"), ("turn", "out"), ("away", "turn")):
            try:
                os.rename(f"/granted/{one}", f"/granted/{other}")
                swaps += 1
            except OSError:
                pass
    return swaps


@task(allowed_files=["granted"], timeout="20s")
def open_often():
    seen = {}
    until = time.monotonic() + 3
    while time.monotonic() < until:
        try:
            text = probe.read("/granted/turn/secret")
        except OSError as error:
            text = type(error).__name__
        try:
            with open("/granted/turn/new", "w") as file:
                file.write("owned")
        except OSError:
            pass
        seen[text] = seen.get(text, 0) + 1
    return seen


@task
def main():
    swapping = swap.submit()
    seen = open_often()
    swaps = swapping.result()
    for text, count in seen.items():
        known = text in ("harmless", "") or text.endswith("Error")
        probe.expect(f"{count} times of {swaps} swaps", known, text)
    return probe.told()
