"""What code that nobody has read might try. Inside a jail each of these must fail."""

import ctypes
import os
import socket
import subprocess

LIBC = ctypes.CDLL(None, use_errno=True)


def call(result):
    """Turns a failed C call into the exception that Python's own calls raise."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def connect(address):
    socket.create_connection(address, timeout=2).close()


ATTEMPTS = {
    "read the password hashes": lambda: open("/etc/shadow").read(),
    "read a key of the caller": lambda: open(os.environ["SECRET_FILE"]).read(),
    "write to a system directory": lambda: open("/usr/bin/ls", "w"),
    "ask the cloud for credentials": lambda: connect(("169.254.169.254", 80)),
    "reach a server of the host": lambda: connect(("127.0.0.1", 22)),
    "kill every process": lambda: os.kill(1, 9) or subprocess.run(["kill", "-9", "1"], check=True),
    "become root": lambda: os.setuid(0),
    "mount something": lambda: call(LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    "make new namespaces": lambda: call(LIBC.unshare(0x10000000)),
    "change the kernel": lambda: open("/proc/sys/kernel/core_pattern", "w"),
}

escaped = 0
for what, attempt in ATTEMPTS.items():
    try:
        attempt()
    except Exception as error:
        print(f"  refused   {what:<32}{type(error).__name__}: {error}")
    else:
        still_there = what == "kill every process"
        print(f"  {'no effect' if still_there else 'ESCAPED  '} {what}")
        escaped += not still_there
raise SystemExit(1 if escaped else 0)
