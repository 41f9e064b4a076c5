"""Makes address 0 of the guest look like an object that is never freed.

CPython 3.14.0, when a string that is added to finds no memory, takes the missing result for
an object before it looks whether there is one (`BINARY_OP_INPLACE_ADD_UNICODE`). On other
machines that ends the process. Here address 0 can be read: with a zero there the
interpreter goes on with an object that does not exist, and destroys its memory; with the
count of an immortal object it sees that there is none, and raises MemoryError.

    null.py COMPONENT

adds four bytes to the data of the module that owns the memory, in place.
"""

import sys

# A reference count of 7 << 28, as static objects have it.
_SEGMENT = b"\0\x41\0\x0b" + b"\x04" + (7 << 28).to_bytes(4, "little")
_MODULE, _COMPONENT, _MEMORIES, _DATA, _DATA_COUNT = 1, 4, 5, 11, 12


def number(data: bytes, at: int) -> tuple[int, int]:
    """LEB128: the number, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def leb(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def sections(data: bytes):
    at = 8
    while at < len(data):
        kind = data[at]
        size, start = number(data, at + 1)
        at = start + size
        yield kind, data[start:at]


def join(header: bytes, parts) -> bytes:
    return header + b"".join(bytes([kind]) + leb(len(body)) + body for kind, body in parts)


def with_segment(module: bytes) -> bytes | None:
    """The module with the segment; None if it owns no memory."""
    parts = list(sections(module))
    if not {_MEMORIES, _DATA} <= {kind for kind, _ in parts}:
        return None
    for index, (kind, body) in enumerate(parts):
        if kind in (_DATA, _DATA_COUNT):
            count, end = number(body, 0)
            more = _SEGMENT if kind == _DATA else b""
            parts[index] = (kind, leb(count + 1) + body[end:] + more)
    return join(module[:8], parts)


def patched(component: bytes) -> bytes | None:
    """The component, patched in the first module that owns a memory and has data."""
    parts = list(sections(component))
    for index, (kind, body) in enumerate(parts):
        new = {_MODULE: with_segment, _COMPONENT: patched}.get(kind, lambda _: None)(body)
        if new is not None:
            parts[index] = (kind, new)
            return join(component[:8], parts)
    return None


def main() -> None:
    path = sys.argv[1]
    with open(path, "rb") as file:
        new = patched(file.read())
    if new is None:
        sys.exit(f"{path} has no module with a memory")
    with open(path, "wb") as file:
        file.write(new)


main()
