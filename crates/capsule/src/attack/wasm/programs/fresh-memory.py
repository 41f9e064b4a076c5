import array
import io

from capsule import task

import probe

PATTERN = bytes([0xC5, 0x3A, 0x97, 0x1F]) * 4


@task(ram="128MB")
def write(number):
    kept = [PATTERN * (1 << 16) for _ in range(40)]
    if number % 2:
        kept.append(bytearray(1 << 30))
    return len(kept)


@task(ram="256MB", timeout="20s")
def search():
    # Pages that nobody wrote, and buffers that are not cleared by who makes them.
    fragment = bytes(reversed(bytes(reversed(PATTERN[:4] * 2))))
    found = 0
    blocks = [bytearray(1 << 20) for _ in range(60)]
    found += sum(any(block) for block in blocks)
    stream = io.BytesIO()
    stream.truncate(0)
    stream.seek(8 << 20)
    stream.write(b"x")
    found += any(stream.getvalue()[:-1])
    grown = array.array("B")
    grown.frombytes(bytes(1))
    found += sum(grown.tolist())
    table = io.open("/tmp/hole", "w+b")
    table.truncate(8 << 20)
    found += any(table.read())
    hidden = bytearray(32 << 20)
    hidden[:] = b""
    found += fragment in hidden
    return found


@task(timeout="60s", compute="HIGH")
def main():
    for number in range(12):
        try:
            write(number)
        except Exception:
            pass
        probe.expect(f"round {number}", search() == 0)
    return probe.told()
