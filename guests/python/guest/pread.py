"""os.pread, by seeking.

The C library's own takes what a failed read left undefined for an answer, and copies and
frees it (wasi-libc, before its change 862): that destroys the memory of the sandbox.
Nothing else runs between two calls here, so nobody sees the position move.
"""

import errno
import os


def pread(fd, length, offset, /):
    """Read a number of bytes from a file descriptor starting at a particular offset."""
    if offset < 0:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    before = os.lseek(fd, 0, os.SEEK_CUR)
    os.lseek(fd, offset, os.SEEK_SET)
    try:
        return os.read(fd, length)
    finally:
        os.lseek(fd, before, os.SEEK_SET)


def install() -> None:
    """Replaces os.pread."""
    import posix

    posix.pread = os.pread = pread
