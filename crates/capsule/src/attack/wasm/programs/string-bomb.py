import functools
import zlib

from capsule import task

import probe


@task(ram="64MB", timeout="50s", compute="HIGH")
def main():
    packer = zlib.compressobj()
    small = b"".join([packer.compress(bytes(1 << 20)) for _ in range(200)] + [packer.flush()])
    for what, action in {
        "text": lambda: "x" * (1 << 31),
        "wide text": lambda: "\U0001f600" * (1 << 29),
        "bytes": lambda: bytes(3 << 30),
        "number": lambda: 1 << (1 << 34),
        "list": lambda: [0] * (1 << 29),
        "tuple": lambda: (0,) * (1 << 29),
        "join": lambda: ",".join(["x" * (1 << 20)] * 3000),
        "format": lambda: "%2000000000d" % 1,
        "format again": lambda: f"{1:3000000000}",
        "replace": lambda: ("a" * (1 << 20)).replace("a", "b" * 4096),
        "bomb": lambda: zlib.decompress(small),
        "set": lambda: set(range(1 << 28)),
        "dict": lambda: dict.fromkeys(range(1 << 28)),
        "doubling": lambda: functools.reduce(lambda text, _: text + text, range(40), "x"),
    }.items():
        probe.refused(what, action)
    return probe.told()
